"""Keeps the status of ResourceQuotas: what they allow, and what the objects of their namespace use.

Admission charges what is created; what is deleted, ends or shrinks is found by counting again. That happens
when a quota changes, when an object of the namespace is gone, when a pod has ended, and every five minutes.
A count that is lower than what was charged is made once more a little later: an object may have been charged
and not stored yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgevirt.api.core import Pod, ResourceQuota, ResourceQuotaStatus
from edgevirt.api.meta import Resource
from edgevirt.api.quantity import parse
from edgevirt.api.resources import PODS, RESOURCE_QUOTAS
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.engine.quota.amounts import added
from edgevirt.engine.quota.scopes import counts
from edgevirt.engine.quota.usage import COUNTED, count_name, usage_of
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import key_text, split_key

Json = dict[str, Any]
Kind = tuple[str, str]
"""Group and plural."""

RECOUNT = 300.0
RECHECK = 1.0
_PAGE = 500


def kinds_of(hard: Iterable[str], served: Iterable[Kind]) -> frozenset[Kind]:
    """The kinds whose objects have to be looked at for these names (pure)."""
    counted = {count_name(group, plural): (group, plural) for group, plural in served}
    found: set[Kind] = set()
    for name in hard:
        if name in counted:
            found.add(counted[name])
        elif name in COUNTED:
            found.add(("", name))
        elif name.startswith("services."):
            found.add(("", "services"))
        elif name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
            found.add(("", "persistentvolumeclaims"))
        elif not name.startswith("count/"):
            found.add(("", "pods"))
    return frozenset(found)


def used(spec: Mapping[str, Any], objects: Mapping[Kind, Iterable[Mapping[str, Any]]]) -> dict[str, str]:
    """What `objects` use of what the quota's spec names (pure)."""
    hard = spec.get("hard") or {}
    total: dict[str, str] = dict.fromkeys(hard, "0")
    for (group, plural), listed in objects.items():
        for one in listed:
            if counts(spec, group, plural, one):
                usage = usage_of(group, plural, one)
                total = {
                    name: added({name: amount}, {name: usage[name]})[name] if name in usage else amount
                    for name, amount in total.items()
                }
    return total


class ResourceQuotaController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, "resourcequota-controller", self._reconcile, workers=1)
        self._kinds = shared.kinds
        self._quotas = self._desk.informer(RESOURCE_QUOTAS)
        self._pods = self._desk.informer(PODS)
        self._quotas.add_handler(self._quota_changed)
        self._pods.add_handler(self._pod_changed)
        shared.on_gone(self._recount)

    async def run(self, started: asyncio.Event) -> None:
        await self._desk.run(started)

    def _quota_changed(self, old: ResourceQuota | None, new: ResourceQuota | None) -> None:
        """A charge changes the status only, and needs no count."""
        if new is not None and (old is None or old.spec != new.spec or not _is_counted(new)):
            self._desk.queue.enqueue(key_text(new))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or old is None or pod_state.phase(old) in pod_state.ENDED:
            return
        if pod_state.phase(new) in pod_state.ENDED:
            self._recount(new.metadata.namespace)

    def _recount(self, namespace: str) -> None:
        for one in self._desk.here(self._quotas, namespace):
            self._desk.queue.enqueue(key_text(one))

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        quota = self._quotas.get(name, namespace)
        if quota is None or quota.spec is None or quota.metadata.deletion_timestamp:
            return None
        spec = msgspec.to_builtins(quota.spec)
        resources = {
            (one.resource.group, one.resource.plural): one.resource
            for one in self._kinds.served.resources
            if one.resource.namespaced
        }
        objects = {
            kind: await self._list(resources[kind], namespace)
            for kind in kinds_of(spec.get("hard") or (), resources)
            if kind in resources
        }
        wanted = ResourceQuotaStatus(hard=quota.spec.hard, used=used(spec, objects))
        await self._desk.write_status(RESOURCE_QUOTAS, self._quotas, quota, quota.status, wanted)
        lower = any(
            parse(amount) < parse(quota.status.used.get(name, "0") if quota.status else "0")
            for name, amount in wanted.used.items()
        )
        return Result(requeue_after=RECHECK if lower else RECOUNT)

    async def _list(self, resource: Resource[Any], namespace: str) -> list[Json]:
        plain = Resource(resource.group, resource.version, resource.plural, resource.kind, dict)
        found: list[Json] = []
        token = ""
        while True:
            page = await self._desk.client.list(plain, namespace=namespace, limit=_PAGE, continue_token=token)
            found.extend(page.items)
            token = page.continue_token
            if not token:
                return found


def _is_counted(quota: ResourceQuota) -> bool:
    return quota.status is not None and quota.spec is not None and quota.status.hard == quota.spec.hard
