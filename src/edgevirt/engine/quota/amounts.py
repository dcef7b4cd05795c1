"""Amounts of resources by name, as text quantities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgevirt.api.quantity import parse, total

Amounts = Mapping[str, str]


def added(*parts: Amounts) -> dict[str, str]:
    """The sum by name; a name that only some have counts as nothing elsewhere."""
    names: dict[str, list[str]] = {}
    for part in parts:
        for name, amount in part.items():
            names.setdefault(name, []).append(amount)
    return {name: total(amounts) for name, amounts in names.items()}


def greater(one: Amounts, other: Amounts) -> dict[str, str]:
    """By name the greater of both."""
    result = dict(one)
    for name, amount in other.items():
        if name not in result or parse(amount) > parse(result[name]):
            result[name] = amount
    return result


def increase(new: Amounts, old: Amounts) -> dict[str, str]:
    """What `new` has more than `old`, where it has more."""
    return {
        name: total([amount, negated(old.get(name, "0"))])
        for name, amount in new.items()
        if parse(amount) > parse(old.get(name, "0"))
    }


def negated(amount: str) -> str:
    return amount[1:] if amount.startswith("-") else f"-{amount}" if parse(amount) else "0"


def only(amounts: Amounts, names: Iterable[str]) -> dict[str, str]:
    """The amounts of these names."""
    wanted = frozenset(names)
    return {name: amount for name, amount in amounts.items() if name in wanted}


def shown(amounts: Amounts) -> str:
    """As messages list amounts: "cpu=2,memory=1Gi"."""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
