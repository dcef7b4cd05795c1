"""A Kubernetes API, as a handful of typed calls.

One connection pool, one identity, no cache. Requests that the server provably did not act on (429, or 5xx
with Retry-After) are repeated with back-off, other failures of reads that look temporary too; a write whose
outcome is unknown is never repeated here. Everything is bounded: number of requests in flight, duration of
each.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from edgevirt.api.meta import DeleteOptions, Preconditions, Resource, Status, StatusDetails
from edgevirt.kube import codec, errors, kubeconfig, objects
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.clock import Clock, SystemClock
from edgevirt.kube.codec import ObjectList
from edgevirt.kube.credentials import Credentials
from edgevirt.kube.kubeconfig import KubeConfig
from edgevirt.kube.watch import MAX_LINE, EventType, LineSplitter, WatchEvent, parse

__all__ = ["Client", "EventType", "ObjectList", "PatchType", "WatchEvent"]

T = TypeVar("T")
_Headers = list[tuple[str, str]]
log = logging.getLogger("edgevirt.kube.client")

MAX_ATTEMPTS: Final = 6
MAX_RETRY_AFTER: Final = 30.0
_RETRY = BackoffPolicy(base=0.1, factor=2.0, cap=5.0, jitter=0.5)
_TEMPORARY = frozenset({429, 502, 503, 504})
_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class PatchType(enum.Enum):
    """The value is the content type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Client:
    """Use as an async context manager. Safe for any number of tasks of one event loop."""

    def __init__(
        self,
        load: Callable[[], KubeConfig],
        *,
        user_agent: str,
        config_path: Path | None = None,
        clock: Clock | None = None,
        random_: Callable[[], float] = random.random,
        timeout: float = 30.0,
        max_in_flight: int = 64,
    ) -> None:
        self._clock = clock or SystemClock()
        self._random = random_
        self._credentials = Credentials(load, config_path, self._clock)
        self._user_agent = user_agent
        self._timeout = timeout
        self._in_flight = asyncio.Semaphore(max_in_flight)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path, *, user_agent: str, context: str = "") -> Client:
        """The identity of a kubeconfig, followed when a file of it changes. Raises ConfigError."""
        return cls(lambda: kubeconfig.load(path, context), user_agent=user_agent, config_path=path)

    @classmethod
    def in_cluster(cls, *, user_agent: str) -> Client:
        """The identity of the pod we run in. Raises ConfigError outside a cluster."""
        return cls(kubeconfig.in_cluster, user_agent=user_agent)

    @property
    def config(self) -> KubeConfig:
        return self._credentials.config

    @property
    def clock(self) -> Clock:
        return self._clock

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0, socket_factory=_socket)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            read_bufsize=1 << 18,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # Objects

    async def get(self, resource: Resource[T], name: str, *, namespace: str = "", subresource: str = "") -> T:
        """Read one object. Raises NotFound."""
        path = path_of(resource, namespace, name, subresource)
        return codec.decode(await self._read(path, accept=codec.accept(resource, False)), resource)

    async def list(
        self,
        resource: Resource[T],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        limit: int | None = None,
        continue_token: str = "",
    ) -> ObjectList[T]:
        """All objects, of one namespace or (None) of all; with `limit` a page of at most that many."""
        params = _params(labelSelector=label_selector, fieldSelector=field_selector)
        if limit is not None:
            params["limit"] = str(limit)
        if continue_token:
            params["continue"] = continue_token
        path = path_of(resource, namespace or "")
        body = await self._read(path, params=params, accept=codec.accept(resource, True), timeout=120.0)
        return codec.decode_list(body, resource)

    async def create(self, resource: Resource[T], body: object, *, namespace: str = "") -> T:
        """Store a new object; the namespace may also stand in the object. Raises AlreadyExists, Invalid."""
        path = path_of(resource, self._namespace(resource, namespace or objects.namespace_of(body)))
        answer = await self.request(
            "POST", path, body=codec.encode(body, resource), headers={"Content-Type": codec.JSON}
        )
        return codec.decode(answer, resource)

    async def create_subresource(
        self, resource: Resource[Any], name: str, subresource: str, body: object, *, namespace: str = ""
    ) -> bytes:
        """POST to a subresource such as pods/binding or pods/eviction; returns the answer's JSON."""
        path = path_of(resource, self._namespace(resource, namespace), name, subresource)
        return await self.request(
            "POST", path, body=msgspec.json.encode(body), headers={"Content-Type": codec.JSON}
        )

    async def replace(self, resource: Resource[T], body: object, *, subresource: str = "") -> T:
        """PUT the whole object. Typed ones drop fields they don't know: prefer `patch`. Raises Conflict."""
        namespace, name = objects.key_of(body)
        path = path_of(resource, self._namespace(resource, namespace), name, subresource)
        answer = await self.request(
            "PUT", path, body=codec.encode(body, resource), headers={"Content-Type": codec.JSON}
        )
        return codec.decode(answer, resource)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: object,
        *,
        namespace: str = "",
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """Change part of an object and return the result.

        With PatchType.JSON `patch` is a list of operations; with APPLY it is the object as `field_manager`
        wants it (apiVersion and kind are filled in), created if absent, `force` taking over fields of
        others. Raises Conflict when a resourceVersion in the patch is outdated or a JSON test operation
        fails as such, Invalid.
        """
        params = _params(fieldManager=field_manager)
        if type is PatchType.APPLY:
            if not field_manager:
                raise ValueError("server-side apply needs a field_manager")
            params["force"] = "true" if force else "false"
            body = codec.encode(patch, resource)
        else:
            body = msgspec.json.encode(patch)
        path = path_of(resource, self._namespace(resource, namespace), name, subresource)
        answer = await self.request(
            "PATCH", path, body=body, params=params, headers={"Content-Type": type.value}
        )
        return codec.decode(answer, resource)

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        *,
        namespace: str = "",
        propagation: str = "",
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> None:
        """Ask for deletion; returns when it is accepted, which is before it is gone if finalizers hold it.

        `propagation`: "Background", "Foreground" or "Orphan". Raises NotFound, and Conflict when the object
        is no longer the one of `uid` / `resource_version`.
        """
        path = path_of(resource, self._namespace(resource, namespace), name)
        await self._delete(path, {}, propagation, grace_period_seconds, uid, resource_version)

    async def delete_collection(
        self, resource: Resource[Any], *, namespace: str, label_selector: str = "", propagation: str = ""
    ) -> None:
        """Ask for deletion of all (selected) objects of a kind in one namespace."""
        path = path_of(resource, self._namespace(resource, namespace))
        await self._delete(path, _params(labelSelector=label_selector), propagation, None, "", "")

    async def watch(
        self,
        resource: Resource[T],
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Changes after `resource_version`, in order, until the server ends the stream (it does, regularly).

        `timeout` in seconds is how long the server shall keep it open; by default a random 5 to 10 minutes,
        so that many watches don't end at once. Bookmarks are asked for. Raises Expired when the version is
        too old and ConnectionFailed when the stream breaks; resume from the last event's version.
        """
        keep_open = timeout if timeout is not None else 300.0 * (1.0 + self._random())
        params = _params(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=str(max(1, int(keep_open))),
        )
        path = path_of(resource, namespace or "")
        # A server that says nothing for longer than the watch may last is gone, whatever its socket claims.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=keep_open + 30.0)
        splitter = LineSplitter(MAX_LINE)
        try:
            async with self._send(
                "GET", path, None, params, {"Accept": codec.accept(resource, False)}, limits
            ) as response:
                if response.status != 200:
                    raise _failure(response, await response.read())
                while chunk := await response.content.readany():
                    for line in splitter.feed(chunk):
                        yield parse(line, resource)
        except _NETWORK_ERRORS as error:
            raise errors.ConnectionFailed(f"the watch of {path} broke: {_words(error)}") from error
        if splitter.incomplete:
            raise errors.ConnectionFailed(f"the watch of {path} ended within an event")

    # Anything else

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Any request; returns the answer's body. Raises ApiError for a status of 300 or more."""
        limits = aiohttp.ClientTimeout(total=timeout or self._timeout, sock_connect=10.0)
        attempt = 0
        while True:
            failure, answer = await self._once(method, path, body, params or {}, headers or {}, limits)
            if failure is None:
                return answer
            attempt += 1
            delay = self._retry_delay(method, failure, attempt)
            if delay is None:
                raise failure
            log.debug(
                "repeating request",
                extra={"path": path, "code": failure.code, "attempt": attempt, "delay": delay},
            )
            await self._clock.sleep(delay)

    @contextlib.asynccontextmanager
    async def websocket(
        self, path: str, protocols: Sequence[str] = (), *, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A websocket to a subresource. Raises ApiError when the server refuses the upgrade."""
        try:
            socket_ = await self._open_session().ws_connect(
                self.config.server + path,
                protocols=protocols,
                headers=await self._headers({}),
                params=params or {},
                ssl=self._credentials.ssl_argument(),
                server_hostname=self.config.tls_server_name or None,
                proxy=self.config.proxy_url or None,
                heartbeat=30.0,
                compress=0,
                max_msg_size=MAX_LINE,
                timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise await self._refusal(path, params, error) from error
        except _NETWORK_ERRORS as error:
            raise errors.ConnectionFailed(f"cannot open the websocket {path}: {_words(error)}") from error
        try:
            yield socket_
        finally:
            await socket_.close()

    async def _refusal(
        self, path: str, params: Mapping[str, str] | None, error: aiohttp.WSServerHandshakeError
    ) -> errors.ApiError:
        """Why an upgrade was refused: asked again by a plain GET, since aiohttp drops the answer's body."""
        try:
            await self.request("GET", path, params=params)
        except errors.ApiError as told:
            if told.code == error.status:
                return told
        except errors.KubeError as failed:
            log.debug("cannot ask why a websocket was refused", extra={"path": path, "error": str(failed)})
        return errors.from_status(
            Status(code=error.status, message=f"the server refused the websocket {path} ({error.status})")
        )

    async def _read(
        self, path: str, *, accept: str, params: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> bytes:
        return await self.request("GET", path, params=params, headers={"Accept": accept}, timeout=timeout)

    async def _delete(
        self,
        path: str,
        params: Mapping[str, str],
        propagation: str,
        grace_period_seconds: int | None,
        uid: str,
        resource_version: str,
    ) -> None:
        options = DeleteOptions(
            api_version="v1",
            kind="DeleteOptions",
            propagation_policy=propagation,
            grace_period_seconds=grace_period_seconds,
            preconditions=Preconditions(uid=uid, resource_version=resource_version)
            if uid or resource_version
            else None,
        )
        body = msgspec.json.encode(options)
        await self.request("DELETE", path, body=body, params=params, headers={"Content-Type": codec.JSON})

    async def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> tuple[errors.ApiError | None, bytes]:
        try:
            async with self._in_flight, self._send(method, path, body, params, headers, limits) as response:
                answer = await response.read()
                return (_failure(response, answer) if response.status >= 300 else None), answer
        except _NETWORK_ERRORS as error:
            raise errors.ConnectionFailed(f"{method} {self.config.server}{path}: {_words(error)}") from error

    @contextlib.asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        for last_try in (False, True):
            async with self._open_session().request(
                method,
                self.config.server + path,
                data=body,
                params=params,
                headers=await self._headers(headers),
                ssl=self._credentials.ssl_argument(),
                server_hostname=self.config.tls_server_name or None,
                proxy=self.config.proxy_url or None,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                if response.status == 401 and not last_try and self._credentials.reject():
                    continue  # a renewed credential may do
                yield response
                return

    async def _headers(self, headers: Mapping[str, str]) -> _Headers:
        given = [("Accept", codec.JSON)] if "Accept" not in headers else []
        return [*given, *headers.items(), *await self._credentials.headers()]

    def _retry_delay(self, method: str, failure: errors.ApiError, attempt: int) -> float | None:
        if attempt >= MAX_ATTEMPTS or failure.code not in _TEMPORARY:
            return None
        asked = failure.retry_after
        if asked is not None:
            return min(asked, MAX_RETRY_AFTER) * (1.0 + 0.1 * self._random())
        # Without Retry-After a write may have been carried out, and a 429 is an answer (evictions), not a
        # delay.
        return _RETRY.delay(attempt - 1, self._random) if method == "GET" else None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is not open: use it as `async with client:`")
        return self._session

    @staticmethod
    def _namespace(resource: Resource[Any], namespace: str) -> str:
        if resource.namespaced and not namespace:
            raise ValueError(f"{resource.kind} is namespaced: pass a namespace")
        return namespace


def path_of(resource: Resource[Any], namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or a subresource, with every segment escaped."""
    parts = ["apis", resource.group, resource.version] if resource.group else ["api", resource.version]
    if resource.namespaced and namespace:
        parts += ["namespaces", namespace]
    elif resource.namespaced and name:
        raise ValueError(f"{resource.kind} is namespaced: pass a namespace")
    parts.append(resource.plural)
    if name:
        parts.append(name)
    path = "".join("/" + quote(part, safe="") for part in parts)
    return f"{path}/{subresource}" if subresource else path


def _params(**given: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if value}


def _failure(response: aiohttp.ClientResponse, body: bytes) -> errors.ApiError:
    status = _status_in(body)
    if status is None:
        said = body[:300].decode(errors="replace").strip()
        status = Status(
            message=said or f"the server answered {response.status} {response.reason or ''}".strip()
        )
    if not status.code:
        status = msgspec.structs.replace(status, code=response.status)
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        details = status.details or StatusDetails()
        details = msgspec.structs.replace(details, retry_after_seconds=int(asked))
        status = msgspec.structs.replace(status, details=details)
    return errors.from_status(status)


def _status_in(body: bytes) -> Status | None:
    try:
        status = codec.decode_as(body, Status)
    except errors.DecodeError:
        return None
    return status if status.kind == "Status" else None


def _words(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A TCP socket that notices a peer which vanished without saying so, within about a minute."""
    family, kind, protocol = address[0], address[1], address[2]
    created = socket.socket(family, kind, protocol)
    created.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    created.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    created.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    created.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    created.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return created
