"""Decides for each request what is written about it, and when: the policy applied to trails."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from edgevirt.engine.apiserver.audit.events import Exchange
from edgevirt.engine.apiserver.audit.log import AuditLog
from edgevirt.engine.apiserver.audit.policy import Level, Policy, Stage, Verdict
from edgevirt.engine.apiserver.http.trail import Trail
from edgevirt.engine.apiserver.request import Attributes, UserInfo

_NOBODY = UserInfo("")


class Audit:
    """One per server. The methods are called on the event loop, in the order of a request's life."""

    def __init__(self, policy: Policy, log: AuditLog, clock: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._log = log
        self._clock = clock

    @property
    def written(self) -> int:
        return self._log.written

    @property
    def dropped(self) -> int:
        return self._log.dropped

    def identified(self, raw: web.BaseRequest, trail: Trail, attributes: Attributes) -> Verdict:
        """It is known who wants what."""
        verdict = self._policy.evaluate(attributes)
        nameless = verdict.level is Level.METADATA and attributes.verb == "create" and not attributes.name
        trail.keeps_body = verdict.level >= Level.REQUEST or nameless
        self._write(raw, trail, attributes, verdict, Stage.REQUEST_RECEIVED)
        return verdict

    def response_started(self, raw: web.BaseRequest, trail: Trail, verdict: Verdict) -> None:
        """The head of an answer that goes on for long is about to be sent."""
        self._write(raw, trail, trail.attributes or _unknown(raw), verdict, Stage.RESPONSE_STARTED)

    def response_complete(
        self, raw: web.BaseRequest, trail: Trail, verdict: Verdict | None, body: bytes
    ) -> None:
        """The answer is ready. `verdict` is None if the caller could not be identified."""
        attributes = trail.attributes or _unknown(raw)
        if verdict is None:
            verdict = self._policy.evaluate(attributes)
        self._write(raw, trail, attributes, verdict, Stage.RESPONSE_COMPLETE, body)

    def close(self) -> None:
        """Blocks until what waits is written, within a deadline."""
        self._log.close()

    def _write(
        self,
        raw: web.BaseRequest,
        trail: Trail,
        attributes: Attributes,
        verdict: Verdict,
        stage: Stage,
        body: bytes = b"",
    ) -> None:
        level = verdict.level
        if level is Level.NONE or stage in verdict.omit_stages:
            return
        failed = trail.status >= 400
        exchange = Exchange(
            audit_id=trail.audit_id,
            level=level,
            stage=stage,
            uri=raw.path_qs,
            received=trail.received,
            staged=self._clock(),
            source=raw.remote or "",
            user_agent=raw.headers.get("User-Agent", ""),
            caller=trail.caller,
            attributes=attributes,
            decision=trail.decision,
            annotations=dict(trail.annotations),
            status=trail.status,
            omit_managed_fields=verdict.omit_managed_fields,
            request_type=raw.headers.get("Content-Type", ""),
            request_body=trail.body,
            response_body=body if failed or level is Level.REQUEST_RESPONSE else b"",
        )
        self._log.offer(exchange)


def _unknown(raw: web.BaseRequest) -> Attributes:
    """What can be said of a request whose caller was turned away."""
    return Attributes(_NOBODY, raw.method.lower(), path=raw.path)
