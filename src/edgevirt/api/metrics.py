"""Resource metrics (metrics.k8s.io/v1beta1): what `kubectl top` and autoscalers read."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct


class ContainerMetrics(Struct):
    name: str = ""
    usage: dict[str, str] = field(default_factory=dict)


class NodeMetrics(KubeObject):
    timestamp: str = ""
    window: str = ""
    usage: dict[str, str] = field(default_factory=dict)


class PodMetrics(KubeObject):
    timestamp: str = ""
    window: str = ""
    containers: tuple[ContainerMetrics, ...] = ()
