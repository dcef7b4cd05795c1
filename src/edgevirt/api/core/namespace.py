"""Kubernetes core/v1: Namespace."""

from __future__ import annotations

from edgevirt.api.meta import KubeObject, Struct, Time


class NamespaceSpec(Struct):
    finalizers: tuple[str, ...] = ()


class NamespaceCondition(Struct):
    last_transition_time: Time = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NamespaceStatus(Struct):
    conditions: tuple[NamespaceCondition, ...] = ()
    phase: str = ""


class Namespace(KubeObject):
    spec: NamespaceSpec | None = None
    status: NamespaceStatus | None = None
