"""kubevirt.io/v1 types: probes."""

from __future__ import annotations

from edgevirt.api.core import ExecAction, HTTPGetAction, TCPSocketAction
from edgevirt.api.meta import Struct


class GuestAgentPing(Struct):
    pass


class Probe(Struct):
    exec: ExecAction | None = None
    failure_threshold: int | None = None
    guest_agent_ping: GuestAgentPing | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    timeout_seconds: int | None = None
