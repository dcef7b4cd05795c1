"""The shape of built-in kinds, read once from the typed classes of `edgevirt.api`.

A msgspec Struct says names and nesting; which text is a timestamp, which integer is 64 bits wide and which
list merges by key comes from the annotations as written and from `builtin_facts`. The result is a graph of
`StructType` (it has cycles: a JSON schema contains JSON schemas), shared by decoding checks, pruning, merge
trees and OpenAPI.
"""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from edgevirt.api import meta
from edgevirt.api.apiextensions import JSONSchemaProps
from edgevirt.engine.apiserver.schema import builtin_facts as facts

Shape = Literal[
    "string",
    "bool",
    "int32",
    "int64",
    "double",
    "bytes",
    "time",
    "microtime",
    "quantity",
    "int-or-string",
    "any",
    "schema",
    "struct",
    "list",
    "map",
]

META_V1 = "io.k8s.apimachinery.pkg.apis.meta.v1"

_PACKAGES = {
    "meta": META_V1,
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}


@dataclass(frozen=True, slots=True)
class ValueType:
    """Type of one value. `struct` is set for "struct" and "schema", `elem` for "list" and "map"."""

    shape: Shape
    struct: StructType | None = None
    elem: ValueType | None = None

    @property
    def go_name(self) -> str:
        """The type as Go's decoder names it in messages."""
        match self.shape:
            case "struct" | "schema":
                return f"v1.{self.struct.name}" if self.struct else "interface {}"
            case "list":
                return f"[]{self.elem.go_name}" if self.elem else "[]interface {}"
            case "map":
                return f"map[string]{self.elem.go_name}" if self.elem else "map[string]interface {}"
            case "bytes":
                return "[]uint8"
            case "double":
                return "float64"
            case "int-or-string":
                return "intstr.IntOrString"
            case "time" | "microtime" | "quantity" | "any":
                return "interface {}"
            case plain:
                return plain


@dataclass(frozen=True, slots=True)
class Rules:
    """What `builtin_facts` demands of an object type.

    required: fields that must be there, and whether they may be empty.
    choices: fields whose text is one of a closed set.
    fields: those to look at, because of `choices` or of what is demanded below them.
    """

    required: tuple[tuple[str, bool], ...]
    choices: dict[str, tuple[str, ...]]
    fields: frozenset[str]


@dataclass(slots=True)
class StructType:
    """One object type. Filled while the graph is built, read-only from then on."""

    name: str
    definition: str
    fields: dict[str, ValueType] = field(default_factory=dict)
    rules: Rules | None = None
    """Worked out at the first validation."""


def definition_name(cls: type) -> str:
    """`edgevirt.api.core.Pod` -> `io.k8s.api.core.v1.Pod`."""
    module = cls.__module__.split(".")[2]
    package = _PACKAGES.get(module, f"io.k8s.api.{module}.v1")
    return f"{package}.{cls.__name__}"


_shared: dict[type, StructType] = {}


def struct_type(cls: type[msgspec.Struct]) -> StructType:
    """The shape of `cls`; the same object for the same class."""
    found = _shared.get(cls)
    if found is not None:
        return found
    built = _shared[cls] = StructType(cls.__name__, definition_name(cls))
    hints = typing.get_type_hints(cls)
    written: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        written.update(inspect.get_annotations(base))
    for attribute, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        place = (cls.__name__, wire)
        built.fields[wire] = _value_type(hints[attribute], str(written.get(attribute, "")), place)
    return built


def _value_type(hint: Any, written: str, place: facts.Place) -> ValueType:
    if place in facts.OPEN_SCHEMA_FIELDS:
        return ValueType("schema", struct=struct_type(JSONSchemaProps))
    if written.startswith("Time"):
        return ValueType("microtime" if place in facts.MICRO_TIME_FIELDS else "time")
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = {member for member in typing.get_args(hint) if member is not type(None)}
        if members == {str, int, float}:
            return ValueType("quantity")
        if members == {str, int}:
            return ValueType("int-or-string")
        if len(members) == 1:
            return _value_type(members.pop(), written, place)
        return ValueType("any")
    if origin is tuple:
        return ValueType("list", elem=_value_type(typing.get_args(hint)[0], "", place))
    if origin is dict:
        if place in facts.QUANTITY_MAPS:
            return ValueType("map", elem=ValueType("quantity"))
        elem_written = "Time" if "Time]" in written else ""
        return ValueType("map", elem=_value_type(typing.get_args(hint)[1], elem_written, place))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return ValueType("struct", struct=struct_type(hint))
    return ValueType(_plain(hint, place))


def _plain(hint: Any, place: facts.Place) -> Shape:
    if hint is str:
        return "string"
    if hint is bool:
        return "bool"
    if hint is int:
        return "int64" if place in facts.INT64_FIELDS else "int32"
    if hint is float:
        return "double"
    if hint is bytes:
        return "bytes"
    return "any"


OBJECT_META = struct_type(meta.ObjectMeta)
LIST_META = struct_type(meta.ListMeta)
