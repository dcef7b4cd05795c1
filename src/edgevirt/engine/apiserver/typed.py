"""Objects under a merge schema: their field sets, differences, merges and removals.

This is what server-side apply is made of. Rules, from Kubernetes' structured-merge-diff: fields of maps and
items of associative lists are owned one by one; atomic values as a whole; an empty map counts as a value;
entries of open maps and list items are members of a set themselves, declared fields only through what is
below them.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, unclassified
from edgevirt.engine.apiserver.fieldset import Fields, children, insert, is_member
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.schema import OPEN_MAP, SCALAR, SchemaNode

ABSENT: Any = object()
"""Stands for "there is no value", unlike null."""


class Difference:
    """What changed from one object to another, as three sets."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.added: Fields = {}
        self.modified: Fields = {}
        self.removed: Fields = {}


def node_for(node: SchemaNode, name: str) -> SchemaNode:
    """The node of a field; what no schema describes is deduced from the value."""
    return node.child(name) or OPEN_MAP


def _shape(node: SchemaNode, value: Any) -> str:
    """How `value` is to be walked: map, list, set or leaf."""
    if isinstance(value, dict):
        return "map" if node.kind == "map" or node is OPEN_MAP else "leaf"
    if isinstance(value, list):
        return node.kind if node.kind in ("list", "set") else "leaf"
    return "leaf"


def item_element(node: SchemaNode, item: Any) -> str:
    """The path element of a list item. Raises `StatusError` 500 for an item without its keys."""
    if node.kind == "set":
        return "v:" + encode_json(item).decode()
    if not isinstance(item, dict):
        raise unclassified(f"associative list with keys has an element that is not an object: {item!r}")
    keys: dict[str, Any] = {}
    for key in sorted(node.keys):
        value = item.get(key)
        if value is None:
            value = node.key_defaults.get(key)
        if value is not None:
            keys[key] = value
    if not keys:
        names = ", ".join(f'"{key}"' for key in node.keys)
        raise unclassified(f"associative list with keys has an element that omits key field {names}")
    return "k:" + encode_json(keys).decode()


def elements(node: SchemaNode, items: list[Any]) -> dict[str, Any]:
    """Items by path element, in list order; of equal elements the last one counts."""
    return {item_element(node, item): item for item in items}


def check_unique(node: SchemaNode, value: Any, path: str = "") -> None:
    """Raises `StatusError` 500 if an associative list holds an item twice."""
    shape = _shape(node, value)
    if shape == "map":
        for name, item in value.items():
            if isinstance(item, dict | list):
                check_unique(node_for(node, name), item, f"{path}.{name}")
    elif shape in ("list", "set"):
        seen: set[str] = set()
        for item in value:
            element = item_element(node, item)
            if element in seen:
                keys = element[2:].replace('":', '"=') if shape == "set" else _key_text(node, item)
                raise _Duplicate(f"{path}: duplicate entries for key [{keys}]")
            seen.add(element)
            if shape == "list":
                check_unique(node.elem or OPEN_MAP, item, f"{path}[{_key_text(node, item)}]")


def _key_text(node: SchemaNode, item: dict[str, Any]) -> str:
    return ",".join(
        f"{key}={encode_json(item.get(key, node.key_defaults.get(key))).decode()}"
        for key in sorted(node.keys)
    )


class _Duplicate(StatusError):
    def __init__(self, message: str) -> None:
        super().__init__(500, "", message)


def field_set(node: SchemaNode, value: Any) -> Fields:
    """The set of everything an applied object states."""
    fields: Fields = {}
    shape = _shape(node, value)
    if shape == "map":
        for name, item in value.items():
            below_node = node_for(node, name)
            below = field_set(below_node, item)
            leaf = not below and _is_leaf(below_node, item)
            member = leaf or item == {} or item is None or name not in node.fields
            insert(fields, f"f:{name}", member, below)
    elif shape in ("list", "set"):
        for item in value:
            below = field_set(node.elem or SCALAR, item) if shape == "list" else {}
            insert(fields, item_element(node, item), True, below)
    return fields


def _is_leaf(node: SchemaNode, value: Any) -> bool:
    return _shape(node, value) == "leaf"


def compare(node: SchemaNode, old: Any, new: Any, present: frozenset[str] = frozenset()) -> Difference:
    """What `new` changes in `old`. `present` names declared maps that exist even when not written."""
    result = Difference()
    _compare_map(node, old, new, result, present)
    return result


def _compare_map(node: SchemaNode, old: Any, new: Any, out: Difference, present: frozenset[str]) -> None:
    """Fills `out` with the differences of two maps, either of which may be ABSENT."""
    old_items = old if isinstance(old, dict) else {}
    new_items = new if isinstance(new, dict) else {}
    for name, value in new_items.items():
        before = old_items.get(name, ABSENT)
        if before is value:
            continue
        below = _compare(node_for(node, name), before, value, present)
        _collect(out, f"f:{name}", below, name in present and name in node.fields)
    for name, value in old_items.items():
        if name not in new_items:
            below = _compare(node_for(node, name), value, ABSENT, present)
            _collect(out, f"f:{name}", below, name in present and name in node.fields)


class _Below:
    """The difference at one path: `own` is what happened to the path itself ("" nothing)."""

    __slots__ = ("inner", "own")

    def __init__(self, own: str, inner: Difference | None = None) -> None:
        self.own = own
        self.inner = inner


_SAME = _Below("")


