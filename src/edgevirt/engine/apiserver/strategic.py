"""Strategic merge patch: merge patch that knows which lists are maps in disguise.

Lists with strategy "merge" are merged item by item under their merge key; directives in the patch
(`$patch`, `$setElementOrder/F`, `$deleteFromPrimitiveList/F`, `$retainKeys`) say what a merge alone cannot.
Where a list has no strategy it is replaced, as RFC 7386 does.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, bad_request, unclassified
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.schema import OPEN_MAP, SchemaNode

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


def strategic_merge(node: SchemaNode, target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`patch` merged into `target`: copies on write. Raises `StatusError` for malformed directives."""
    return _merge_map(node, target, patch)


def _merge_map(node: SchemaNode, target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive is not None:
        if directive == "replace":
            return {name: _plain(value) for name, value in patch.items() if name != _PATCH}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise unclassified(f"unknown patch type found: {directive} in map")
    result = dict(target)
    retained = patch.get(_RETAIN)
    if retained is not None:
        _check_retained(retained, patch)
        result = {name: value for name, value in result.items() if name in retained}
    orders: dict[str, list[Any]] = {}
    for name, value in patch.items():
        if name in (_PATCH, _RETAIN):
            continue
        if name.startswith(_ORDER):
            orders[name[len(_ORDER) :]] = _list(value, name)
        elif name.startswith(_DELETE_PRIMITIVES):
            field = name[len(_DELETE_PRIMITIVES) :]
            doomed = _list(value, name)
            if isinstance(result.get(field), list):
                result[field] = [item for item in result[field] if item not in doomed]
        elif value is None:
            result.pop(name, None)
        else:
            _merge_field(node.child(name) or OPEN_MAP, result, name, value)
    for field, order in orders.items():
        if isinstance(result.get(field), list):
            result[field] = _ordered(node.child(field) or OPEN_MAP, result[field], order, patch.get(field))
    return result


def _merge_field(node: SchemaNode, result: dict[str, Any], name: str, value: Any) -> None:
    current = result.get(name)
    if isinstance(value, dict):
        if "replace" in node.patch_strategy:
            result[name] = _plain(value)
        else:
            merged = _merge_map(node, current if isinstance(current, dict) else {}, value)
            result[name] = merged
    elif isinstance(value, list) and "merge" in node.patch_strategy:
        result[name] = _merge_list(node, current if isinstance(current, list) else [], value)
    else:
        result[name] = _plain(value)


def _merge_list(node: SchemaNode, current: list[Any], patch: list[Any]) -> list[Any]:
    if not node.patch_merge_key:
        result = list(current)
        result.extend(item for item in patch if item not in result)
        return result
    key = node.patch_merge_key
    item_node = node.elem or OPEN_MAP
    if any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in patch):
        return [
            _plain({name: value for name, value in item.items() if name != _PATCH})
            for item in patch
            if isinstance(item, dict) and set(item) != {_PATCH}
        ]
    result = list(current)
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"expected an object with the merge key {key!r} in a list, got {item!r}")
        if key not in item:
            raise unclassified(
                f"map: map[{' '.join(f'{n}:{v}' for n, v in item.items())}] does not contain "
                f"declared merge key: {key}"
            )
        position = next(
            (i for i, have in enumerate(result) if isinstance(have, dict) and have.get(key) == item[key]),
            None,
        )
        if item.get(_PATCH) == "delete":
            result = [have for have in result if not (isinstance(have, dict) and have.get(key) == item[key])]
        elif position is None:
            result.append(_merge_map(item_node, {}, item))
        else:
            result[position] = _merge_map(item_node, result[position], item)
    return result


def _ordered(node: SchemaNode, items: list[Any], order: list[Any], patched: Any) -> list[Any]:
    """Items in the order given; those the order does not name stay behind the one they followed."""
    key = node.patch_merge_key

    def identity(item: Any) -> bytes:
        return encode_json(item.get(key) if key and isinstance(item, dict) else item)

    wanted = {identity(item): position for position, item in enumerate(order)}
    if isinstance(patched, list):
        stated = [
            identity(i)
            for i in patched
            if not (isinstance(i, dict) and i.get(_PATCH) in ("delete", "replace"))
        ]
        if any(item not in wanted for item in stated):
            raise _order_error(patched, order)
    named = sorted(
        (item for item in items if identity(item) in wanted), key=lambda item: wanted[identity(item)]
    )
    result = list(named)
    previous: Any = None
    for item in items:
        if identity(item) in wanted:
            previous = item
            continue
        position = 0 if previous is None else next(i for i, x in enumerate(result) if x is previous) + 1
        result.insert(position, item)
        previous = item
    return result


def _order_error(patched: Any, order: list[Any]) -> StatusError:
    return bad_request(
        f"The order in patch list:\n{patched}\n doesn't match $setElementOrder list:\n{order}\n"
    )


def _check_retained(retained: Any, patch: dict[str, Any]) -> None:
    names = _list(retained, _RETAIN)
    missing = [
        name for name in patch if not name.startswith("$") and patch[name] is not None and name not in names
    ]
    if missing:
        raise bad_request(f"{_RETAIN} directive must contain all fields in the patch, missing {missing[0]}")


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad_request(f"{name} must be a list")
    return value


def _plain(value: Any) -> Any:
    """A patch value that becomes part of the object: without directives and nulls in maps."""
    if isinstance(value, dict):
        return {
            name: _plain(item)
            for name, item in value.items()
            if item is not None and not name.startswith("$")
        }
    if isinstance(value, list):
        return [
            _plain(item) for item in value if not (isinstance(item, dict) and item.get(_PATCH) == "delete")
        ]
    return value
