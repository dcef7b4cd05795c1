"""Requests that connect through this server: to a container, or by proxy to a pod, a service, a node.

Exec, attach and port-forward are asked for with POST by SPDY clients and, of necessity, with GET by websocket
clients. So that leave to read is not leave to run commands, a GET needs the permission to create as well, as
in Kubernetes since 1.35.
"""

from __future__ import annotations

from aiohttp import web

from edgevirt.engine.apiserver.auth.refusal import refusal
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import method_not_allowed
from edgevirt.engine.apiserver.nodes.connect_options import connect_options
from edgevirt.engine.apiserver.nodes.kubelet import Kubelets
from edgevirt.engine.apiserver.nodes.object_proxy import METHODS, ObjectProxy
from edgevirt.engine.apiserver.request import Attributes
from edgevirt.engine.apiserver.writing.write import Request, Writes

SUBRESOURCES = frozenset({"exec", "attach", "portforward", "proxy"})


class Connections:
    """Serves what `SUBRESOURCES` names. Raises `StatusError`."""

    def __init__(self, cluster: Cluster, writes: Writes, kubelets: Kubelets) -> None:
        self._cluster = cluster
        self._writes = writes
        self._kubelets = kubelets
        self._proxy = ObjectProxy(cluster, kubelets)

    async def serve(self, raw: web.BaseRequest, request: Request, path: str) -> web.StreamResponse:
        """`path` is what follows the subresource in the request's path."""
        is_proxy = request.subresource == "proxy"
        if raw.method not in (METHODS if is_proxy else ("GET", "POST")):
            raise method_not_allowed()
        if raw.method == "GET" and not is_proxy:
            self._require_create(request)
        plural = request.resource.plural
        options = connect_options(plural, request.subresource, raw.query, path)
        await self._writes.admit(request, "CONNECT", options)
        if is_proxy:
            return await self._proxy.serve(request, raw)
        return await self._kubelets.connect(request, raw)

    def _require_create(self, request: Request) -> None:
        resource = request.resource
        attributes = Attributes(
            user=request.user,
            verb="create",
            group=resource.group,
            version=resource.version,
            resource=resource.plural,
            subresource=request.subresource,
            namespace=request.namespace,
            name=request.name,
        )
        decision = self._cluster.seams.authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision)
