"""The proxy subresources of pods, services and nodes: HTTP to what they serve, through this server.

Pods and services are reached by address, so the certificate of one that speaks TLS cannot be checked; a node
without a port, or with its kubelet's, means the kubelet, over mTLS. The caller's credentials stay here.
Bodies are streamed, upgrades are joined, and redirects are rewritten to lead through the proxy again.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from edgevirt.engine.apiserver.aggregation.endpoints import Target
from edgevirt.engine.apiserver.aggregation.failures import describe
from edgevirt.engine.apiserver.aggregation.headers import forwarded, returned
from edgevirt.engine.apiserver.aggregation.proxy import may_be_forwarded
from edgevirt.engine.apiserver.aggregation.upgrade import HandshakeFailed, proxy_upgrade, wants_upgrade
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import bad_request, not_found, service_unavailable
from edgevirt.engine.apiserver.nodes.kubelet import Kubelets
from edgevirt.engine.apiserver.nodes.proxy_target import (
    ProxyName,
    may_be_reached,
    parse_name,
    remaining_path,
    rewritten_location,
)
from edgevirt.engine.apiserver.writing.write import Request

Json = dict[str, Any]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PORTS = {"http": 80, "https": 443, "": 80}
_SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class _Backend:
    target: Target
    context: ssl.SSLContext | None

    @property
    def origin(self) -> str:
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        return f"{'http' if self.context is None else 'https'}://{host}:{self.target.port}"


class ObjectProxy:
    """Serves `proxy` of pods, services and nodes. Raises `StatusError`."""

    def __init__(self, cluster: Cluster, kubelets: Kubelets) -> None:
        self._cluster = cluster
        self._kubelets = kubelets
        self._turn = 0

    async def serve(self, request: Request, raw: web.BaseRequest) -> web.StreamResponse:
        plural = request.resource.plural
        name = parse_name(request.name)
        if name is None:
            raise bad_request(f'invalid {request.resource.singular} request "{request.name}"')
        find = {"pods": self._pod, "services": self._service, "nodes": self._node}[plural]
        backend = find(request, name)
        sent = raw.rel_url.raw_path
        path = remaining_path(sent, request.resource.namespaced)
        if path is None and not wants_upgrade(raw.headers):
            query = f"?{raw.rel_url.raw_query_string}" if raw.rel_url.raw_query_string else ""
            return web.Response(status=301, headers={"Location": f"{sent}/{query}"})
        path = path or "/"
        if not may_be_forwarded(path.rstrip("/")):
            raise bad_request("the path must not contain empty, . or .. segments")
        prefix = sent.removesuffix(path) if path != "/" else sent.removesuffix("/")
        if raw.rel_url.raw_query_string:
            path += f"?{raw.rel_url.raw_query_string}"
        return await self._forward(raw, request, backend, path, prefix)

    async def _forward(
        self, raw: web.BaseRequest, request: Request, backend: _Backend, path: str, prefix: str
    ) -> web.StreamResponse:
        upgrade = wants_upgrade(raw.headers)
        headers = CIMultiDict(
            (name, value)
            for name, value in forwarded(raw.headers, request.user, raw.remote or "", upgrade).items()
            if not name.lower().startswith("x-remote-")
        )
        headers["X-Forwarded-Uri"] = prefix + path.partition("?")[0]
        headers["X-Forwarded-Proto"] = "https"
        headers["X-Forwarded-Host"] = raw.host
        try:
            if upgrade:
                target = backend.target
                return await proxy_upgrade(cast(web.Request, raw), target, backend.context, path, headers)
            return await self._stream(raw, backend, path, prefix, headers)
        except (aiohttp.ClientError, OSError, HandshakeFailed, TimeoutError) as error:
            raise service_unavailable(f"error trying to reach service: {describe(error)}") from error

    async def _stream(
        self, raw: web.BaseRequest, backend: _Backend, path: str, prefix: str, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        async with self._kubelets.client().request(
            raw.method,
            URL(backend.origin + path, encoded=True),
            data=raw.content if raw.body_exists else None,
            headers={**headers, "Host": raw.host},
            ssl=backend.context if backend.context is not None else True,
            server_hostname=backend.target.server_name if backend.context is not None else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            kept = returned(answer.headers)
            if "Location" in kept:
                hosts = frozenset({raw.host, f"{backend.target.host}:{backend.target.port}"})
                kept["Location"] = rewritten_location(kept["Location"], prefix, hosts)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            await response.prepare(raw)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (aiohttp.ClientError, OSError):
                # The body is not complete, and only the connection's end can still say so.
                if raw.transport is not None:
                    raw.transport.abort()
            return response

    def _pod(self, request: Request, name: ProxyName) -> _Backend:
        pod = self._cluster.get("", "pods", request.namespace, name.name)
        if pod is None:
            raise not_found("pods", name.name)
        address = (pod.get("status") or {}).get("podIP") or ""
        if not may_be_reached(address):
            raise bad_request("address not allowed")
        containers = (pod.get("spec") or {}).get("containers") or ()
        declared = [str(port["containerPort"]) for c in containers for port in c.get("ports") or ()]
        port = name.port or next(iter(declared), "")
        return _backend(name.scheme, address, port or str(_PORTS[name.scheme]))

    def _service(self, request: Request, name: ProxyName) -> _Backend:
        service = self._cluster.get("", "services", request.namespace, name.name)
        if service is None:
            raise not_found("services", name.name)
        port = name.port
        if port.isdigit():
            ports = (service.get("spec") or {}).get("ports") or ()
            named = [entry.get("name") or "" for entry in ports if entry.get("port") == int(port)]
            if not named:
                raise service_unavailable(f'no service port {port} found for service "{name.name}"')
            port = named[0]
        found = list(self._endpoints(request.namespace, name.name, port))
        if not found:
            raise service_unavailable(f'no endpoints available for service "{request.name}"')
        self._turn += 1
        address, number = found[self._turn % len(found)]
        if not may_be_reached(address):
            raise bad_request("address not allowed")
        return _backend(name.scheme, address, str(number))

    def _endpoints(self, namespace: str, service: str, port: str) -> Iterator[tuple[str, int]]:
        """Ready addresses, from the Endpoints object or else from the slices."""
        endpoints = self._cluster.get("", "endpoints", namespace, service)
        for subset in (endpoints or {}).get("subsets") or ():
            for entry in subset.get("ports") or ():
                if (entry.get("name") or "") == port:
                    for address in subset.get("addresses") or ():
                        yield address["ip"], entry["port"]
        if endpoints is not None:
            return
        for document in self._cluster.list("discovery.k8s.io", "endpointslices", namespace):
            if (document["metadata"].get("labels") or {}).get(_SERVICE_OF_SLICE) != service:
                continue
            for entry in document.get("ports") or ():
                if (entry.get("name") or "") == port and entry.get("port"):
                    for endpoint in document.get("endpoints") or ():
                        if (endpoint.get("conditions") or {}).get("ready", True) is not False:
                            yield from ((address, entry["port"]) for address in endpoint["addresses"])

    def _node(self, request: Request, name: ProxyName) -> _Backend:
        target, context = self._kubelets.kubelet_of(name.name)
        if not name.port or name.port == str(target.port):
            return _Backend(target, context)
        if not may_be_reached(target.host):
            raise bad_request("address not allowed")
        return _backend(name.scheme, target.host, name.port)


def _backend(scheme: str, host: str, port: str) -> _Backend:
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise service_unavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
    return _Backend(Target(host, int(port), host), _unchecked() if scheme == "https" else None)


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
