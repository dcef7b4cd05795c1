"""Sets of field paths in the shape of FieldsV1, and their algebra.

A set is the tree Kubernetes writes into managedFields: keys are path elements ("f:name" a field, "k:{...}" a
list item by its keys, "v:..." a set item by value), an empty node is a member, a node with children is a
member only if it also holds ".". Sets are never changed in place, so they may be shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]
"""A set of paths; {} is empty. Below the root, {} is a path that is a member and has no children."""

SELF = "."


def is_member(node: Fields) -> bool:
    return not node or SELF in node


def children(node: Fields) -> Iterator[tuple[str, Fields]]:
    return ((element, child) for element, child in node.items() if element != SELF)


def _node(member: bool, below: Fields) -> Fields | None:
    """The node for a path, or None if neither it nor anything below is in the set."""
    if below:
        return {SELF: {}, **below} if member else below
    return {} if member else None


def insert(fields: Fields, element: str, member: bool, below: Fields) -> None:
    """Adds one element to a set under construction."""
    node = _node(member, below)
    if node is not None:
        fields[element] = node


def union(left: Fields, right: Fields) -> Fields:
    if not left or not right:
        return left or right
    result = dict(left)
    result.pop(SELF, None)
    for element, node in children(right):
        mine = result.get(element)
        if mine is None:
            result[element] = node
        else:
            insert(result, element, is_member(mine) or is_member(node), union(_below(mine), _below(node)))
    return result


def _below(node: Fields) -> Fields:
    if SELF in node:
        return {element: child for element, child in node.items() if element != SELF}
    return node


def difference(left: Fields, right: Fields) -> Fields:
    """Members of `left` that are not members of `right`."""
    if not left or not right:
        return left
    result: Fields = {}
    for element, node in children(left):
        other = right.get(element)
        if other is None:
            result[element] = node
        else:
            insert(
                result,
                element,
                is_member(node) and not is_member(other),
                difference(_below(node), _below(other)),
            )
    return result


def intersection(left: Fields, right: Fields) -> Fields:
    result: Fields = {}
    for element, node in children(left):
        other = right.get(element)
        if other is not None:
            insert(
                result,
                element,
                is_member(node) and is_member(other),
                intersection(_below(node), _below(other)),
            )
    return result


def without(fields: Fields, prefixes: Fields) -> Fields:
    """`fields` less the members of `prefixes` and everything below those."""
    result: Fields = {}
    for element, node in children(fields):
        other = prefixes.get(element)
        if other is None:
            result[element] = node
        elif not is_member(other):
            insert(result, element, is_member(node), without(_below(node), _below(other)))
    return result


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """All members as readable paths, such as `.spec.containers[name="a"].image`, in order."""
    for element, node in sorted(children(fields)):
        path = prefix + _readable(element)
        if is_member(node):
            yield path
        yield from paths(node, path)


def _readable(element: str) -> str:
    kind, _, text = element.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "k":
        inner = text[1:-1].replace('":', '"=')
        parts = []
        for pair in inner.split(","):
            name, _, value = pair.partition("=")
            parts.append(f"{name.strip(chr(34))}={value}")
        return f"[{','.join(parts)}]"
    if kind == "v":
        return f"[={text}]"
    return f"[{text}]"
