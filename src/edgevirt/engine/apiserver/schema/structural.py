"""Schemas of custom resources: pruning, defaulting, validation and merging from a structural schema.

The OpenAPI schema of a CustomResourceDefinition is compiled once into a tree of `Shape`, which holds what
the per-request walks need and nothing else; validators and CEL programs are built on first use, because a
cluster has many kinds and most are hardly written. `schema.structural_rules` guarantees at the definition's
admission what is taken for granted here.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import (
    DUPLICATE,
    INVALID,
    NO_FIELD,
    OPEN_MAP,
    REQUIRED,
    SCALAR,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    Json,
    SchemaNode,
    child,
    shown,
    structural_openapi,
    values,
)
from edgevirt.engine.apiserver.schema.builtin import merge_node_of, metadata_type_error, prune_metadata
from edgevirt.engine.apiserver.schema.builtin_types import OBJECT_META

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.schema import cel

_IDENTITY = ("apiVersion", "kind", "metadata")
_BLOCKING = frozenset({REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID})

_NOT_CHECKED = Cause(
    INVALID,
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    NO_FIELD,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What pruning, defaulting and list uniqueness need to know about one value."""

    properties: dict[str, Shape]
    others: Shape | None
    items: Shape | None
    keep_unknown: bool
    embedded: bool
    nullable: bool
    has_default: bool
    default: Any
    list_type: str
    keys: tuple[str, ...]
    plain: bool = field(default=False)
    """Nothing below to prune, default or compare: the walks stop here."""


def shape_of(schema: Json) -> Shape:
    """Compile a structural schema."""
    properties = {name: shape_of(below) for name, below in (schema.get("properties") or {}).items()}
    others, items = schema.get("additionalProperties"), schema.get("items")
    container = schema.get("type") in ("object", "array") or bool(properties) or isinstance(items, dict)
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or others is True
    return Shape(
        properties=properties,
        others=shape_of(others) if isinstance(others, dict) else None,
        items=shape_of(items) if isinstance(items, dict) else None,
        keep_unknown=keep,
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        nullable=bool(schema.get("nullable")),
        has_default=schema.get("default") is not None,
        default=schema.get("default"),
        list_type=schema.get("x-kubernetes-list-type") or "",
        keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        plain=not container and not schema.get("x-kubernetes-embedded-resource"),
    )


class StructuralSchema:
    """Schema of one version of a custom resource; see `ObjectSchema` for the contract."""

    def __init__(self, schema: Json | None, group: str, version: str, kind: str) -> None:
        """`schema` is openAPIV3Schema as stored (read-only from here on); None keeps every field."""
        self._schema: Json = schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        self._gvk = {"group": group, "version": version, "kind": kind}
        self._name = ".".join([*reversed(group.split(".")), version, kind])

    @property
    def definition_name(self) -> str:
        return self._name

    @functools.cached_property
    def _shape(self) -> Shape:
        return shape_of(self._schema)

    @functools.cached_property
    def _validator(self) -> jsonschema_rs.Draft7Validator:
        return values.compiled(self._schema)

    @functools.cached_property
    def _rules(self) -> cel.RuleTree | None:
        # Imported only where there are rules: a server none of whose definitions has any does without.
        if not has_rules(self._schema):
            return None
        from edgevirt.engine.apiserver.schema import cel

        return cel.rule_tree(self._schema)

    @functools.cached_property
    def _merge_root(self) -> SchemaNode:
        return _root_node(_merge_node(self._schema))

    def type_error(self, obj: Json) -> str | None:
        return metadata_type_error(obj)

    def is_sound(self, obj: Json) -> bool:
        return False  # nothing is told without walking it

    def prune(self, obj: Json) -> list[str]:
        unknown: list[str] = []
        _prune(self._shape, obj, "", unknown, True)
        return sorted(unknown)

    def apply_defaults(self, obj: Json) -> None:
        _default_object(self._shape, obj)

    def validate(self, obj: Json, old: Json | None = None) -> list[Cause]:
        causes: list[Cause] = []
        if not self._validator.is_valid(obj):
            causes = self._explain(obj, old)
        _check_unique(self._shape, obj, "", causes)
        if self._rules is not None:
            if any(cause.reason in _BLOCKING for cause in causes):
                causes.append(_NOT_CHECKED)
            else:
                causes.extend(self._rules.check(obj, old))
        return causes

    def _explain(self, obj: Json, old: Json | None) -> list[Cause]:
        """Causes for an object the fast validator refused; never empty unless what is wrong is unchanged."""
        findings = values.check(self._schema, obj, values.ABSENT if old is None else old)
        if findings.causes or findings.ratcheted:
            return findings.causes
        return [
            Cause(
                INVALID,
                f"Invalid value: {shown(error.instance)}: {error.message}",
                _pointer(error.instance_path),
            )
            for error in self._validator.iter_errors(obj)
        ]

    def merge_node(self) -> SchemaNode:
        return self._merge_root

    def openapi_v3(self) -> dict[str, Json]:
        return structural_openapi.definitions(self._schema, self._name, self._gvk, 3)

    def openapi_v2(self) -> dict[str, Json]:
        return structural_openapi.definitions(self._schema, self._name, self._gvk, 2)


