"""Schemas of built-in kinds, derived from their typed classes and the tables of `builtin_facts`.

What Go's decoder does implicitly (reject wrong JSON types, drop nulls, report unknown fields in document
order) happens here explicitly, on plain JSON objects, so that nothing is lost that the types do not know
to be lost. Semantic validation of a kind (names, immutability, cross-field rules) is its strategy's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import msgspec

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.http.json_syntax import base64_fault
from edgevirt.engine.apiserver.schema import (
    ATOMIC,
    OPEN_MAP,
    SCALAR,
    Json,
    SchemaNode,
    builtin_defaults,
    child,
    required,
    shown,
    unsupported,
)
from edgevirt.engine.apiserver.schema import builtin_facts as facts
from edgevirt.engine.apiserver.schema.builtin_openapi import definitions
from edgevirt.engine.apiserver.schema.builtin_types import (
    OBJECT_META,
    Rules,
    StructType,
    ValueType,
    struct_type,
)
from edgevirt.engine.apiserver.schema.quantities import is_quantity, stored_quantity
from edgevirt.engine.apiserver.schema.timestamps import time_error


class BuiltinSchema:
    """Schema of one built-in kind; see `ObjectSchema` for the contract."""

    def __init__(self, cls: type[msgspec.Struct], group: str, version: str, kind: str) -> None:
        self._type = struct_type(cls)
        self._defaults = builtin_defaults.BY_KIND.get((group, kind))
        self._gvk = {"group": group, "version": version, "kind": kind}

    @property
    def definition_name(self) -> str:
        return self._type.definition

    def type_error(self, obj: Json) -> str | None:
        return struct_error(self._type, obj, ())

    def is_sound(self, obj: Json) -> bool:
        return is_sound(self._type, obj)

    def prune(self, obj: Json) -> list[str]:
        unknown: list[str] = []
        prune_struct(self._type, obj, "", unknown)
        return unknown

    def apply_defaults(self, obj: Json) -> None:
        if self._defaults is not None:
            self._defaults(obj)

    def validate(self, obj: Json, old: Json | None = None) -> list[Cause]:
        causes: list[Cause] = []
        _check_struct(self._type, obj, "", causes)
        return causes

    def merge_node(self) -> SchemaNode:
        return merge_node_of(self._type)

    def openapi_v3(self) -> dict[str, Json]:
        return definitions(self._type, self._gvk, 3)

    def openapi_v2(self) -> dict[str, Json]:
        return definitions(self._type, self._gvk, 2)


def builtin_schema(cls: type[msgspec.Struct], group: str, version: str, kind: str) -> BuiltinSchema:
    """The schema of `kind`, whose objects have the shape of `cls`."""
    return BuiltinSchema(cls, group, version, kind)


def metadata_type_error(obj: Json) -> str | None:
    """Type error in the metadata of an object whose kind has no Go type (a custom resource)."""
    metadata = obj.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        return f"json: cannot unmarshal {json_type(metadata)} into Go value of type v1.ObjectMeta"
    return struct_error(OBJECT_META, metadata, ())


def prune_metadata(metadata: Any, path: str, unknown: list[str]) -> None:
    """Prune an ObjectMeta in place; paths of what was dropped are appended to `unknown`."""
    if isinstance(metadata, dict):
        prune_struct(OBJECT_META, metadata, path, unknown)


# Decoding -----------------------------------------------------------------------------------------------


def json_type(value: Any) -> str:
    """The JSON type of a decoded value in the words of Go's decoder."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case dict():
            return "object"
        case _:
            return "array"


def struct_error(struct: StructType, obj: Json, path: tuple[str, ...]) -> str | None:
    """The first value below `obj` that cannot be decoded into its Go type, as the decoder's message."""
    for name, value in obj.items():
        if value is None:
            continue
        value_type = struct.fields.get(name)
        if value_type is not None:
            problem = _value_error(value_type, value, struct.name, (*path, name))
            if problem is not None:
                return problem
    return None


