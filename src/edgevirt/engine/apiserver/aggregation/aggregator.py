"""The aggregation layer: APIService objects to routes, conditions and discovery.

For each APIService with a service one task keeps the condition `Available` true to life: it checks when
the APIService, its service or its endpoints change, when a forwarded request failed, and otherwise every
30 s (0.1, 0.2, 0.4 ... 30 s while the check fails: at a start, whoever serves it comes up within the first
second, and clients wait for it). A check reads the group version's discovery document, which
is kept for merging into this server's own discovery.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from edgevirt.engine.apiserver.aggregation.availability import (
    LOCAL,
    PASSED,
    Availability,
    failing,
    status_with,
)
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory, ServiceName, Unresolved
from edgevirt.engine.apiserver.aggregation.failures import describe
from edgevirt.engine.apiserver.aggregation.headers import identity
from edgevirt.engine.apiserver.aggregation.proxy import Backend, proxy, unavailable
from edgevirt.engine.apiserver.aggregation.trust import BadBundle, TrustStore
from edgevirt.engine.apiserver.auth.tokens import rfc3339
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import ObjectReader, ProxyHandler
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.pki.authority import utc_now

GROUP = "apiregistration.k8s.io"
CHECKER = UserInfo("system:kube-aggregator", groups=("system:masters",))
CHECK_TIMEOUT = 5.0
CHECK_INTERVAL = 30.0
FIRST_RETRY = 0.1
MAX_DISCOVERY = 4 * 1024 * 1024

StatusWriter = Callable[[str, dict[str, Any]], Awaitable[None]]
"""(name of an APIService, status): stores the status; StatusError if it cannot be stored."""

_log = logging.getLogger("edgevirt.engine.apiserver.aggregation")


@dataclass(slots=True)
class _Service:
    """One APIService that is served elsewhere."""

    name: str
    document: Mapping[str, Any]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    available: bool | None = None
    """None until the first check: requests are tried."""
    resources: tuple[Mapping[str, Any], ...] | None = None
    task: asyncio.Task[None] | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.document.get("spec") or {}

    @property
    def service(self) -> ServiceName:
        reference = self.spec.get("service") or {}
        return reference.get("namespace", ""), reference.get("name", "")


class Aggregator:
    """Implements `extension.Aggregator`. `run` must be running for conditions and discovery."""

    def __init__(
        self,
        directory: ServiceDirectory,
        trust: TrustStore,
        write_status: StatusWriter,
        on_discovery_change: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._directory = directory
        self._trust = trust
        self._write_status = write_status
        self._on_discovery_change = on_discovery_change
        self._clock = clock
        self._services: dict[tuple[str, str], _Service] = {}
        self._session: aiohttp.ClientSession | None = None
        self._group: asyncio.TaskGroup | None = None
        self._local: dict[str, Mapping[str, Any]] = {}
        directory.on_change(self._service_changed)

    def observe(self, reader: ObjectReader) -> None:
        """Follows APIServices from now on."""
        reader.observe(GROUP, "apiservices", self.apply)

    def apply(self, event: str, document: Mapping[str, Any]) -> None:
        """Takes over one change of an APIService."""
        name, spec = document["metadata"]["name"], document.get("spec") or {}
        key = (spec.get("group", ""), spec.get("version", ""))
        if name != f"{key[1]}.{key[0]}":
            return  # validation refuses such objects; one from elsewhere must not take a group version over
        if event == "DELETED" or not spec.get("service"):
            known = self._services.pop(key, None)
            if known is not None:
                self._stop(known)
                self._on_discovery_change()
            if event != "DELETED":
                self._apply_local(name, document)
            return
        known = self._services.get(key)
        if known is None:
            known = self._services[key] = _Service(name, document)
            self._start(known)
            self._on_discovery_change()
            return
        respecified = known.spec != spec
        known.document = document
        if respecified:
            known.changed.set()

    def route(self, group: str, version: str) -> ProxyHandler | None:
        """The handler for an aggregated group version, None if this server serves it itself."""
        known = self._services.get((group, version))
        return None if known is None else functools.partial(self._handle, known)

    def group_versions(self) -> list[tuple[str, str]]:
        """All aggregated (group, version)."""
        return list(self._services)

    def resources(self, group: str, version: str) -> tuple[Mapping[str, Any], ...] | None:
        """The `resources` of the remote APIResourceList; None while unknown or unavailable."""
        known = self._services.get((group, version))
        return known.resources if known is not None and known.available else None

    async def run(self) -> None:
        """Keeps conditions and discovery current until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for known in self._services.values():
                    self._start(known)
                for name, document in list(self._local.items()):
                    self._apply_local(name, document)
                self._local.clear()
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            if self._session is not None:
                await self._session.close()
                self._session = None

    def renew_certificate(self) -> None:
        """To be called when the front proxy's certificate was written anew."""
        self._trust.forget()

    async def _handle(self, known: _Service, request: web.Request, user: UserInfo) -> web.StreamResponse:
        if known.available is False:
            return unavailable()
        try:
            backend = self._backend(known)
        except (Unresolved, BadBundle):
            known.changed.set()
            return unavailable()
        return await proxy(request, user, backend, self._client(), known.changed.set)

    def _backend(self, known: _Service) -> Backend:
        """Raises Unresolved and BadBundle."""
        spec = known.spec
        namespace, name = known.service
        target = self._directory.resolve(namespace, name, (spec.get("service") or {}).get("port") or 443)
        insecure = bool(spec.get("insecureSkipTLSVerify"))
        return Backend(target, self._trust.context(spec.get("caBundle") or "", insecure))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _start(self, known: _Service) -> None:
        if self._group is not None and known.task is None:
            known.task = self._group.create_task(self._keep_checked(known), name=f"apiservice-{known.name}")

    def _stop(self, known: _Service) -> None:
        if known.task is not None:
            known.task.cancel()
            known.task = None

    def _service_changed(self, service: ServiceName) -> None:
        for known in self._services.values():
            if known.service == service:
                known.changed.set()

    def _apply_local(self, name: str, document: Mapping[str, Any]) -> None:
        """A group version of this server itself: always available."""
        if status_with(document, LOCAL, "") is None:
            return
        if self._group is None:
            self._local[name] = document
        else:
            self._group.create_task(self._report(name, document, LOCAL))

    async def _keep_checked(self, known: _Service) -> None:
        retry = FIRST_RETRY
        while True:
            known.changed.clear()
            availability = await self._check(known)
            if known.available is not availability.available:
                known.available = availability.available
                self._on_discovery_change()
            await self._report(known.name, known.document, availability)
            delay = CHECK_INTERVAL if availability.available else retry
            retry = FIRST_RETRY if availability.available else min(retry * 2, CHECK_INTERVAL)
            try:
                async with asyncio.timeout(delay):
                    await known.changed.wait()
                retry = FIRST_RETRY
            except TimeoutError:
                continue

    async def _check(self, known: _Service) -> Availability:
        spec = known.spec
        path = f"/apis/{spec.get('group', '')}/{spec.get('version', '')}"
        try:
            backend = self._backend(known)
        except Unresolved as error:
            return Availability(False, error.reason, error.explanation)
        except BadBundle as error:
            return failing(path, str(error))
        url = f"https://{backend.target.host}:{backend.target.port}{path}"
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                status, body = await self._fetch(backend, url)
        except (aiohttp.ClientError, OSError) as error:
            why = "context deadline exceeded" if isinstance(error, TimeoutError) else describe(error)
            return failing(url, f'Get "{url}": {why}')
        if not 200 <= status < 300:
            return failing(url, f"bad status from {url}: {status}")
        resources = _resources(body)
        if resources is not None and resources != known.resources:
            known.resources = resources
            self._on_discovery_change()
        return PASSED

    async def _fetch(self, backend: Backend, url: str) -> tuple[int, bytes]:
        headers = [*identity(CHECKER), ("Accept", "application/json"), ("Accept-Encoding", "identity")]
        async with self._client().get(
            url,
            headers=headers,
            ssl=backend.context,
            server_hostname=backend.target.server_name,
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_DISCOVERY:
                    raise aiohttp.ClientPayloadError(f"the response is larger than {MAX_DISCOVERY} bytes")
            return answer.status, bytes(body)

    async def _report(self, name: str, document: Mapping[str, Any], availability: Availability) -> None:
        status = status_with(document, availability, rfc3339(self._clock()))
        if status is None:
            return
        try:
            await self._write_status(name, status)
        except StatusError as error:
            # Gone, or changed by somebody else: the next event or check brings us back here.
            _log.info(
                "condition of an APIService not stored", extra={"apiservice": name, "why": error.message}
            )


def _resources(body: bytes) -> tuple[Mapping[str, Any], ...] | None:
    """The resources of an APIResourceList; None if `body` is something else."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    listed = document.get("resources") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return None
    return tuple(entry for entry in listed if isinstance(entry, dict))
