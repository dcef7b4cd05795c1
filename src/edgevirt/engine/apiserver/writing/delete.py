"""Deleting objects: preconditions, grace, finalizers and propagation.

An object goes at once if nothing keeps it. Otherwise it is marked with deletionTimestamp and goes with the
update that removes the last finalizer, or, for a pod on a node, when the kubelet deletes it with grace 0.
Dependents are the garbage collector's work; here only the finalizers that ask for it are set.
"""

from __future__ import annotations

import calendar
import time
from typing import Any

from edgevirt.engine.apiserver.cluster import Cluster, api_errors, rfc3339
from edgevirt.engine.apiserver.errors import StatusError, conflict, modified, success
from edgevirt.engine.apiserver.http.options import DeleteOptions
from edgevirt.engine.apiserver.kinds.strategies import CRD_FINALIZER
from edgevirt.engine.apiserver.objects import decode, decode_json, encode, encode_json, split_key
from edgevirt.engine.apiserver.reading.selectors import Selector
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.apiserver.writing.write import Request, is_finished, stamped
from edgevirt.engine.store.errors import RevisionConflict
from edgevirt.engine.store.records import Record

Json = dict[str, Any]

_ORPHAN = "orphan"
_FOREGROUND = "foregroundDeletion"
_ATTEMPTS = 8
_NAMESPACE_ENDING = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this "
    "namespace will "
    "automatically be purged by the system."
)


