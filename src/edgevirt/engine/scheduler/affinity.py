"""Node selectors and node affinity: does a node match what a pod says about its labels and name?

Terms are alternatives, the requirements of one term all have to hold, and a term without any matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgevirt.api.core import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec

_NAME = "metadata.name"


def matches_pod(node: Node, spec: PodSpec) -> bool:
    """Whether the node satisfies spec.nodeSelector and the required node affinity."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or matches_selector(node, required)


def matches_selector(node: Node, selector: NodeSelector) -> bool:
    return any(matches_term(node, term) for term in selector.node_selector_terms)


def named_nodes(spec: PodSpec) -> frozenset[str] | None:
    """The only nodes the pod may go to because every term of its node affinity names some; else None.

    This is how the pods of a DaemonSet find their node.
    """
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if required is None or not required.node_selector_terms:
        return None
    names: set[str] = set()
    for term in required.node_selector_terms:
        by_name = [set(f.values) for f in term.match_fields if (f.key, f.operator) == (_NAME, "In")]
        if not by_name:
            return None
        names |= set.intersection(*by_name)
    return frozenset(names)


def preference(node: Node, spec: PodSpec) -> int:
    """The sum of the weights of the preferred terms that the node matches."""
    affinity = spec.affinity.node_affinity if spec.affinity else None
    if affinity is None:
        return 0
    return sum(
        term.weight or 0
        for term in affinity.preferred_during_scheduling_ignored_during_execution
        if term.preference is not None and matches_term(node, term.preference)
    )


def matches_term(node: Node, term: NodeSelectorTerm) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {_NAME: node.metadata.name}
    return all(_holds(node.metadata.labels, wanted) for wanted in term.match_expressions) and all(
        _holds(fields, wanted) for wanted in term.match_fields
    )


def _holds(labels: Mapping[str, str], wanted: NodeSelectorRequirement) -> bool:
    value = labels.get(wanted.key)
    match wanted.operator:
        case "In":
            return value is not None and value in wanted.values
        case "NotIn":
            return value is None or value not in wanted.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(value, wanted)
        case _:
            # Validation refuses unknown operators; one that got through must not widen the choice.
            return False


def _compares(value: str | None, wanted: NodeSelectorRequirement) -> bool:
    try:
        have, bound = int(value or ""), int(wanted.values[0])
    except (ValueError, IndexError):
        return False
    return have > bound if wanted.operator == "Gt" else have < bound
