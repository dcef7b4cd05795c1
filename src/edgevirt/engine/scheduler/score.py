"""Which of the nodes that will do is the best (pure).

Each criterion gives a node 0 to 100 points, weighted as kube-scheduler weighs them: few soft taints 3,
preferred node affinity 2, neighbours it likes 2, an even spread 2, much free CPU and memory 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgevirt.api.core import Pod, PodSpec
from edgevirt.engine.scheduler import affinity, interpod, spread, taints
from edgevirt.engine.scheduler.node_view import Candidate
from edgevirt.engine.scheduler.requests import Amounts

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container without requests is taken to use, for scoring only."""

TAINT_WEIGHT = 3.0
AFFINITY_WEIGHT = 2.0
NEIGHBOUR_WEIGHT = 2.0
SPREAD_WEIGHT = 2.0
FREE_WEIGHT = 1.0


def best(
    feasible: Sequence[Candidate],
    pod: Pod,
    needs: Amounts,
    neighbours: interpod.Neighbours,
    crowd: spread.Spread,
) -> str:
    """The name of the best node; of equal ones the first by name."""
    if len(feasible) == 1:
        return feasible[0].name
    spec = pod.spec or PodSpec()
    nodes = [candidate.node for candidate in feasible]
    soft = [taints.soft_untolerated(taints.effective_taints(node), spec.tolerations) for node in nodes]
    criteria = (
        (TAINT_WEIGHT, _fewer(soft)),
        (AFFINITY_WEIGHT, _more([affinity.preference(node, spec) for node in nodes])),
        (NEIGHBOUR_WEIGHT, _between([neighbours.preference(node) for node in nodes])),
        (SPREAD_WEIGHT, _fewer([crowd.crowd(node) for node in nodes])),
        (FREE_WEIGHT, [_free(candidate, needs) for candidate in feasible]),
    )
    points = [sum(weight * scores[n] for weight, scores in criteria) for n in range(len(feasible))]
    order = sorted(range(len(feasible)), key=lambda n: (-points[n], feasible[n].name))
    return feasible[order[0]].name


def _more(values: Sequence[int]) -> list[float]:
    """100 points for the largest value, the others in proportion; none if nothing speaks for any."""
    most = max(values)
    return [100.0 * value / most if most > 0 else 0.0 for value in values]


def _fewer(values: Sequence[int]) -> list[float]:
    """100 points for zero, none for the largest value."""
    most = max(values)
    return [100.0 * (1.0 - value / most) if most > 0 else 0.0 for value in values]


def _between(values: Sequence[int]) -> list[float]:
    """None for the smallest value, 100 for the largest."""
    least, most = min(values), max(values)
    return [100.0 * (value - least) / (most - least) if most > least else 0.0 for value in values]


def _free(candidate: Candidate, needs: Amounts) -> float:
    """Percent of CPU and memory that stays free, their mean."""
    offered = candidate.allocatable
    total = 0.0
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        have = offered.get(name, 0)
        used = candidate.usage.amounts.get(name, 0) + (needs.get(name) or default)
        total += 100.0 * max(0, have - used) / have if have else 0.0
    return total / 2