def _collect(out: Difference, element: str, below: _Below, always_present: bool) -> None:
    own, inner = below.own, below.inner
    if inner is None:
        if own:
            getattr(out, own)[element] = {}
        return
    if always_present:
        own = ""
    insert(out.added, element, own == "added", inner.added)
    insert(out.removed, element, own == "removed", inner.removed)
    insert(out.modified, element, own == "modified", inner.modified)


def _compare(node: SchemaNode, old: Any, new: Any, present: frozenset[str]) -> _Below:
    own = "added" if old is ABSENT else "removed" if new is ABSENT else ""
    shape = _shape(node, old if new is ABSENT or new is None else new)
    kind = dict if shape == "map" else list
    if shape != "leaf" and _is_empty_or(kind, old) and _is_empty_or(kind, new):
        if not _filled(old) and not _filled(new):
            return _SAME if old == new else _Below(own or "modified")
        if shape != "map":
            return _Below(own, _compare_lists(node, old, new, shape, present))
        inner = Difference()
        _compare_map(node, old, new, inner, present)
        return _Below(own, inner)
    if own:
        return _Below(own)
    return _SAME if _equal(old, new) else _Below("modified")


def _is_empty_or(kind: type, value: Any) -> bool:
    return value is ABSENT or value is None or isinstance(value, kind)


def _filled(value: Any) -> bool:
    return value is not ABSENT and bool(value)


def _compare_lists(node: SchemaNode, old: Any, new: Any, shape: str, present: frozenset[str]) -> Difference:
    out = Difference()
    before = elements(node, old) if isinstance(old, list) else {}
    after = elements(node, new) if isinstance(new, list) else {}
    item_node = (node.elem or OPEN_MAP) if shape == "list" else SCALAR
    for element, item in after.items():
        _collect(out, element, _compare(item_node, before.get(element, ABSENT), item, present), False)
    for element, item in before.items():
        if element not in after:
            _collect(out, element, _compare(item_node, item, ABSENT, present), False)
    return out


def _equal(left: Any, right: Any) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def merge(node: SchemaNode, old: Any, new: Any) -> Any:
    """`new` laid over `old`; neither is changed, unchanged parts are shared."""
    if old is ABSENT or old is None:
        return new
    shape = _shape(node, new)
    if shape == "map" and isinstance(old, dict):
        result = dict(old)
        for name, value in new.items():
            result[name] = merge(node_for(node, name), old.get(name, ABSENT), value)
        return result
    if shape in ("list", "set") and isinstance(old, list):
        return _merge_lists(node, old, new, shape)
    return new


def _merge_lists(node: SchemaNode, old: list[Any], new: list[Any], shape: str) -> list[Any]:
    """Items of both; the order of `new` wins, items only in `old` keep their place between."""
    before, after = elements(node, old), elements(node, new)
    item_node = (node.elem or OPEN_MAP) if shape == "list" else SCALAR
    result: list[Any] = []
    old_order = list(before)
    position = 0
    for element, item in after.items():
        if element in before:
            while position < len(old_order) and old_order[position] != element:
                if old_order[position] not in after:
                    result.append(before[old_order[position]])
                    position += 1
                elif old_order.index(element) > position:
                    position += 1
                else:
                    break
            if position < len(old_order) and old_order[position] == element:
                position += 1
            result.append(merge(item_node, before[element], item) if shape == "list" else item)
        else:
            while position < len(old_order) and old_order[position] not in after:
                result.append(before[old_order[position]])
                position += 1
            result.append(item)
    result.extend(before[element] for element in old_order[position:] if element not in after)
    return result


def remove(node: SchemaNode, value: Any, fields: Fields) -> Any:
    """`value` without the members of `fields`; maps and lists stay, even when nothing is left in them."""
    if not fields:
        return value
    shape = _shape(node, value)
    if shape == "map":
        return _remove_from_map(node, value, fields)
    if shape in ("list", "set"):
        return _remove_from_list(node, value, fields, shape)
    return value


def _remove_from_map(node: SchemaNode, value: dict[str, Any], fields: Fields) -> Any:
    result: dict[str, Any] = {}
    for name, item in value.items():
        below = fields.get(f"f:{name}")
        if below is None:
            result[name] = item
        elif not is_member(below):
            result[name] = remove(node_for(node, name), item, below)
    return result


def _remove_from_list(node: SchemaNode, value: list[Any], fields: Fields, shape: str) -> Any:
    result: list[Any] = []
    for item in value:
        below = fields.get(item_element(node, item))
        if below is None:
            result.append(item)
        elif not is_member(below):
            result.append(remove(node.elem or OPEN_MAP, item, below) if shape == "list" else item)
    return result


def drop_emptied(before: Any, after: Any) -> Any:
    """`after` without the maps and lists that became empty since `before`: absent in built-in kinds."""
    if not isinstance(after, dict) or not isinstance(before, dict):
        return after
    result: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict | list) and not value and old:
            continue
        result[name] = drop_emptied(old, value)
    return result


def with_named_fields(node: SchemaNode, fields: Fields) -> Fields:
    """`fields` with every declared field that has something below it as a member, too."""
    result: Fields = {}
    for element, below in children(fields):
        kind, _, text = element.partition(":")
        if kind == "f":
            named = node.kind == "map" and text in node.fields
            inner = node_for(node, text)
        else:
            named = False
            inner = node.elem or OPEN_MAP
        deeper = with_named_fields(inner, below)
        insert(result, element, is_member(below) or named, deeper)
    return result
