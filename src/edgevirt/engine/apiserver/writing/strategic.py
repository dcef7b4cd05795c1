"""Strategic merge patch: merge patch that knows which lists are maps in disguise.

Lists with strategy "merge" are merged item by item under their merge key; directives in the patch
(`$patch`, `$setElementOrder/F`, `$deleteFromPrimitiveList/F`, `$retainKeys`) say what a merge alone cannot.
Where a list has no strategy it is replaced, as RFC 7386 does.
"""

from __future__ import annotations

from collections.abc import Callable
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
            raise _unknown_directive(directive, patch)
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
            list_node = node.child(field) or OPEN_MAP
            _check_order(list_node, patch.get(field), order)
            before = target.get(field)
            result[field] = _ordered(
                list_node, result[field], order, before if isinstance(before, list) else []
            )
    return result


def _merge_field(node: SchemaNode, result: dict[str, Any], name: str, value: Any) -> None:
    current = result.get(name)
    if isinstance(value, dict):
        if name not in result and value.get(_PATCH) in ("replace", "delete"):
            return  # there is nothing to replace: a real server takes nothing from it
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
        return _ordered(node, result, patch, current)
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
        directive = item.get(_PATCH)
        if directive not in (None, "delete", "merge"):
            raise _unknown_directive(directive, item)
        if directive == "delete":
            result = [have for have in result if not (isinstance(have, dict) and have.get(key) == item[key])]
        elif position is None:
            result.append(_merge_map(item_node, {}, item))
        else:
            result[position] = _merge_map(item_node, result[position], item)
    return _ordered(node, result, patch, current)


def _ordered(node: SchemaNode, items: list[Any], order: list[Any], before: list[Any]) -> list[Any]:
    """Items in the order given; others keep theirs, before what they stood before in the list as it was."""
    key = node.patch_merge_key

    def identity(item: Any) -> bytes:
        return encode_json(item.get(key) if key and isinstance(item, dict) else item)

    wanted = _positions(order, identity)
    was = _positions(before, identity)
    named = sorted((one for one in items if identity(one) in wanted), key=lambda one: wanted[identity(one)])
    others = [one for one in items if identity(one) not in wanted]
    others.sort(key=lambda one: was.get(identity(one), len(was)))
    result: list[Any] = []
    for other in others:
        place = was.get(identity(other))
        while named:
            stood = was.get(identity(named[0]))
            if place is not None and stood is not None and place < stood:
                break
            result.append(named.pop(0))
        result.append(other)
    return [*result, *named]


def _positions(items: list[Any], identity: Callable[[Any], bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for position, item in enumerate(items):
        found.setdefault(identity(item), position)
    return found


def _check_order(node: SchemaNode, patched: Any, order: list[Any]) -> None:
    """What the patch states of a list must be in the order that the patch states. Raises `StatusError`."""
    key = node.patch_merge_key

    def identity(item: Any) -> bytes:
        return encode_json(item.get(key) if key and isinstance(item, dict) else item)

    if not isinstance(patched, list):
        return
    wanted = {identity(item) for item in order}
    stated = [
        one for one in patched if not (isinstance(one, dict) and one.get(_PATCH) in ("delete", "replace"))
    ]
    if any(identity(item) not in wanted for item in stated):
        raise _order_error(patched, order)


def _unknown_directive(directive: Any, patch: dict[str, Any]) -> StatusError:
    shown = " ".join(f"{name}:{patch[name]}" for name in sorted(patch))
    return unclassified(f"unknown patch type: {directive} in map: map[{shown}]")


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
