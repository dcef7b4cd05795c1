"""Creating and changing objects: from a decoded body to a committed record.

The order is Kubernetes': type and unknown fields, namespace and name, defaults, mutating admission, field
ownership, the kind's own preparation, validation, validating admission, then the store. An update is
computed against a state and committed only if that state is still the stored one; otherwise it is computed
again, unless the client named the revision it means.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgevirt.engine.apiserver.cluster import Cluster, api_errors
from edgevirt.engine.apiserver.durability import is_durable, is_heartbeat
from edgevirt.engine.apiserver.errors import (
    Cause,
    Details,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    modified,
    not_found,
    unclassified,
)
from edgevirt.engine.apiserver.http.options import WriteOptions
from edgevirt.engine.apiserver.identifiers import new_uid
from edgevirt.engine.apiserver.kinds.pods import BINDING
from edgevirt.engine.apiserver.names import (
    finalizer_faults,
    finalizer_warnings,
    generate_name,
    invalid_value,
    metadata_faults,
    without_repeated_owners,
)
from edgevirt.engine.apiserver.objects import decode_json, encode, encode_json, exact, metadata_of
from edgevirt.engine.apiserver.registry import ServedResource, WriteContext
from edgevirt.engine.apiserver.request import AdmissionAttributes, UserInfo
from edgevirt.engine.apiserver.writing import managedfields
from edgevirt.engine.apiserver.writing.fieldset import Fields
from edgevirt.engine.apiserver.writing.managedfields import Manager, Scope
from edgevirt.engine.apiserver.writing.stored_parts import (
    bump_generation,
    keep_other_half,
    merge_system_metadata,
)
from edgevirt.engine.store.errors import RevisionConflict
from edgevirt.engine.store.records import Record

Json = dict[str, Any]

_ATTEMPTS = 8
_EXTENSION_GROUPS = ("apiextensions.k8s.io", "apiregistration.k8s.io")
_TERMINATING_HINT = "unable to create new content in namespace {0} because it is being terminated"
_GENERATE_ATTEMPTS = 8


@dataclass(slots=True)
class Request:
    """A request on one resource, as the write path needs it."""

    resource: ServedResource
    namespace: str
    name: str
    subresource: str
    user: UserInfo
    manager: str
    """Field manager: the option, or what the User-Agent suggests."""
    options: WriteOptions
    warnings: list[str]
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit log, from admission."""


Transform = Callable[[Json], Json]
"""Makes the wanted object from a fresh copy of the stored one, which it may change."""