def _pointer(path: list[str | int]) -> str:
    text = ""
    for step in path:
        text = f"{text}[{step}]" if isinstance(step, int) else child(text, step)
    return text or NO_FIELD


# Pruning ------------------------------------------------------------------------------------------------


def _prune(shape: Shape, value: Any, path: str, unknown: list[str], is_root: bool = False) -> None:
    if isinstance(value, dict):
        dropped: list[str] = []
        identified = is_root or shape.embedded
        properties = shape.properties
        for name, item in value.items():
            if identified and name in _IDENTITY:
                if name == "metadata":
                    prune_metadata(item, child(path, name), unknown)
                continue
            below = properties.get(name) or shape.others
            if below is not None:
                if not below.plain and isinstance(item, dict | list):
                    _prune(below, item, child(path, name), unknown)
            elif not shape.keep_unknown:
                unknown.append(child(path, name))
                dropped.append(name)
        for name in dropped:
            del value[name]
    elif isinstance(value, list) and shape.items is not None and not shape.items.plain:
        for index, item in enumerate(value):
            _prune(shape.items, item, f"{path}[{index}]", unknown)


# Defaulting ---------------------------------------------------------------------------------------------


def _default_object(shape: Shape, obj: Json) -> None:
    for name, below in shape.properties.items():
        if below.has_default and (name not in obj or (obj[name] is None and not below.nullable)):
            default = below.default
            obj[name] = copy.deepcopy(default) if isinstance(default, dict | list) else default
    dropped: list[str] = []
    for name, item in obj.items():
        below_or_none = shape.properties.get(name) or shape.others
        if below_or_none is None:
            continue
        if item is None and not below_or_none.nullable:
            dropped.append(name)
        elif not below_or_none.plain:
            _default_value(below_or_none, item)
    for name in dropped:
        del obj[name]


def _default_value(shape: Shape, value: Any) -> None:
    if isinstance(value, dict):
        _default_object(shape, value)
    elif isinstance(value, list) and shape.items is not None and not shape.items.plain:
        for item in value:
            _default_value(shape.items, item)


# Uniqueness of sets and keyed lists ---------------------------------------------------------------------


def _check_unique(shape: Shape, value: Any, path: str, causes: list[Cause]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            below = shape.properties.get(name) or shape.others
            if below is not None and not below.plain and isinstance(item, dict | list):
                _check_unique(below, item, child(path, name), causes)
    elif isinstance(value, list):
        if shape.list_type in ("set", "map"):
            _check_duplicates(shape, value, path, causes)
        if shape.items is not None and not shape.items.plain:
            for index, item in enumerate(value):
                _check_unique(shape.items, item, f"{path}[{index}]", causes)


def _check_duplicates(shape: Shape, value: list[Any], path: str, causes: list[Cause]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        if shape.list_type == "map":
            if not isinstance(item, dict):
                continue
            identity: Any = {key: item[key] for key in shape.keys if key in item}
        else:
            identity = item
        text = shown(identity)
        if text in seen:
            causes.append(Cause(DUPLICATE, f"Duplicate value: {text}", f"{path}[{index}]"))
        seen.add(text)


# Merging ------------------------------------------------------------------------------------------------


def _root_node(node: SchemaNode) -> SchemaNode:
    fields = {
        **node.fields,
        "apiVersion": SCALAR,
        "kind": SCALAR,
        "metadata": merge_node_of(OBJECT_META),
    }
    return SchemaNode("map", fields=fields, elem=node.elem, open=node.open)


def _merge_node(schema: Json) -> SchemaNode:
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if schema.get("type") == "array":
        return _list_node(schema)
    if schema.get("type") == "object" or (schema.get("properties") and not schema.get("type")):
        return _object_node(schema, keep)
    return OPEN_MAP if keep and not schema.get("type") else SCALAR


def _object_node(schema: Json, keep: bool) -> SchemaNode:
    fields = {name: _merge_node(below) for name, below in (schema.get("properties") or {}).items()}
    others = schema.get("additionalProperties")
    elem = _merge_node(others) if isinstance(others, dict) else None
    kind = schema.get("x-kubernetes-map-type")
    if schema.get("x-kubernetes-embedded-resource"):
        fields.setdefault("apiVersion", SCALAR)
        fields.setdefault("kind", SCALAR)
        fields["metadata"] = merge_node_of(OBJECT_META)
    if kind == "atomic":
        return SchemaNode("atomic", fields=fields, elem=elem, open=keep)
    return SchemaNode("map", fields=fields, elem=elem, open=keep or others is True)


def _list_node(schema: Json) -> SchemaNode:
    items = schema.get("items")
    elem = _merge_node(items) if isinstance(items, dict) else OPEN_MAP
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return SchemaNode("set", elem=elem)
        case "map":
            keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            properties = items.get("properties") or {} if isinstance(items, dict) else {}
            defaults = {
                key: properties[key]["default"] for key in keys if "default" in (properties.get(key) or {})
            }
            return SchemaNode("list", elem=elem, keys=keys, key_defaults=defaults)
        case _:
            return SchemaNode("atomic", elem=elem)


def has_rules(schema: Any) -> bool:
    """Whether a rule stands anywhere in a schema."""
    if isinstance(schema, dict):
        return "x-kubernetes-validations" in schema or any(has_rules(below) for below in schema.values())
    return isinstance(schema, list) and any(has_rules(below) for below in schema)
