"""The life of CustomResourceDefinitions: serving them, telling so in their status, cleaning up behind them.

A definition is served from the moment it is stored, provided its names are free; the conditions follow. Its
objects go before it does: deletion marks it, the objects are deleted, and when the last one is gone the
finalizer is removed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any, NamedTuple

from edgevirt.engine import failpoints
from edgevirt.engine.apiserver.cluster import Cluster, storage_prefix
from edgevirt.engine.apiserver.conversion import ConversionEndpoint, Converter
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.options import WriteOptions, delete_options
from edgevirt.engine.apiserver.kinds.strategies import CRD_FINALIZER, Custom
from edgevirt.engine.apiserver.objects import decode
from edgevirt.engine.apiserver.reading.selectors import EVERYTHING
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import ADMIN
from edgevirt.engine.apiserver.schema.crd import served_resources
from edgevirt.engine.apiserver.writing.delete import Deletes
from edgevirt.engine.apiserver.writing.write import Request, Writes
from edgevirt.engine.store.records import Event, EventType

_log = logging.getLogger("edgevirt.engine.apiserver")

Json = dict[str, Any]

APPROVAL = "api-approved.kubernetes.io"
GROUP = "apiextensions.k8s.io"
MANAGER = "kube-apiserver"
_NO_OPTIONS = WriteOptions(dry_run=False, field_manager="", field_validation="Ignore")
_RETRY_SECONDS = 5.0


class Conflict(NamedTuple):
    """Why the names of a definition are not accepted, as its condition tells it."""

    reason: str
    message: str


class CustomResources:
    """Follows the definitions. `start` serves what is stored, `run` keeps status and cleans up."""

    def __init__(self, cluster: Cluster, writes: Writes, deletes: Deletes) -> None:
        self._cluster = cluster
        self._writes = writes
        self._deletes = deletes
        self._served: dict[str, Json] = {}
        """Definition name -> the spec that is served; {} when it is terminating."""
        self._refused: dict[str, Conflict] = {}
        """Definition name -> why its names are not accepted."""
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        resource = cluster.registry.lookup(GROUP, "v1", "customresourcedefinitions")
        assert resource is not None
        self._resource = resource

    def start(self) -> None:
        """Serves every stored definition and follows changes from now on."""
        collection = self._cluster.collection(self._resource)
        for record in collection.scan():
            self._take(decode(record))
        collection.observe(self._changed)

    def _changed(self, event: Event) -> None:
        definition = decode(event.record)
        try:
            if event.type is EventType.DELETED:
                self._withdraw(definition)
            else:
                self._take(definition)
        except Exception:
            # An observer must not fail the write that it observes.
            name = definition["metadata"]["name"]
            _log.exception("custom resource definition cannot be served", extra={"crd": name})
            self._refused[name] = Conflict(
                "NotServed", "the definition cannot be served; see the server's log"
            )
            self._queue.put_nowait(name)

    def _take(self, definition: Json) -> None:
        name, spec = definition["metadata"]["name"], definition["spec"]
        terminating = bool(definition["metadata"].get("deletionTimestamp"))
        self._queue.put_nowait(name)
        wanted: Json = {} if terminating else spec
        if self._served.get(name) == wanted and (wanted or name in self._served):
            return
        conflict = self._conflict(name, spec)
        if conflict is not None:
            self._refused[name] = conflict
            return
        self._refused.pop(name, None)
        group, plural = spec["group"], spec["names"]["plural"]
        fields = frozenset(
            entry["jsonPath"].removeprefix(".")
            for version in spec["versions"]
            for entry in version.get("selectableFields") or ()
        )
        resources = served_resources(
            definition, Custom(fields), storage_prefix(group, plural), self._converter(spec)
        )
        if terminating:
            resources = [_without_create(resource) for resource in resources]
        known = self._served.get(name)
        self._served[name] = wanted
        self._cluster.registry.replace(group, plural, resources)
        if known and wanted:
            # Watches began under the old schema; they begin anew under the one that counts now.
            self._end_watches(group, plural)

    def _withdraw(self, definition: Json) -> None:
        name, spec = definition["metadata"]["name"], definition["spec"]
        self._refused.pop(name, None)
        if self._served.pop(name, None) is None:
            return
        group, plural = spec["group"], spec["names"]["plural"]
        self._cluster.registry.replace(group, plural, ())
        self._end_watches(group, plural)
        # Names that were taken may be free now.
        for waiting in self._refused:
            record = self._cluster.collection(self._resource).get(waiting)
            if record is not None:
                self._take(decode(record))
                break

    def _end_watches(self, group: str, plural: str) -> None:
        collection = self._cluster.store.collection(storage_prefix(group, plural))
        for subscription in tuple(collection.subscriptions):
            subscription.close()

    def _converter(self, spec: Json) -> Converter | None:
        conversion = spec.get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return None
        storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
        endpoint = ConversionEndpoint.from_dict((conversion.get("webhook") or {}).get("clientConfig") or {})
        seams = self._cluster.seams
        return Converter(spec["group"], spec["names"]["kind"], storage, endpoint, lambda: seams.conversion)

    def _conflict(self, name: str, spec: Json) -> Conflict | None:
        """Which name is taken by another resource of the group; the last one found, as on a real server."""
        group, names = spec["group"], spec["names"]
        plural, kind = names["plural"], names["kind"]
        others = [
            resource
            for resource in self._cluster.registry.list()
            if resource.group == group
            and not (resource.plural == plural and f"{plural}.{group}" == name and resource.custom)
        ]
        words = {word for other in others for word in (other.plural, other.singular, *other.short_names)}
        kinds = {word for other in others for word in (other.kind, other.list_kind)}
        found: Conflict | None = None
        for reason, wanted, taken in (
            ("PluralConflict", [plural], words),
            ("SingularConflict", [names.get("singular") or kind.lower()], words),
            ("ShortNamesConflict", list(names.get("shortNames") or ()), words),
            ("KindConflict", [kind], kinds),
            ("ListKindConflict", [names.get("listKind") or f"{kind}List"], kinds),
        ):
            used = [f'"{word}" is already in use' for word in wanted if word in taken]
            if used:
                found = Conflict(reason, used[0] if len(used) == 1 else f"[{', '.join(used)}]")
        return found

    async def run(self) -> None:
        """Writes conditions and finishes deletions until cancelled."""
        while True:
            name = await self._queue.get()
            try:
                await self._reconcile(name)
            except StatusError as error:
                if error.code in (404, 409):
                    # Gone, or changed meanwhile: the change has its own entry in the queue.
                    continue
                _log.warning("custom resource definition: %s", error.message, extra={"crd": name})
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._queue.put_nowait, name)

    async def _reconcile(self, name: str) -> None:
        record = self._cluster.collection(self._resource).get(name)
        if record is None:
            return
        definition = decode(record)
        if definition["metadata"].get("deletionTimestamp"):
            await self._clean_up(definition)
            return
        refused = self._refused.get(name)
        failpoints.hit(failpoints.DEFINITION_ACCEPTED)

        def accept(stored: Json) -> Json:
            status = dict(stored.get("status") or {})
            wanted = _conditions(status.get("conditions") or [], refused)
            approval = _approval(stored)
            if approval is not None:
                wanted.append(approval)
            status["conditions"] = _merged(status.get("conditions") or [], wanted, self._cluster.now())
            if refused is None:
                status["acceptedNames"] = stored["spec"]["names"]
            stored["status"] = status
            return stored

        await self._writes.update(self._request(name, "status"), accept, patch=True)

    def _request(self, name: str, subresource: str = "") -> Request:
        return Request(
            resource=self._resource,
            namespace="",
            name=name,
            subresource=subresource,
            user=ADMIN,
            manager=MANAGER,
            options=_NO_OPTIONS,
            warnings=[],
        )

    async def _clean_up(self, definition: Json) -> None:
        name, spec = definition["metadata"]["name"], definition["spec"]
        if CRD_FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return
        group, plural = spec["group"], spec["names"]["plural"]
        resource = self._cluster.registry.storage_of(group, plural)
        collection = self._cluster.store.collection(storage_prefix(group, plural))
        if resource is not None and len(collection):
            options = delete_options(_NO_QUERY, {})
            everything = Request(
                resource=resource,
                namespace="",
                name="",
                subresource="",
                user=ADMIN,
                manager=MANAGER,
                options=_NO_OPTIONS,
                warnings=[],
            )
            await self._deletes.delete_collection(everything, options, EVERYTHING)
            failpoints.hit(failpoints.DEFINITION_EMPTIED)
            if len(collection):
                self._await_empty(name, storage_prefix(group, plural))
                await self._writes.update(self._request(name, "status"), self._in_progress, patch=True)
                return

        def release(stored: Json) -> Json:
            metadata = stored["metadata"]
            metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != CRD_FINALIZER]
            return stored

        await self._writes.update(self._request(name), release, patch=True)

    def _in_progress(self, stored: Json) -> Json:
        """Tells that the objects are on their way, but something keeps them."""
        status = dict(stored.get("status") or {})
        text = "CustomResource deletion is in progress"
        terminating = _condition("Terminating", "True", "InstanceDeletionInProgress", text)
        status["conditions"] = _merged(status.get("conditions") or [], [terminating], self._cluster.now())
        stored["status"] = status
        return stored

    def _await_empty(self, name: str, prefix: str) -> None:
        """Looks at the definition again when its last object has gone."""
        collection = self._cluster.store.collection(prefix)

        def deleted(event: Event) -> None:
            if not len(collection):
                end()
                self._queue.put_nowait(name)

        end = collection.observe(deleted)


class _NoQuery(dict[str, str]):
    def getall(self, name: str, default: list[str]) -> list[str]:
        return default


_NO_QUERY = _NoQuery()


def _without_create(resource: ServedResource) -> ServedResource:
    verbs = tuple(verb for verb in resource.verbs if verb != "create")
    return dataclasses.replace(resource, verbs=verbs)


def _conditions(current: list[Json], refused: Conflict | None) -> list[Json]:
    if refused is None:
        return [
            _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
    wanted = [_condition("NamesAccepted", "False", refused.reason, refused.message)]
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in current)
    if not established:  # what was established stays so, under the names it had
        wanted.append(_condition("Established", "False", "NotAccepted", "not all names are accepted"))
    return wanted


def _approval(definition: Json) -> Json | None:
    """Groups of the Kubernetes project say whether their API was approved."""
    group = definition["spec"]["group"]
    if not f".{group}".endswith((".k8s.io", ".kubernetes.io")):
        return None
    value = (definition["metadata"].get("annotations") or {}).get(APPROVAL) or ""
    type_ = "KubernetesAPIApprovalPolicyConformant"
    if value.startswith("unapproved"):
        text = f'not approved: "{value}"'
        return _condition(type_, "False", "UnapprovedAnnotation", text)
    return _condition(type_, "True", "ApprovedAnnotation", f"approved in {value}")


def _merged(current: list[Json], wanted: list[Json], now: str) -> list[Json]:
    known = {condition.get("type"): condition for condition in current}
    for condition in wanted:
        before = known.pop(condition["type"], None)
        same = before is not None and before.get("status") == condition["status"]
        condition["lastTransitionTime"] = before["lastTransitionTime"] if same and before else now
    return [*wanted, *known.values()]


def _condition(type_: str, status: str, reason: str, message: str) -> Json:
    return {"type": type_, "status": status, "lastTransitionTime": "", "reason": reason, "message": message}
