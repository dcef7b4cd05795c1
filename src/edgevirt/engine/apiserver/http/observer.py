"""Watches every request pass: gives it an audit id, counts it, and tells the audit log what became of it.

It stands around the REST layer and knows nothing of what is served; what is to be known comes through the
request's trail. The head of every answer passes `ObservedRequest._prepare_hook`, also that of a watch or an
upgraded connection, which no handler returns before it is over.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from edgevirt.engine.apiserver.http.metrics import NOTHING_KNOWN, RequestMetrics
from edgevirt.engine.apiserver.http.trail import (
    AUDIT_ID,
    Trail,
    TrailedRequest,
    attach,
    audit_id_of,
    trail_of,
)
from edgevirt.engine.apiserver.writing.patch import APPLY_PATCH

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.audit import Audit
    from edgevirt.engine.apiserver.audit.policy import Verdict

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ObservedRequest(TrailedRequest):
    """A request that sees its own answer begin."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        trail = trail_of(self)
        trail.status = response.status
        if trail.audit_id:
            response.headers[AUDIT_ID] = trail.audit_id
        if trail.on_stream is not None and not isinstance(response, web.Response) and not _is_listed(trail):
            trail.on_stream()


def _is_listed(trail: Trail) -> bool:
    """A long list is sent in pieces, but it is no request that runs for long."""
    return trail.attributes is not None and trail.attributes.verb in ("list", "deletecollection")


class Observer:
    """`handle` is what the HTTP server calls; `serve` answers and never raises but for lost connections."""

    def __init__(
        self,
        serve: Handler,
        metrics: RequestMetrics,
        audit: Audit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._serve = serve
        self._metrics = metrics
        self._audit = audit
        self._clock = clock

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        trail = Trail(audit_id_of(raw.headers), self._clock())
        attach(raw, trail)
        begun = time.perf_counter()
        kind = self._metrics.begin(raw.method)
        labels, body = NOTHING_KNOWN, b""
        verdict: Verdict | None = None
        apply = raw.method == "PATCH" and raw.headers.get("Content-Type", "").startswith(APPLY_PATCH)

        def identified() -> None:
            nonlocal labels
            labels = self._metrics.identified(trail, apply)

        def authorized() -> None:
            nonlocal verdict
            verdict = self._audited(raw, trail)

        trail.on_served = identified
        if self._audit is not None:
            trail.on_authorized = authorized
        try:
            response = await self._serve(raw)
            trail.status = response.status
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                body = response.body
            return response
        finally:
            dry_run = "dryRun" in raw.query_string
            seconds = time.perf_counter() - begun
            self._metrics.end(kind, labels, trail.status, dry_run, seconds)
            if self._audit is not None:
                self._audit.response_complete(raw, trail, verdict, body)
            trail.end()

    def _audited(self, raw: web.BaseRequest, trail: Trail) -> Verdict:
        audit = self._audit
        assert audit is not None
        assert trail.attributes is not None
        verdict = audit.identified(raw, trail, trail.attributes)
        trail.on_stream = lambda: audit.response_started(raw, trail, verdict)
        return verdict


def request_factory(loop: Any) -> Any:
    """For `web.Server`: makes observed requests."""

    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> ObservedRequest:
        return ObservedRequest(message, payload, protocol, writer, task, loop)

    return make