class Writes:
    """All ways an object gets into the store."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create(self, request: Request, obj: Json, operation: str = "Update") -> bytes:
        """Stores a new object and returns its bytes. Raises `StatusError`.

        `operation` is Apply when the object comes from server-side apply, with its ownership already set.
        """
        cluster, resource = self._cluster, request.resource
        metadata = metadata_of(obj)
        place(request, metadata)
        if metadata.get("resourceVersion"):
            raise unclassified("resourceVersion should not be set on objects to be created")
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        if generated:
            metadata["name"] = generate_name(metadata["generateName"])
        if request.name and metadata.get("name") != request.name:
            raise bad_request(
                f"the name of the object ({metadata.get('name', '')}) does not match the name on the URL "
                f"({request.name})"
            )
        self._check_namespace(request, metadata)
        for system in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(system, None)
        without_repeated_owners(metadata, request.warnings)
        metadata["uid"] = new_uid()
        metadata["creationTimestamp"] = cluster.now()
        if resource.generation or resource.custom:
            metadata["generation"] = 1
        complete(resource, obj)
        name = metadata.get("name") or ""
        if operation != "Apply":
            managedfields.record_update(self.scope(request), None, obj)
        attributes = self._attributes(request, "CREATE", name, obj, None)
        if attributes is not None:
            obj = await self._mutate(attributes, obj)
            metadata = metadata_of(obj)
        if resource.custom and "status" in resource.subresources:
            obj.pop("status", None)
        try:
            resource.strategy.prepare_for_create(obj, self._context(request))
            return await self._store_new(request, obj, attributes, generated)
        finally:
            resource.strategy.settle(obj)

    async def _store_new(
        self, request: Request, obj: Json, attributes: AdmissionAttributes | None, generated: bool
    ) -> bytes:
        cluster, resource, metadata = self._cluster, request.resource, obj["metadata"]
        self._validate(request, obj, None)
        if attributes is not None:
            attributes.object = obj
            await cluster.seams.admission.validate(attributes)
        key = resource.key(metadata.get("namespace", ""), metadata["name"])
        if request.options.dry_run:
            if cluster.collection(resource).get(key) is not None:
                raise already_exists(resource.group_resource, metadata["name"])
            return encode(obj)
        for attempt in range(_GENERATE_ATTEMPTS):
            try:
                with api_errors(resource, metadata["name"]):
                    record = await cluster.store.create(
                        cluster.collection(resource),
                        key,
                        stamped(await cluster.storable(resource, obj)),
                        durable=is_durable(resource),
                    )
                return await self._shown(resource, record)
            except StatusError as error:
                if not generated or error.reason != "AlreadyExists" or attempt == _GENERATE_ATTEMPTS - 1:
                    raise
                metadata["name"] = generate_name(metadata["generateName"])
                key = resource.key(metadata.get("namespace", ""), metadata["name"])
        raise already_exists(resource.group_resource, metadata["name"])

    async def update(
        self, request: Request, transform: Transform, *, patch: bool = False, owned: bool = False
    ) -> bytes:
        """Replaces an object by what `transform` makes of it and returns the new bytes.

        `patch` says the object sent is based on the stored one, so its identity is validated rather than
        taken as a precondition; `owned` that `transform` sets the field ownership. Raises `StatusError`.
        """
        cluster, resource = self._cluster, request.resource
        for attempt in range(_ATTEMPTS):
            stored = cluster.record(resource, request.namespace, request.name)
            (record,) = await cluster.shown(resource, [stored])
            old = cluster.object(resource, record)
            try:
                new = transform(cluster.object(resource, record))
                pinned = self._check_identity(request, record, old, new, patch)
                obj = await self._prepare_update(request, old, new, owned)
                data = encode(obj)
                if data == record.data or _same(obj, old):
                    return cluster.data(resource, record)
                if request.options.dry_run:
                    return data
                return await self._commit(resource, record, old, obj)
            except RevisionConflict:
                if pinned or attempt == _ATTEMPTS - 1:
                    raise modified(resource.group_resource, request.name) from None
            finally:
                resource.strategy.settle(old)
        raise modified(resource.group_resource, request.name)

    async def _commit(self, resource: ServedResource, record: Record, old: Json, obj: Json) -> bytes:
        cluster = self._cluster
        collection = cluster.collection(resource)
        with _only_conflicts(resource, obj["metadata"]["name"]):
            if is_finished(resource, obj):
                # Who takes the last obstacle away gets the object as it was about to be stored.
                answer = encode(obj)
                last = stamped(await cluster.storable(resource, obj))
                await cluster.store.delete(collection, record.key, record.revision, last)
                return answer
            durable = is_durable(resource) and not is_heartbeat(resource, old, obj)
            wanted = stamped(await cluster.storable(resource, obj))
            stored = await cluster.store.update(
                collection, record.key, record.revision, wanted, durable=durable
            )
        return await self._shown(resource, stored)

    async def _shown(self, resource: ServedResource, record: Record) -> bytes:
        (shown,) = await self._cluster.shown(resource, [record])
        return self._cluster.data(resource, shown)

    def _check_identity(self, request: Request, record: Record, old: Json, new: Json, patch: bool) -> bool:
        """Name, namespace, uid and revision of what was sent; True if it names a revision."""
        resource = request.resource
        metadata = metadata_of(new)
        place(request, metadata)
        sent_name = metadata.get("name")
        if not sent_name and not patch:
            metadata["name"] = request.name
            if request.resource.custom:
                raise invalid(
                    resource.kind,
                    resource.group,
                    "",
                    [Cause("FieldValueRequired", "Required value: name must be provided", "metadata.name")],
                )
        elif sent_name != request.name:
            raise bad_request(
                f"the name of the object ({sent_name}) does not match the name on the URL ({request.name})"
            )
        stored_uid = old["metadata"]["uid"]
        uid = metadata.get("uid")
        if uid and uid != stored_uid:
            if patch:
                cause = invalid_value("metadata.uid", uid, "field is immutable")
                raise invalid(resource.kind, resource.group, request.name, [cause, cause])
            raise conflict(
                resource.group_resource,
                request.name,
                f"StorageError: invalid object, Code: 4, Key: {resource.storage_prefix}{record.key}, "
                "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
                f"{uid}, UID in object meta: {stored_uid}",
            )
        version = metadata.get("resourceVersion")
        if not version or version == "0":
            if not patch and resource.custom:
                raise invalid(
                    resource.kind,
                    resource.group,
                    request.name,
                    [
                        Cause(
                            "FieldValueInvalid",
                            "Invalid value: 0x0: must be specified for an update",
                            "metadata.resourceVersion",
                        )
                    ],
                )
            return False
        if not version.isdecimal():
            raise unclassified(f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if int(version) != record.revision:
            raise modified(resource.group_resource, request.name)
        return not patch or version != old["metadata"].get("resourceVersion")

    async def _prepare_update(self, request: Request, old: Json, new: Json, owned: bool) -> Json:
        resource = request.resource
        merge_system_metadata(old, new)
        without_repeated_owners(new["metadata"], request.warnings)
        keep_other_half(request.resource, request.subresource, old, new)
        complete(resource, new)
        if not owned:
            managedfields.record_update(self.scope(request), old, new)
        attributes = None
        if request.subresource != BINDING:  # admission was asked about the Binding itself
            attributes = self._attributes(request, "UPDATE", request.name, new, old)
        obj = new
        if attributes is not None:
            obj = await self._mutate(attributes, new)
        resource.strategy.prepare_for_update(obj, old, self._context(request))
        if request.subresource != BINDING:
            bump_generation(resource, old, obj)
        self._validate(request, obj, old)
        if attributes is not None:
            attributes.object = obj
            await self._cluster.seams.admission.validate(attributes)
        return obj

    async def apply(self, request: Request, config: Json, force: bool) -> tuple[bytes, bool]:
        """Server-side apply. Returns the bytes and whether the object was created."""
        cluster, resource = self._cluster, request.resource
        scope = self.scope(request, "Apply")
        for attempt in range(_ATTEMPTS):
            record = cluster.collection(resource).get(resource.key(request.namespace, request.name))
            fresh: Json = decode_json(encode_json(config)) if attempt else config
            if record is None:
                if fresh["metadata"].get("resourceVersion"):
                    raise modified(resource.group_resource, request.name)
                if request.subresource:
                    raise not_found(resource.group_resource, request.name)
                try:
                    applied = managedfields.apply(scope, None, fresh, force)
                    return await self.create(request, applied, "Apply"), True
                except StatusError as error:
                    if error.reason != "AlreadyExists" or attempt == _ATTEMPTS - 1:
                        raise
                    continue

            def transform(live: Json, fresh: Json = fresh) -> Json:
                return managedfields.apply(scope, live, fresh, force)

            return await self.update(request, transform, patch=True, owned=True), False
        raise modified(resource.group_resource, request.name)

    def scope(self, request: Request, operation: str = "Update") -> Scope:
        resource = request.resource
        manager = Manager(request.manager, operation, resource.api_version, request.subresource)
        return Scope(
            node=resource.schema.merge_node(),
            manager=manager,
            now=self._cluster.now(),
            ignored=_ignored_fields(request),
            present=frozenset() if resource.custom else managedfields.ALWAYS_PRESENT,
        )

    def _attributes(
        self, request: Request, operation: str, name: str, obj: Json, old: Json | None
    ) -> AdmissionAttributes | None:
        """None if nothing in admission has an interest."""
        resource = request.resource
        admission = self._cluster.seams.admission
        if not admission.concerns(
            resource.group, resource.version, resource.plural, request.subresource, operation
        ):
            return None
        kind = "CreateOptions" if operation == "CREATE" else "UpdateOptions"
        return AdmissionAttributes(
            operation=operation,
            resource=resource,
            subresource=request.subresource,
            name=name,
            namespace=request.namespace,
            object=obj,
            old_object=old,
            user=request.user,
            dry_run=request.options.dry_run,
            options=request.options.to_dict(kind),
            warnings=request.warnings,
            audit_annotations=request.annotations,
        )

    async def admit(self, request: Request, operation: str, posted: Json) -> Json:
        """What admission makes of an object posted to a subresource that stores none of its own.

        `operation` is CREATE (binding, eviction, token) or CONNECT (exec, attach, portforward). Raises
        `StatusError` where admission refuses.
        """
        attributes = self._attributes(request, operation, request.name, posted, None)
        if attributes is None:
            return posted
        admission = self._cluster.seams.admission
        mutated = await admission.mutate(attributes)
        admitted = posted if mutated is None else mutated
        await admission.validate(dataclasses.replace(attributes, object=admitted))
        return admitted

    async def _mutate(self, attributes: AdmissionAttributes, obj: Json) -> Json:
        mutated = await self._cluster.seams.admission.mutate(attributes)
        result = mutated if mutated is not None else obj
        if result is not obj:  # by a webhook; plugins change the object itself, and know its fields
            attributes.resource.schema.prune(result)
        complete(attributes.resource, result)
        return result

    def _context(self, request: Request) -> WriteContext:
        return WriteContext(request.user, self._cluster.now(), request.subresource, request.options.dry_run)

    def _validate(self, request: Request, obj: Json, old: Json | None) -> None:
        resource, metadata = request.resource, obj["metadata"]
        plain = resource.custom or resource.group in _EXTENSION_GROUPS
        causes = metadata_faults(metadata, resource.name_faults, plain_finalizers=plain)
        if resource.custom:
            before = (old["metadata"].get("finalizers") or ()) if old is not None else ()
            request.warnings.extend(finalizer_warnings(metadata, before))
        if old is not None:
            causes.extend(finalizer_faults(metadata, old["metadata"]))
        if found := resource.schema.validate(obj, old):
            # Owner references were looked at above, under the names Kubernetes gives their faults.
            causes.extend(cause for cause in found if not cause.field.startswith("metadata.ownerReferences"))
        causes.extend(resource.strategy.validate(obj, old))
        if causes:
            raise invalid(resource.kind, resource.group, metadata.get("name") or "", causes)

    def _check_namespace(self, request: Request, metadata: Json) -> None:
        resource = request.resource
        if not resource.namespaced:
            return
        namespaces = self._cluster.registry.lookup("", "v1", "namespaces")
        if namespaces is None:
            return
        record = self._cluster.collection(namespaces).get(request.namespace)
        if record is None:
            raise not_found("namespaces", request.namespace)
        if b'"deletionTimestamp"' not in record.data:
            return
        namespace = self._cluster.object(namespaces, record)
        if namespace["metadata"].get("deletionTimestamp"):
            refusal = forbidden(
                resource.group_resource,
                metadata.get("name") or "",
                _TERMINATING_HINT.format(request.namespace),
            )
            assert refusal.details is not None
            cause = Cause(
                "NamespaceTerminating",
                f"namespace {request.namespace} is being terminated",
                "metadata.namespace",
            )
            raise StatusError(
                refusal.code, refusal.reason, refusal.message, _with_cause(refusal.details, cause)
            )


_OMITTED_IF_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")


def complete(resource: ServedResource, obj: Json) -> None:
    """Fills in everything that is absent and has a default; empty parts of metadata become absent."""
    metadata = obj["metadata"]
    for name in _OMITTED_IF_EMPTY:
        if name in metadata and not metadata[name]:
            del metadata[name]
    resource.schema.apply_defaults(obj)
    resource.strategy.complete(obj)


def stamped(obj: Json) -> Callable[[int], bytes]:
    """Encodes `obj` with the revision it gets."""

    def encode_with(revision: int) -> bytes:
        obj["metadata"]["resourceVersion"] = str(revision)
        return exact(encode(obj))

    return encode_with


def place(request: Request, metadata: Json) -> None:
    """Puts the object into the request's namespace. Raises `StatusError` 400 if it names another one."""
    sent = metadata.get("namespace") or ""
    wanted = request.namespace if request.resource.namespaced else ""
    if sent and sent != wanted:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if wanted:
        metadata["namespace"] = wanted
    else:
        metadata.pop("namespace", None)


_deterministic = msgspec.json.Encoder(order="deterministic")


def _same(obj: Json, old: Json) -> bool:
    """Equal as JSON; Python alone would take 1 for true."""
    return obj == old and _deterministic.encode(obj) == _deterministic.encode(old)


def is_finished(resource: ServedResource, obj: Json) -> bool:
    """The object is being deleted and nothing keeps it any more."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    if resource.plural == "namespaces" and not resource.group:
        return not (obj.get("spec") or {}).get("finalizers")
    return True


def _with_cause(details: Details, cause: Cause) -> Details:
    return dataclasses.replace(details, causes=(*details.causes, cause))


def _ignored_fields(request: Request) -> Fields:
    if request.subresource == "status":
        return {"f:spec": {}, "f:metadata": {}} if request.resource.custom else {"f:spec": {}}
    return {"f:status": {}} if "status" in request.resource.subresources else {}


@contextlib.contextmanager
def _only_conflicts(resource: ServedResource, name: str) -> Iterator[None]:
    """API errors for everything but a conflict, which the caller may resolve by trying again."""
    conflicted: RevisionConflict | None = None
    with api_errors(resource, name):
        try:
            yield
        except RevisionConflict as error:
            conflicted = error
    if conflicted is not None:
        raise conflicted