def _value_error(value_type: ValueType, value: Any, owner: str, path: tuple[str, ...]) -> str | None:
    match value_type.shape:
        # The usual ones first: the cases are tried in order.
        case "string":
            fits = isinstance(value, str)
        case "struct":
            if isinstance(value, dict) and value_type.struct is not None:
                return struct_error(value_type.struct, value, path)
            fits = False
        case "map":
            if isinstance(value, dict) and value_type.elem is not None:
                return _first_error(value_type.elem, value.values(), owner, path)
            fits = False
        case "list":
            if isinstance(value, list) and value_type.elem is not None:
                return _first_error(value_type.elem, value, owner, path)
            fits = False
        case "bool":
            fits = isinstance(value, bool)
        case "int32":
            fits = _is_integer(value) and -(2**31) <= value < 2**31
        case "int64":
            fits = _is_integer(value) and -(2**63) <= value < 2**63
        case "double":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "int-or-string":
            fits = isinstance(value, str) or (_is_integer(value) and -(2**31) <= value < 2**31)
        case "bytes":
            if isinstance(value, str):
                return _base64_error(value)
            fits = False
        case "time" | "microtime":
            if isinstance(value, str):
                return time_error(value)
            fits = False
        case "quantity":
            return None if is_quantity(value) else _NO_QUANTITY
        case "schema":
            return _schema_error(value_type, value, owner, path)
        case "any":
            return None
    return None if fits else _cannot_unmarshal(value_type, value, owner, path)


def _first_error(elem: ValueType, values: Iterable[Any], owner: str, path: tuple[str, ...]) -> str | None:
    for item in values:
        problem = _value_error(elem, item, owner, path) if item is not None else None
        if problem is not None:
            return problem
    return None


def _schema_error(value_type: ValueType, value: Any, owner: str, path: tuple[str, ...]) -> str | None:
    """JSON schema places take a schema, a boolean, or a list of schemas."""
    if isinstance(value, dict) and value_type.struct is not None:
        return struct_error(value_type.struct, value, path)
    if isinstance(value, list):
        return _first_error(value_type, value, owner, path)
    return None if isinstance(value, bool) else _cannot_unmarshal(value_type, value, owner, path)


