"""Repeated checks of a guest."""

from __future__ import annotations

from typing import Annotated

from edgevirt.api.core import ExecAction, HTTPHeader, TCPSocketAction
from edgevirt.api.meta import IntOrString, Struct
from edgevirt.api.schema import ATOMIC, REQUIRED


class HTTPGetAction(Struct):
    """An HTTP request to the guest."""

    host: str = ""
    """Host to ask; default: the guest."""
    http_headers: Annotated[tuple[HTTPHeader, ...], ATOMIC] = ()
    """Headers to send."""
    path: str = ""
    """Path to ask for."""
    port: Annotated[IntOrString | None, REQUIRED] = None
    """Port to connect to."""
    scheme: str = ""
    """HTTP (default) or HTTPS."""


class GuestAgentPing(Struct):
    """Present: the guest agent must answer."""


class Probe(Struct):
    """A repeated check of the guest: exactly one way to ask."""

    exec: ExecAction | None = None
    """A command run in the guest by its agent; exit code 0 is success."""
    failure_threshold: int | None = None
    """Failures in a row that count as failed; default 3."""
    guest_agent_ping: GuestAgentPing | None = None
    """Ask whether the agent is alive."""
    http_get: HTTPGetAction | None = None
    """An HTTP request to the guest; 2xx and 3xx are success."""
    initial_delay_seconds: int | None = None
    """Wait after start before the first check."""
    period_seconds: int | None = None
    """Seconds between checks; default 10."""
    success_threshold: int | None = None
    """Successes in a row that count as recovered; default 1."""
    tcp_socket: TCPSocketAction | None = None
    """A TCP connection to the guest."""
    timeout_seconds: int | None = None
    """Seconds an answer may take; default 1."""
