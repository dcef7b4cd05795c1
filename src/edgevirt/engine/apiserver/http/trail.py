"""What becomes known about one request while it is served, for the audit log and the metrics.

A trail is made before anything else looks at the request and travels with it; whoever learns something (the
caller, what is asked for, the body) notes it there. Requests of a server without observer have a trail that
nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from edgevirt.engine.apiserver.identifiers import new_uid
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo

AUDIT_ID = "Audit-Id"
_MAX_ID = 64


@dataclass(slots=True)
class Trail:
    """`received` is in seconds since the epoch; the callbacks are told when there is news."""

    audit_id: str
    received: float = 0.0
    caller: UserInfo | None = None
    """Who authenticated; `attributes.user` is somebody else when the caller impersonates."""
    attributes: Attributes | None = None
    decision: Decision | None = None
    served: bool = False
    """What is asked for is served here, so its names may become labels of metrics."""
    keeps_body: bool = False
    body: bytes = b""
    status: int = 0
    """Of the answer that began, 0 before."""
    annotations: dict[str, str] = field(default_factory=dict)
    """What admission adds for the audit log."""
    on_authorized: Callable[[], None] | None = None
    on_served: Callable[[], None] | None = None
    on_stream: Callable[[], None] | None = None

    def authorized(self, caller: UserInfo, attributes: Attributes, decision: Decision) -> None:
        """The question whether the caller may was decided."""
        self.caller, self.attributes, self.decision = caller, attributes, decision
        if self.on_authorized is not None:
            self.on_authorized()

    def found(self) -> None:
        """What is asked for exists."""
        self.served = True
        if self.on_served is not None:
            self.on_served()

    def end(self) -> None:
        """There will be no more news.

        The callbacks hold the trail that holds them. Without this each request would leave the garbage
        collector a circle, with the request's body in it, where there is nothing else to collect.
        """
        self.on_authorized = self.on_served = self.on_stream = None


class TrailedRequest(web.BaseRequest):
    """A request with room for its trail, which is asked for again and again."""

    ATTRS = web.BaseRequest.ATTRS | frozenset({"trail"})

    trail: Trail | None = None


_KEY = web.RequestKey("trail", Trail)


def audit_id_of(headers: object) -> str:
    """The id a request brought along, cut to 64 characters, or a new one."""
    brought = headers.get(AUDIT_ID, "") if hasattr(headers, "get") else ""
    if not brought:
        return new_uid()
    text = "".join(character for character in str(brought)[:_MAX_ID] if character.isprintable())
    return text or new_uid()


def attach(raw: web.BaseRequest, trail: Trail) -> None:
    if isinstance(raw, TrailedRequest):
        raw.trail = trail
    else:
        raw[_KEY] = trail


def trail_of(raw: web.BaseRequest) -> Trail:
    """The trail of a request; a new one that nobody reads if it has none."""
    found = raw.trail if isinstance(raw, TrailedRequest) else raw.get(_KEY)
    if found is None:
        found = Trail("")
        attach(raw, found)
    return found
