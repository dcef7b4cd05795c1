"""Taints and tolerations.

A node that is not ready, or cordoned, counts as tainted even before somebody has written the taint: between a
node's first heartbeat that fails and the taint a pod would otherwise be bound to a dead node.
"""

from __future__ import annotations

from edgevirt.api.core import Node, Taint, Toleration

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

HARD_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


def effective_taints(node: Node) -> tuple[Taint, ...]:
    """The taints of the node and those its state implies."""
    spec = node.spec
    written = spec.taints if spec else ()
    implied = []
    if spec and spec.unschedulable:
        implied.append(Taint(key=UNSCHEDULABLE, effect="NoSchedule"))
    ready = ready_status(node)
    if ready != "True":
        implied.append(Taint(key=UNREACHABLE if ready == "Unknown" else NOT_READY, effect="NoSchedule"))
    keys = {taint.key for taint in written}
    return (*written, *(taint for taint in implied if taint.key not in keys))


def ready_status(node: Node) -> str:
    """ "True", "False" or "Unknown" of the Ready condition; "False" if there is none yet."""
    conditions = node.status.conditions if node.status else ()
    return next((condition.status for condition in conditions if condition.type == "Ready"), "False")


def first_untolerated(taints: tuple[Taint, ...], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint that keeps the pod off the node, if any."""
    return next((t for t in taints if t.effect in HARD_EFFECTS and not tolerated(t, tolerations)), None)


def soft_untolerated(taints: tuple[Taint, ...], tolerations: tuple[Toleration, ...]) -> int:
    """How many PreferNoSchedule taints speak against the node."""
    return sum(1 for t in taints if t.effect == "PreferNoSchedule" and not tolerated(t, tolerations))


def tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(_matches(toleration, taint) for toleration in tolerations)


def _matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    # An empty key tolerates everything only with Exists.
    return bool(toleration.key) and toleration.value == taint.value
