"""Kubernetes scheduling types."""

from __future__ import annotations

from edgevirt.api.meta import KubeObject


class PriorityClass(KubeObject):
    description: str = ""
    global_default: bool | None = None
    preemption_policy: str = ""
    value: int | None = None