def _cannot_unmarshal(value_type: ValueType, value: Any, owner: str, path: tuple[str, ...]) -> str:
    found = json_type(value)
    if found == "number" and value_type.shape.startswith("int"):
        found = f"number {shown(value)}"
    return (
        f"json: cannot unmarshal {found} into Go struct field {owner}.{'.'.join(path)}"
        f" of type {value_type.go_name}"
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _base64_error(value: str) -> str | None:
    return base64_fault(value) or None


_NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def is_sound(struct: StructType, obj: Json) -> bool:
    """Whether `struct_error` and `prune_struct` certainly have nothing to say about `obj`, in one walk.

    Nearly every object is, so that only the others pay for finding out what is wrong, and where.
    """
    fields = struct.fields
    for name, value in obj.items():
        value_type = fields.get(name)
        if value_type is None:
            return False
        if value_type.shape == "string":
            if type(value) is not str:
                return False
        elif not _is_sound_value(value_type, value):
            return False
    return True


def _is_sound_value(value_type: ValueType, value: Any) -> bool:
    shape, elem = value_type.shape, value_type.elem
    if shape == "struct":
        return type(value) is dict and value_type.struct is not None and is_sound(value_type.struct, value)
    if shape == "list" and elem is not None:
        return type(value) is list and _are_sound(elem, value)
    if shape == "map" and elem is not None:
        return type(value) is dict and _are_sound(elem, value.values())
    if shape == "bool":
        return type(value) is bool
    if shape == "quantity":
        return is_quantity(value) and stored_quantity(value) == value
    return value is not None and value_type.struct is None and _value_error(value_type, value, "", ()) is None


def _are_sound(elem: ValueType, values: Iterable[Any]) -> bool:
    if elem.shape == "string":
        return all(type(value) is str for value in values)
    return all(_is_sound_value(elem, value) for value in values)


# Pruning ------------------------------------------------------------------------------------------------


def prune_struct(struct: StructType, obj: Json, path: str, unknown: list[str]) -> None:
    """Drop unknown fields and nulls below `obj`; write quantities canonically."""
    fields = struct.fields
    dropped: list[str] = []
    for name, value in obj.items():
        value_type = fields.get(name)
        if value_type is None:
            unknown.append(child(path, name))
            dropped.append(name)
        elif value is None:
            dropped.append(name)
        elif value_type.shape == "quantity":
            obj[name] = stored_quantity(value)
        elif _has_fields(value_type) or (
            value_type.elem is not None and (_has_fields(value_type.elem) or _holds_null(value))
        ):
            _prune_value(value_type, value, child(path, name), unknown)
    for name in dropped:
        del obj[name]


def _has_fields(value_type: ValueType) -> bool:
    """Whether a value is an object with fields of its own, or a quantity to be written canonically."""
    return value_type.struct is not None or value_type.shape == "quantity"


def _holds_null(value: Any) -> bool:
    return None in (value.values() if isinstance(value, dict) else value)


def _prune_value(value_type: ValueType, value: Any, path: str, unknown: list[str]) -> None:
    if value_type.struct is not None and isinstance(value, dict):
        prune_struct(value_type.struct, value, path, unknown)
    elif isinstance(value, list):
        item_type = value_type.elem or value_type
        if None in value:
            value[:] = [_zero(item_type) if item is None else item for item in value]
        if item_type.struct is not None:
            for index, item in enumerate(value):
                _prune_value(item_type, item, f"{path}[{index}]", unknown)
    elif isinstance(value, dict) and value_type.elem is not None:
        elem = value_type.elem
        for key in [key for key, item in value.items() if item is None]:
            value[key] = _zero(elem)
        if elem.shape == "quantity":
            for key, item in value.items():
                value[key] = stored_quantity(item)
        elif elem.struct is not None:
            for key, item in value.items():
                _prune_value(elem, item, child(path, key), unknown)


_ZERO_VALUES = {
    "string": "",
    "bytes": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0,
    "quantity": "0",
}


def _zero(value_type: ValueType) -> Any:
    """What Go's decoder makes of a null among the items of a list or map."""
    return {} if value_type.shape == "struct" else _ZERO_VALUES.get(value_type.shape)


# Validation ---------------------------------------------------------------------------------------------


def _check_struct(struct: StructType, obj: Json, path: str, causes: list[Cause]) -> None:
    """Required fields and closed sets, in the order of the tables, then below."""
    rules = struct.rules
    if rules is None:
        rules = struct.rules = _rules_of(struct)
    for name, freely_empty in rules.required:
        value = obj.get(name)
        if value is None or (value in ("", [], {}) and not freely_empty):
            causes.append(required(child(path, name)))
    if rules.fields:
        for name, value in obj.items():
            if name in rules.choices:
                _check_choice(value, rules.choices[name], child(path, name), causes)
            elif name in rules.fields:
                _check_below(struct.fields[name], value, child(path, name), causes)


def _rules_of(struct: StructType) -> Rules:
    """What the tables say of a type; fields below which they say nothing are left out."""
    choices = {
        name: facts.ENUMS[(struct.name, name)] for name in struct.fields if (struct.name, name) in facts.ENUMS
    }
    below = (name for name, value_type in struct.fields.items() if _is_ruled(value_type, set()))
    return Rules(
        required=tuple(
            (name, (struct.name, name) in facts.FREELY_EMPTY)
            for name in facts.REQUIRED_FIELDS.get(struct.name, ())
        ),
        choices=choices,
        fields=frozenset((*choices, *below)),
    )


def _is_ruled(value_type: ValueType, seen: set[int]) -> bool:
    """Whether the tables say anything about a value or what can be below it."""
    struct = value_type.struct
    if struct is None:
        return value_type.elem is not None and _is_ruled(value_type.elem, seen)
    if id(struct) in seen:
        return False
    seen.add(id(struct))
    return struct.name in facts.REQUIRED_FIELDS or any(
        (struct.name, name) in facts.ENUMS or _is_ruled(field, seen) for name, field in struct.fields.items()
    )


def _check_choice(value: Any, choices: tuple[str, ...], path: str, causes: list[Cause]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_choice(item, choices, f"{path}[{index}]", causes)
    elif value != "" and value not in choices:
        causes.append(unsupported(path, value, choices))


def _check_below(value_type: ValueType, value: Any, path: str, causes: list[Cause]) -> None:
    if value_type.struct is not None and isinstance(value, dict):
        _check_struct(value_type.struct, value, path, causes)
    elif isinstance(value, list):
        elem = value_type.elem
        if elem is not None and elem.struct is not None:
            for index, item in enumerate(value):
                _check_below(elem, item, f"{path}[{index}]", causes)
    elif isinstance(value, dict) and value_type.elem is not None and value_type.elem.struct is not None:
        for key, item in value.items():
            _check_below(value_type.elem, item, f"{path}[{key}]", causes)


# Merging ------------------------------------------------------------------------------------------------


def merge_node_of(struct: StructType) -> SchemaNode:
    """The merge tree of one object type; cycles are closed by sharing nodes."""
    return _merge_nodes(struct.definition, struct)


@functools.cache
def _node_cache() -> dict[str, SchemaNode]:
    return {}


def _merge_nodes(key: str, struct: StructType) -> SchemaNode:
    cache = _node_cache()
    found = cache.get(key)
    if found is not None:
        return found
    fields: dict[str, SchemaNode] = {}
    kind = "atomic" if struct.name in facts.ATOMIC_TYPES else "map"
    node = cache[key] = SchemaNode("atomic" if kind == "atomic" else "map", fields=fields)
    for name, value_type in struct.fields.items():
        fields[name] = _field_node((struct.name, name), value_type)
    return node


def _field_node(place: facts.Place, value_type: ValueType) -> SchemaNode:
    if value_type.shape == "list":
        return _list_node(place, value_type)
    node = _value_node(value_type)
    if place in facts.ATOMIC_FIELDS:
        return SchemaNode("atomic", fields=node.fields, elem=node.elem)
    return node


def _list_node(place: facts.Place, value_type: ValueType) -> SchemaNode:
    elem = _value_node(value_type.elem) if value_type.elem is not None else OPEN_MAP
    merged = facts.MERGE_LISTS.get(place)
    if merged is not None:
        keys, merge_key, strategy = merged
        return SchemaNode(
            "list" if keys else "atomic",
            elem=elem,
            keys=keys,
            key_defaults=facts.KEY_DEFAULTS.get(place, {}),
            patch_strategy=strategy,
            patch_merge_key=merge_key,
        )
    if place in facts.SETS:
        return SchemaNode("set", elem=SCALAR, patch_strategy=facts.SETS[place])
    return SchemaNode("atomic", elem=elem)


def _value_node(value_type: ValueType) -> SchemaNode:
    match value_type.shape:
        case "struct":
            assert value_type.struct is not None
            return _merge_nodes(value_type.struct.definition, value_type.struct)
        case "schema":
            return ATOMIC
        case "map":
            elem = _value_node(value_type.elem) if value_type.elem is not None else OPEN_MAP
            return SchemaNode("map", elem=elem)
        case "list":
            elem = _value_node(value_type.elem) if value_type.elem is not None else OPEN_MAP
            return SchemaNode("atomic", elem=elem)
        case "any":
            return OPEN_MAP
        case _:
            return SCALAR
