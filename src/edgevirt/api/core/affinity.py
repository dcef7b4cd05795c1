"""Kubernetes core/v1: Where pods may run: node selectors, affinity, taints, tolerations, spreading."""

from __future__ import annotations

from typing import Annotated, ClassVar

from edgevirt.api.meta import LabelSelector, Struct, Time
from edgevirt.api.schema import ATOMIC, REQUIRED, Schema


class NodeSelectorRequirement(Struct):
    key: Annotated[str, REQUIRED] = ""
    operator: Annotated[str, REQUIRED] = ""
    values: Annotated[tuple[str, ...], ATOMIC] = ()


class NodeSelectorTerm(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC] = ()
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], ATOMIC] = ()


class PreferredSchedulingTerm(Struct):
    preference: Annotated[NodeSelectorTerm | None, REQUIRED] = None
    weight: Annotated[int | None, REQUIRED] = None


class NodeSelector(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    node_selector_terms: Annotated[
        tuple[NodeSelectorTerm, ...], Schema(list_type="atomic", required=True)
    ] = ()


class NodeAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], ATOMIC
    ] = ()
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class PodAffinityTerm(Struct):
    label_selector: LabelSelector | None = None
    match_label_keys: Annotated[tuple[str, ...], ATOMIC] = ()
    mismatch_label_keys: Annotated[tuple[str, ...], ATOMIC] = ()
    namespace_selector: LabelSelector | None = None
    namespaces: Annotated[tuple[str, ...], ATOMIC] = ()
    topology_key: Annotated[str, REQUIRED] = ""


class WeightedPodAffinityTerm(Struct):
    pod_affinity_term: Annotated[PodAffinityTerm | None, REQUIRED] = None
    weight: Annotated[int | None, REQUIRED] = None


class PodAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], ATOMIC
    ] = ()
    required_during_scheduling_ignored_during_execution: Annotated[tuple[PodAffinityTerm, ...], ATOMIC] = ()


class PodAntiAffinity(Struct):
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], ATOMIC
    ] = ()
    required_during_scheduling_ignored_during_execution: Annotated[tuple[PodAffinityTerm, ...], ATOMIC] = ()


class Affinity(Struct):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class Toleration(Struct):
    effect: str = ""
    key: str = ""
    operator: str = ""
    toleration_seconds: int | None = None
    value: str = ""


class TopologySpreadConstraint(Struct):
    label_selector: LabelSelector | None = None
    match_label_keys: Annotated[tuple[str, ...], ATOMIC] = ()
    max_skew: Annotated[int | None, REQUIRED] = None
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""
    topology_key: Annotated[str, REQUIRED] = ""
    when_unsatisfiable: Annotated[str, REQUIRED] = ""


class Taint(Struct):
    effect: str = ""
    key: str = ""
    time_added: Time = ""
    value: str = ""
