"""Kubernetes policy types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import Condition, DeleteOptions, IntOrString, KubeObject, LabelSelector, Struct, Time


class PodDisruptionBudgetSpec(Struct):
    max_unavailable: IntOrString | None = None
    min_available: IntOrString | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudgetStatus(Struct):
    conditions: tuple[Condition, ...] = ()
    current_healthy: int | None = None
    desired_healthy: int | None = None
    disrupted_pods: dict[str, Time] = field(default_factory=dict)
    disruptions_allowed: int | None = None
    expected_pods: int | None = None
    observed_generation: int | None = None


class PodDisruptionBudget(KubeObject):
    spec: PodDisruptionBudgetSpec | None = None
    status: PodDisruptionBudgetStatus | None = None


class Eviction(KubeObject):
    delete_options: DeleteOptions | None = None