class Deletes:
    """Deletion of one object or of a collection."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def delete(self, request: Request, options: DeleteOptions, *, admitted: bool = False) -> bytes:
        """Deletes or marks the object; returns the body of the answer. Raises `StatusError`.

        `admitted` says that admission has been asked already: about an eviction, not about a deletion.
        """
        cluster, resource = self._cluster, request.resource
        for _ in range(_ATTEMPTS):
            record = cluster.record(resource, request.namespace, request.name)
            # What is stored is marked as it is; only admission and the client see it converted.
            obj = cluster.object(resource, record) if resource.converter is None else decode(record)
            _check_preconditions(resource, obj, options)
            if not admitted:
                await self._admit(request, record, options)
            wanted = self._marked(resource, obj, options)
            try:
                return await self._carry_out(request, record, obj, wanted, options)
            except RevisionConflict:
                if options.resource_version:
                    break
        raise modified(resource.group_resource, request.name)

    async def _carry_out(
        self, request: Request, record: Record, obj: Json, wanted: Json, options: DeleteOptions
    ) -> bytes:
        """`obj` is what is stored, `wanted` what it becomes before it may go."""
        cluster, resource = self._cluster, request.resource
        collection = cluster.collection(resource)
        gone = is_finished(resource, wanted)
        if not gone:
            if wanted == obj or options.dry_run:
                return await self._shown(resource, Record(record.key, record.revision, encode(wanted)))
            conflicted = False
            with api_errors(resource, request.name):
                try:
                    stored = await cluster.store.update(
                        collection, record.key, record.revision, stamped(wanted)
                    )
                    return await self._shown(resource, stored)
                except RevisionConflict:
                    conflicted = True
            if conflicted:
                raise RevisionConflict(record.revision)
        if not options.dry_run:
            conflicted = False
            with api_errors(resource, request.name):
                try:
                    # Watchers see the object as it last was, with the revision of the deletion.
                    last = wanted if "deletionTimestamp" in obj["metadata"] else obj
                    stored = await cluster.store.delete(
                        collection, record.key, record.revision, stamped(last)
                    )
                except RevisionConflict:
                    conflicted = True
            if conflicted:
                raise RevisionConflict(record.revision)
            if resource.returns_deleted:
                return await self._shown(resource, stored)
        elif resource.returns_deleted:
            return encode(obj)
        return encode_json(success(resource.group_resource, request.name, obj["metadata"].get("uid", "")))

    async def _shown(self, resource: ServedResource, record: Record) -> bytes:
        (shown,) = await self._cluster.shown(resource, [record])
        return self._cluster.data(resource, shown)

    async def _admit(self, request: Request, record: Record, options: DeleteOptions) -> None:
        resource, admission = request.resource, self._cluster.seams.admission
        if not admission.concerns(
            resource.group, resource.version, resource.plural, request.subresource, "DELETE"
        ):
            return
        attributes = AdmissionAttributes(
            operation="DELETE",
            resource=resource,
            subresource=request.subresource,
            name=request.name,
            namespace=request.namespace,
            object=None,
            old_object=decode_json(await self._shown(resource, record)),
            user=request.user,
            dry_run=options.dry_run,
            options=options.document,
            warnings=request.warnings,
            audit_annotations=request.annotations,
        )
        await admission.mutate(attributes)
        await admission.validate(attributes)

    def _marked(self, resource: ServedResource, obj: Json, options: DeleteOptions) -> Json:
        """The object as it is to be stored if something keeps it."""
        metadata = dict(obj["metadata"])
        wanted = {**obj, "metadata": metadata}
        finalizers = _propagated(metadata.get("finalizers") or [], options)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = 0
        if resource.plural == "pods" and not resource.group:
            grace = _pod_grace(obj, options)
        self._mark(resource, metadata, grace)
        if resource.plural == "namespaces" and not resource.group:
            self._end_namespace(resource, obj, wanted)
        if resource.plural == "customresourcedefinitions" and "deletionTimestamp" not in obj["metadata"]:
            self._end_definition(wanted)
        return wanted

    def _mark(self, resource: ServedResource, metadata: Json, grace: int) -> None:
        """Sets or shortens the deletion; it is never prolonged or taken back."""
        if "deletionTimestamp" in metadata:
            current = metadata.get("deletionGracePeriodSeconds") or 0
            if grace >= current:
                return
            requested = _parse_time(metadata["deletionTimestamp"]) - current
        else:
            requested = int(self._cluster.clock())
            if resource.generation or resource.custom:
                metadata["generation"] = (metadata.get("generation") or 0) + 1
        metadata["deletionTimestamp"] = rfc3339(requested + grace)
        metadata["deletionGracePeriodSeconds"] = grace

    @staticmethod
    def _end_namespace(resource: ServedResource, obj: Json, wanted: Json) -> None:
        keepers = (obj.get("spec") or {}).get("finalizers")
        if keepers and "deletionTimestamp" in obj["metadata"]:
            raise conflict(resource.group_resource, obj["metadata"]["name"], _NAMESPACE_ENDING)
        if keepers:
            wanted["metadata"].pop("deletionGracePeriodSeconds", None)
            wanted["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def _end_definition(self, wanted: Json) -> None:
        """A definition stays until its objects are gone."""
        metadata = wanted["metadata"]
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), CRD_FINALIZER]
        status = dict(wanted.get("status") or {})
        kept = [c for c in status.get("conditions") or () if c.get("type") != "Terminating"]
        status["conditions"] = [
            *kept,
            {
                "type": "Terminating",
                "status": "True",
                "lastTransitionTime": self._cluster.now(),
                "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; "
                "CustomResource deletion will begin soon",
            },
        ]
        wanted["status"] = status

    async def delete_collection(
        self, request: Request, options: DeleteOptions, selector: Selector
    ) -> list[Record]:
        """Deletes what matches, one by one; returns the objects as they were. Raises `StatusError`."""
        cluster, resource = self._cluster, request.resource
        collection = cluster.collection(resource)
        matching = [
            record
            for record in collection.scan(resource.prefix(request.namespace))
            if selector.matches(record, resource)
        ]
        deleted: list[Record] = []
        for record in matching:
            namespace, name = split_key(resource, record.key)
            one = Request(
                resource=resource,
                namespace=namespace,
                name=name,
                subresource="",
                user=request.user,
                manager=request.manager,
                options=request.options,
                warnings=request.warnings,
                annotations=request.annotations,
            )
            try:
                await self.delete(one, options)
            except StatusError as error:
                if error.code != 404:
                    raise
            deleted.append(record)
        return deleted


def _check_preconditions(resource: ServedResource, obj: Json, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    name = metadata["name"]
    if options.uid and options.uid != metadata.get("uid"):
        raise _precondition(
            resource,
            name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({metadata.get('uid')}). The object might have been deleted and then recreated",
        )
    if options.resource_version and options.resource_version != metadata.get("resourceVersion"):
        raise _precondition(
            resource,
            name,
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({metadata.get('resourceVersion')}). The object might "
            f"have been modified",
        )


def _precondition(resource: ServedResource, name: str, why: str) -> StatusError:
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return conflict(qualified, name, why)


def _propagated(finalizers: list[str], options: DeleteOptions) -> list[str]:
    policy = options.propagation_policy
    if not policy and options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if not policy:
        return finalizers
    kept = [name for name in finalizers if name not in (_ORPHAN, _FOREGROUND)]
    if policy == "Orphan":
        kept.append(_ORPHAN)
    elif policy == "Foreground":
        kept.append(_FOREGROUND)
    return kept


def _pod_grace(obj: Json, options: DeleteOptions) -> int:
    """Seconds the kubelet has; 0 if no kubelet runs the pod."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.grace_period_seconds
    if grace is None:
        declared = spec.get("terminationGracePeriodSeconds")
        grace = 30 if declared is None else declared
    return 1 if grace < 0 else int(grace)


def _parse_time(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
