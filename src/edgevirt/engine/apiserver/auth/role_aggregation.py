"""Aggregated ClusterRoles: their rules are those of the ClusterRoles they select, written into them.

Decisions do not wait for it (`rbac` resolves selections by itself); this is for everybody who reads the
roles, and what an administrator writes into an aggregated role is overwritten, as in Kubernetes. A role may
select aggregated ones: each write causes the next, until nothing changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, selects_role
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.options import WriteOptions
from edgevirt.engine.apiserver.request import ADMIN
from edgevirt.engine.apiserver.writing.write import Request, Writes

_log = logging.getLogger("edgevirt.engine.apiserver")

MANAGER = "clusterrole-aggregation-controller"
_OPTIONS = WriteOptions(dry_run=False, field_manager=MANAGER, field_validation="Ignore", force=True)
_RETRY_SECONDS = 10.0

Json = dict[str, Any]


def aggregated_rules(role: Mapping[str, Any], roles: Sequence[Mapping[str, Any]]) -> list[Json] | None:
    """The rules `role` should have, None if it is not aggregated. `roles` are all, in the order of names."""
    rule = role.get("aggregationRule")
    if not rule:
        return None
    name = role["metadata"]["name"]
    found: list[Json] = []
    for selector in rule.get("clusterRoleSelectors") or ():
        for other in roles:
            labels = other["metadata"].get("labels") or {}
            if other["metadata"]["name"] == name or not selects_role(selector, labels):
                continue
            found.extend(entry for entry in other.get("rules") or () if entry not in found)
    return found


def _same(one: Sequence[Json], other: Sequence[Json]) -> bool:
    """Whether both hold the same rules: roles that select each other would never agree on an order."""
    return all(rule in other for rule in one) and all(rule in one for rule in other)


class RoleAggregation:
    """`settle` before the server listens, then `run` for as long as it does."""

    def __init__(self, cluster: Cluster, writes: Writes) -> None:
        self._cluster = cluster
        self._writes = writes
        self._changed = asyncio.Event()

    async def settle(self) -> None:
        """Writes until every aggregated role holds what it selects."""
        while await self._aggregate():
            pass

    async def run(self) -> None:
        end = self._cluster.observe(RBAC_GROUP, "clusterroles", lambda *_: self._changed.set())
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._aggregate()
        finally:
            end()

    async def _aggregate(self) -> bool:
        """Whether anything was written."""
        written = False
        roles = self._cluster.list(RBAC_GROUP, "clusterroles")
        for role in roles:
            wanted = aggregated_rules(role, roles)
            if wanted is None or _same(wanted, role.get("rules") or []):
                continue
            try:
                await self._writes.apply(*self._configuration(role["metadata"]["name"], wanted), force=True)
                written = True
            except StatusError as error:
                if error.code in (404, 409):
                    continue  # it changed meanwhile, which wakes us again
                name = role["metadata"]["name"]
                _log.warning("a role cannot be aggregated: %s", error, extra={"role": name})
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._changed.set)
        return written

    def _configuration(self, name: str, rules: list[Json]) -> tuple[Request, Json]:
        resource = self._cluster.registry.lookup(RBAC_GROUP, "v1", "clusterroles")
        assert resource is not None
        request = Request(
            resource=resource,
            namespace="",
            name=name,
            subresource="",
            user=ADMIN,
            manager=MANAGER,
            options=_OPTIONS,
            warnings=[],
        )
        metadata = {"name": name}
        config = {
            "apiVersion": resource.api_version,
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": rules,
        }
        return request, config
