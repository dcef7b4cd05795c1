"""What exists before anybody asks: namespaces, RBAC roles, the groups served here, whom to trust."""

from __future__ import annotations

import logging
from typing import Any

from edgevirt.engine.apiserver.aggregation.local import api_service
from edgevirt.engine.apiserver.auth.bootstrap import objects as rbac_objects
from edgevirt.engine.apiserver.auth.bootstrap import reconciled
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.options import WriteOptions
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import ADMIN
from edgevirt.engine.apiserver.writing.write import Request, Writes

_log = logging.getLogger("edgevirt.engine.apiserver.bootstrap")

Json = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITY_CLASSES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to "
        "another node if necessary.",
    ),
)
MANAGER = "kube-apiserver"
_OPTIONS = WriteOptions(dry_run=False, field_manager=MANAGER, field_validation="Ignore")


class Bootstrap:
    """Creates what is missing; what an administrator changed stays, except for roles' own rules."""

    def __init__(self, cluster: Cluster, writes: Writes) -> None:
        self._cluster = cluster
        self._writes = writes
        self._by_kind = {
            (resource.api_version, resource.kind): resource for resource in cluster.registry.list()
        }

    async def run(self, configuration: list[Json], kubernetes: list[Json]) -> None:
        """`configuration` are further objects, replaced when they differ. Raises `StatusError`.

        So is `kubernetes`, the service of this server; one that cannot be made is told and left out, because
        its address may be another service's after the range was changed.
        """
        for name in NAMESPACES:
            await self._ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for document in rbac_objects():
            await self._ensure(document, reconcile=True)
        for name, value, description in PRIORITY_CLASSES:
            await self._ensure(
                {
                    "apiVersion": "scheduling.k8s.io/v1",
                    "kind": "PriorityClass",
                    "metadata": {"name": name},
                    "value": value,
                    "description": description,
                }
            )
        for group, versions in self._cluster.registry.groups().items():
            for version in versions:
                await self._ensure(api_service(group, version))
        for document in configuration:
            await self._replace(document)
        for document in kubernetes:
            try:
                await self._replace(document)
            except StatusError as error:
                _log.error("the service kubernetes is incomplete", extra={"error": error.message})

    def _request(self, document: Json) -> Request:
        resource: ServedResource = self._by_kind[(document["apiVersion"], document["kind"])]
        metadata = document["metadata"]
        return Request(
            resource=resource,
            namespace=metadata.get("namespace") or "",
            name=metadata["name"],
            subresource="",
            user=ADMIN,
            manager=MANAGER,
            options=_OPTIONS,
            warnings=[],
        )

    def _stored(self, request: Request) -> Json | None:
        key = request.resource.key(request.namespace, request.name)
        record = self._cluster.collection(request.resource).get(key)
        return None if record is None else self._cluster.object(request.resource, record)

    async def _ensure(self, document: Json, reconcile: bool = False) -> None:
        request = self._request(document)
        current = self._stored(request)
        if current is None:
            await self._create(request, document)
        elif reconcile and (wanted := reconciled(current, document)) is not None:
            await self._writes.update(request, lambda stored: wanted, patch=True)

    async def _create(self, request: Request, document: Json) -> None:
        try:
            await self._writes.create(request, document)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _replace(self, document: Json) -> None:
        request = self._request(document)
        if self._stored(request) is None:
            await self._create(request, document)
            return

        def replace(stored: Json) -> Json:
            kept = {name: stored[name] for name in ("apiVersion", "kind", "metadata")}
            rest = {name: value for name, value in document.items() if name not in kept}
            return {**kept, **rest}

        await self._writes.update(request, replace, patch=True)


def kubernetes_service(cluster_address: str, address: str, port: int) -> list[Json]:
    """The service `kubernetes` of this server, and its endpoint if it has an address for pods."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata: Json = {"name": "kubernetes", "namespace": "default"}
    service: Json = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_address,
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }
    if not address:
        return [service]
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    return [
        service,
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
