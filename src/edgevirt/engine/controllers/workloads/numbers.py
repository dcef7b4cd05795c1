"""Numbers that are given absolutely or in percent, and counters that are left out when they are zero."""

from __future__ import annotations

from edgevirt.api.meta import IntOrString


def resolve(value: IntOrString | None, total: int, *, up: bool) -> int:
    """`value` of `total`; percentages are rounded up or down. None counts as 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-total * percent // 100) if up else total * percent // 100


def some(count: int) -> int | None:
    """The count, or None for zero: how Kubernetes leaves counters out."""
    return count or None
