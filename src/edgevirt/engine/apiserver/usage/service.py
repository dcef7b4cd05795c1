"""Answers get and list of metrics.k8s.io from the kubelets of the nodes in question.

A node that cannot be read is left out of a list, with its pods, and not found by name: that is how a client
of a metrics server learns that there is no fresh measurement.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp

from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError, not_found
from edgevirt.engine.apiserver.nodes.kubelet import Kubelets
from edgevirt.engine.apiserver.reading.selectors import Selector
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.usage.documents import GROUP, node_metrics, pod_metrics
from edgevirt.engine.apiserver.usage.meter import Meter
from edgevirt.engine.apiserver.usage.readings import Reading, between, of_pod, parse

Json = dict[str, Any]
Readings = dict[str, tuple[Reading, Reading]]

_log = logging.getLogger("edgevirt.engine.apiserver.usage")
_SECONDS = 10.0
_MOST_BYTES = 16 << 20


class ResourceMetrics:
    """Implements the resources `nodes` and `pods` of the group."""

    def __init__(self, cluster: Cluster, kubelets: Kubelets) -> None:
        self._cluster = cluster
        self._kubelets = kubelets
        self._meter = Meter(self._fetch)

    async def get(self, resource: ServedResource, namespace: str, name: str) -> Json:
        """One object. Raises `StatusError` 404 if there is no measurement."""
        measured = self._cluster.get("", resource.plural, namespace, name)
        found = await self._measure(resource, [measured] if measured else [])
        if not found:
            shown = f"{namespace}/{name}" if namespace else name
            raise not_found(f"{resource.kind.lower()}.{GROUP}", shown)
        return found[0]

    async def select(self, resource: ServedResource, namespace: str, selector: Selector) -> list[Json]:
        """The objects of the nodes or pods that `selector` takes, in the order of their keys."""
        core = self._cluster.registry.lookup("", "v1", resource.plural)
        assert core is not None
        records = self._cluster.collection(core).scan(core.prefix(namespace))
        objects = [self._cluster.object(core, record) for record in records if selector.matches(record, core)]
        return await self._measure(resource, objects)

    async def _measure(self, resource: ServedResource, objects: list[Json]) -> list[Json]:
        if resource.plural == "nodes":
            readings = await self._read({node["metadata"]["name"] for node in objects})
            return [found for node in objects if (found := _of_node(node, readings)) is not None]
        running = [pod for pod in objects if (pod.get("status") or {}).get("phase") == "Running"]
        readings = await self._read({(pod.get("spec") or {}).get("nodeName") or "" for pod in running})
        return [found for pod in running if (found := _of_pod(pod, readings)) is not None]

    async def _read(self, nodes: set[str]) -> Readings:
        self._meter.keep(frozenset(n["metadata"]["name"] for n in self._cluster.list("", "nodes", "")))
        names = sorted(nodes - {""})
        results = await asyncio.gather(*map(self._meter.read, names), return_exceptions=True)
        readings: Readings = {}
        for name, result in zip(names, results, strict=True):
            if isinstance(result, (StatusError, aiohttp.ClientError, OSError, TimeoutError, ValueError)):
                _log.info("node not measured", extra={"node": name, "why": str(result)})
            elif isinstance(result, BaseException):
                raise result
            else:
                readings[name] = result
        return readings

    async def _fetch(self, node: str) -> Reading:
        target, context = self._kubelets.kubelet_of(node)
        host = f"[{target.host}]" if ":" in target.host else target.host
        url = f"https://{host}:{target.port}/metrics/resource"
        # No redirect is followed: the client certificate is for kubelets, and the network for this server.
        get = self._kubelets.client().get(url, ssl=context, allow_redirects=False)
        async with asyncio.timeout(_SECONDS), get as answer:
            if answer.status != 200:
                raise ValueError(f"the kubelet answered {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"more than {_MOST_BYTES} bytes")
            return parse(body.decode())


def _of_node(node: Json, readings: Readings) -> Json | None:
    found = readings.get(node["metadata"]["name"])
    used = between(found[0].node, found[1].node) if found else None
    return node_metrics(node, used) if used else None


def _of_pod(pod: Json, readings: Readings) -> Json | None:
    found = readings.get(pod["spec"].get("nodeName") or "")
    if found is None:
        return None
    metadata, status = pod["metadata"], pod.get("status") or {}
    running = [
        entry["name"]
        for field in ("containerStatuses", "initContainerStatuses")
        for entry in status.get(field) or ()
        if (entry.get("state") or {}).get("running")
    ]
    used = of_pod(*found, metadata["namespace"], metadata["name"], running)
    return pod_metrics(pod, used) if used else None
