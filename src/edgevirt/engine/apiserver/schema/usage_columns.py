"""The table columns of resource metrics, as a metrics server shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from edgevirt.api import quantity
from edgevirt.engine.apiserver.registry import Column
from edgevirt.engine.apiserver.schema import Json

_GROUP = "metrics.k8s.io"


def usage_columns(name: Column) -> dict[tuple[str, str], tuple[Column, ...]]:
    """The columns of NodeMetrics and PodMetrics."""
    columns = (
        name,
        Column("cpu", description="Processor time used, in thousandths of a processor.", cell=_cell(_cpu)),
        Column("memory", description="Memory used.", cell=_cell(_memory)),
        Column("Window", description="What the measurement spans.", cell=lambda obj: obj.get("window") or ""),
    )
    return {(_GROUP, "nodes"): columns, (_GROUP, "pods"): columns}


def _cell(shown: Callable[[list[Json]], str]) -> Callable[[Json], str]:
    """What a node uses, or all containers of a pod."""

    def cell(obj: Json) -> str:
        return shown([entry.get("usage") or {} for entry in (obj, *(obj.get("containers") or ()))])

    return cell


def _cpu(usages: list[Json]) -> str:
    return f"{math.ceil(_total(usages, 'cpu') * 1000)}m"


def _memory(usages: list[Json]) -> str:
    return f"{int(_total(usages, 'memory')) >> 10}Ki"


def _total(usages: list[Json], resource: str) -> Fraction:
    return sum((quantity.parse(usage[resource]) for usage in usages if resource in usage), Fraction(0))
