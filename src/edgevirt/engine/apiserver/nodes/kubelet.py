"""Forwarding to the kubelet of a pod's node: logs are streamed, exec, attach and port-forward joined.

The kubelet is asked over mTLS with this server's own client certificate; whether the caller may was decided
before, as pods/log or pods/exec.
"""

from __future__ import annotations

import ssl
from typing import Any, cast
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, MultiMapping

from edgevirt.engine.apiserver.aggregation.endpoints import Target
from edgevirt.engine.apiserver.aggregation.headers import without_bearer
from edgevirt.engine.apiserver.aggregation.upgrade import HandshakeFailed, proxy_upgrade, wants_upgrade
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import (
    StatusError,
    bad_request,
    internal,
    not_found,
    service_unavailable,
)
from edgevirt.engine.apiserver.nodes.connect_options import is_set
from edgevirt.engine.apiserver.writing.write import Request

Json = dict[str, Any]

DEFAULT_PORT = 10250
CONNECT_SECONDS = 10.0
_ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")
_LOG_PARAMETERS = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "limitBytes",
    "timestamps",
    "stream",
)
_EXEC_PARAMETERS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


class Kubelets:
    """Connections to the kubelets of all nodes. Close it when the server ends."""

    def __init__(self, cluster: Cluster, context: ssl.SSLContext | None) -> None:
        """`context` carries the client certificate and trusts the kubelets' CA; None refuses forwarding."""
        self._cluster = cluster
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    def renew(self, context: ssl.SSLContext | None) -> None:
        """Uses another context for new connections."""
        self._context = context

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            # Streams hold their connection for hours, so there is no limit; cookies are the clients' affair.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=timeout,
                auto_decompress=False,
            )
        return self._session

    def _locate(self, pod: Json) -> tuple[Target, ssl.SSLContext]:
        name = (pod.get("spec") or {}).get("nodeName")
        if not name:
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        return self.kubelet_of(name, "pods")

    def kubelet_of(self, name: str, asked_for: str = "nodes") -> tuple[Target, ssl.SSLContext]:
        """Where the kubelet of node `name` listens, and how to speak to it. Raises `StatusError`.

        Kubernetes says of a node that is not there that what was `asked_for` is not found.
        """
        node = self._cluster.get("", "nodes", "", name)
        if node is None:
            raise not_found(asked_for, name)
        if self._context is None:
            raise service_unavailable("this server has no client certificate for kubelets")
        status = node.get("status") or {}
        addresses = {entry.get("type"): entry.get("address") for entry in status.get("addresses") or ()}
        host = next((addresses[kind] for kind in _ADDRESS_TYPES if addresses.get(kind)), None)
        if not host:
            raise internal(
                f'no preferred addresses found; known addresses of node "{name}": {sorted(addresses)}'
            )
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return Target(host, endpoint.get("Port") or DEFAULT_PORT, host), self._context

    async def log(self, request: Request, raw: web.BaseRequest) -> web.StreamResponse:
        """pods/log. Raises `StatusError`."""
        pod = self._pod(request)
        container = _choose_container(pod, raw.query.get("container", ""))
        if not (pod.get("spec") or {}).get("nodeName"):
            # Nothing ran yet, so there is nothing to show.
            return web.Response(status=204)
        target, context = self._locate(pod)
        query = {name: raw.query[name] for name in _LOG_PARAMETERS if name in raw.query}
        path = f"/containerLogs/{quote(request.namespace)}/{quote(request.name)}/{quote(container)}"
        url = f"https://{_host(target)}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            async with self.client().get(url, ssl=context, allow_redirects=False) as answer:
                if answer.status >= 400:
                    text = (await answer.content.read(4096)).decode("utf-8", "replace").strip()
                    raise _kubelet_error(answer.status, text)
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await response.prepare(raw)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if raw.transport is None or raw.transport.is_closing():
                raise ConnectionResetError("the client left") from error
            raise internal(f"Get {url!r}: {error}") from error

    async def connect(self, request: Request, raw: web.BaseRequest) -> web.StreamResponse:
        """pods/exec, attach and portforward: an upgraded connection. Raises `StatusError`."""
        pod = self._pod(request)
        target, context = self._locate(pod)
        if not wants_upgrade(raw.headers):
            raise bad_request("Upgrade request required")
        path = f"/{_KUBELET_PATH[request.subresource]}/{quote(request.namespace)}/{quote(request.name)}"
        query: list[tuple[str, str]] = []
        if request.subresource == "portforward":
            query = [("port", port) for port in raw.query.getall("ports", [])]
        else:
            path += "/" + quote(_choose_container(pod, raw.query.get("container", "")))
            query = [("command", part) for part in raw.query.getall("command", [])]
            query += [
                (theirs, "1") for name, theirs in _EXEC_PARAMETERS.items() if is_set(raw.query.get(name, ""))
            ]
        if query:
            path += "?" + urlencode(query)
        headers = handshake(raw.headers)
        try:
            # The joint only uses what the base class offers.
            return await proxy_upgrade(cast(web.Request, raw), target, context, path, headers)
        except (OSError, HandshakeFailed, TimeoutError) as error:
            raise internal(f"error dialing backend: {error}") from error

    def _pod(self, request: Request) -> Json:
        return self._cluster.object(
            request.resource, self._cluster.record(request.resource, request.namespace, request.name)
        )


_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_KUBELET_PATH = {"exec": "exec", "attach": "attach", "portforward": "portForward"}
_FORWARDED = frozenset({"connection", "upgrade", "x-stream-protocol-version"})


def handshake(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """What the kubelet is told of a client's handshake: no credentials, not even a browser's. Pure."""
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == "sec-websocket-protocol":
            value = without_bearer(value)
        if value and (lowered in _FORWARDED or lowered.startswith("sec-websocket-")):
            found.add(name, value)
    return found


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _choose_container(pod: Json, wanted: str) -> str:
    spec = pod.get("spec") or {}
    names = [c["name"] for field in _CONTAINERS for c in spec.get(field) or ()]
    name = pod["metadata"]["name"]
    if wanted:
        if wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    main = [container["name"] for container in spec.get("containers") or ()]
    if len(main) != 1:
        text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
        if init := [container["name"] for container in spec.get("initContainers") or ()]:
            text += f" or one of the init containers: [{' '.join(init)}]"
        raise bad_request(text)
    return str(main[0])


def _kubelet_error(status: int, text: str) -> StatusError:
    if status == 400:
        return bad_request(text)
    if status == 404:
        return StatusError(404, "NotFound", f"the server could not find the requested resource ({text})")
    return internal(text or f"the kubelet answered {status}")
