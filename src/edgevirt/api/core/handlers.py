"""Kubernetes core/v1: Probes and life-cycle handlers of containers."""

from __future__ import annotations

from typing import Annotated

from edgevirt.api.meta import IntOrString, Struct
from edgevirt.api.schema import ATOMIC, REQUIRED


class ExecAction(Struct):
    command: Annotated[tuple[str, ...], ATOMIC] = ()


class HTTPHeader(Struct):
    name: Annotated[str, REQUIRED] = ""
    value: Annotated[str, REQUIRED] = ""


class HTTPGetAction(Struct):
    host: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()
    path: str = ""
    port: IntOrString | None = None
    protocol: str = ""
    scheme: str = ""


class SleepAction(Struct):
    seconds: int | None = None


class TCPSocketAction(Struct):
    host: str = ""
    port: Annotated[IntOrString | None, REQUIRED] = None


class LifecycleHandler(Struct):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class Lifecycle(Struct):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class GRPCAction(Struct):
    mode: str = ""
    port: int | None = None
    service: str = ""


class Probe(Struct):
    exec: ExecAction | None = None
    failure_threshold: int | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int | None = None
