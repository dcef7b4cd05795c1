"""Objects under a merge schema: their field sets, differences, merges and removals.

This is what server-side apply is made of. Rules, from Kubernetes' structured-merge-diff: fields of maps and
items of associative lists are owned one by one; atomic values as a whole; an empty map counts as a value;
entries of open maps and list items are members of a set themselves, declared fields only through what is
below them.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, unclassified
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.schema import OPEN_MAP, SCALAR, SchemaNode
from edgevirt.engine.apiserver.writing.fieldset import SELF, Fields, children, insert, is_member

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
    _compare_maps(node, old, new, result, present)
    return result


def _compare_maps(node: SchemaNode, old: Any, new: Any, out: Difference, present: frozenset[str]) -> None:
    """Fills `out` with the differences of two maps, either of which may be null."""
    old_items = old or {}
    new_items = new or {}
    fields, elem = node.fields, _values_node(node)
    for name, value in new_items.items():
        before = old_items.get(name, ABSENT)
        if before is value:
            continue
        below = fields.get(name) or elem
        always = name in present and name in fields
        if before is ABSENT:
            out.added[f"f:{name}"] = _whole(below, value, present, not always)
        else:
            _collect(out, f"f:{name}", below, before, value, present, always)
    for name, value in old_items.items():
        if name not in new_items:
            always = name in present and name in fields
            out.removed[f"f:{name}"] = _whole(fields.get(name) or elem, value, present, not always)


def _whole(node: SchemaNode, value: Any, present: frozenset[str], member: bool) -> Fields:
    """The set node of a value that came or went with everything in it."""
    shape = _shape(node, value) if value else "leaf"
    if shape == "leaf":
        return {}
    result: Fields = {SELF: {}} if member else {}
    if shape == "map":
        fields, elem = node.fields, _values_node(node)
        for name, item in value.items():
            always = name in present and name in fields
            result[f"f:{name}"] = _whole(fields.get(name) or elem, item, present, not always)
    else:
        item_node = _item_node(node, shape)
        for element, item in elements(node, value).items():
            result[element] = _whole(item_node, item, present, True)
    return result


def _values_node(node: SchemaNode) -> SchemaNode:
    """The node of fields that `node` does not declare."""
    return (node.elem if node.kind == "map" else None) or OPEN_MAP


def _item_node(node: SchemaNode, shape: str) -> SchemaNode:
    return (node.elem or OPEN_MAP) if shape == "list" else SCALAR


def _collect(
    out: Difference,
    element: str,
    node: SchemaNode,
    old: Any,
    new: Any,
    present: frozenset[str],
    always: bool,
) -> None:
    """Adds to `out` what differs at `element`, where both have a value."""
    if isinstance(new, str) and isinstance(old, str):
        if old != new:
            out.modified[element] = {}
        return
    shape = _shape(node, old if new is None else new)
    kind = dict if shape == "map" else list
    if shape == "leaf" or not (_is_empty_or(kind, old) and _is_empty_or(kind, new)):
        if not _equal(old, new):
            out.modified[element] = {}
    elif not old and not new:
        if old != new:
            out.modified[element] = {}
    else:
        inner = Difference()
        if shape == "map":
            _compare_maps(node, old, new, inner, present)
        else:
            _compare_lists(node, old or [], new or [], shape, inner, present)
        insert(out.added, element, False, inner.added)
        insert(out.removed, element, False, inner.removed)
        insert(out.modified, element, False, inner.modified)


def _is_empty_or(kind: type, value: Any) -> bool:
    return value is None or isinstance(value, kind)


def _compare_lists(
    node: SchemaNode, old: list[Any], new: list[Any], shape: str, out: Difference, present: frozenset[str]
) -> None:
    before, after = elements(node, old), elements(node, new)
    item_node = _item_node(node, shape)
    for element, item in after.items():
        known = before.get(element, ABSENT)
        if known is ABSENT:
            out.added[element] = _whole(item_node, item, present, True)
        else:
            _collect(out, element, item_node, known, item, present, False)
    for element, item in before.items():
        if element not in after:
            out.removed[element] = _whole(item_node, item, present, True)


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
