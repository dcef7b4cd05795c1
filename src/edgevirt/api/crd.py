"""CustomResourceDefinitions made from the API types, so that types, documentation and schema cannot differ.

`structural_schema` turns a Struct class into a structural OpenAPI v3 schema: everything inlined, docstrings
of classes and fields as descriptions, `Schema` annotations as constraints. Like KubeVirt's, the schema says
which fields exist and what type they have; what makes sense together is for admission to say.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from edgevirt.api import kubevirt
from edgevirt.api.meta import IntOrString, KubeObject, Quantity, Resource, Struct
from edgevirt.api.schema import Schema

QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|"
    r"([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_QUANTITY: Final = frozenset(get_args(Quantity))
_INT_OR_STRING: Final = frozenset(get_args(IntOrString))
_SCALARS: Final[Mapping[Any, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_OPAQUE: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def crds() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of this release, ready to be applied."""
    return [
        _crd(
            kubevirt.VIRTUAL_MACHINES,
            short_names=("vm", "vms"),
            columns=(
                ("Age", "date", ".metadata.creationTimestamp", 0),
                ("Status", "string", ".status.printableStatus", 0),
                ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
            ),
            status_subresource=True,
        ),
        # An instance has no status subresource: virt-controller and virt-handler write through the object.
        _crd(
            kubevirt.VIRTUAL_MACHINE_INSTANCES,
            short_names=("vmi", "vmis"),
            columns=(
                ("Age", "date", ".metadata.creationTimestamp", 0),
                ("Phase", "string", ".status.phase", 0),
                ("IP", "string", ".status.interfaces[0].ipAddress", 0),
                ("NodeName", "string", ".status.nodeName", 0),
                ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
                ("Live-Migratable", "string", ".status.conditions[?(@.type=='LiveMigratable')].status", 1),
                ("Paused", "string", ".status.conditions[?(@.type=='Paused')].status", 1),
            ),
            status_subresource=False,
        ),
        _crd(
            kubevirt.KUBEVIRTS,
            short_names=("kv", "kvs"),
            columns=(
                ("Age", "date", ".metadata.creationTimestamp", 0),
                ("Phase", "string", ".status.phase", 0),
            ),
            status_subresource=True,
        ),
    ]


def structural_schema(type: type[Struct]) -> dict[str, Any]:
    """The structural OpenAPI v3 schema of a kind or of any other API type.

    A type that contains itself is cut where it recurs: its content is kept there, unchecked.
    """
    return _object(type, ())


def descriptions(type: type[Struct]) -> Mapping[str, str]:
    """The documentation of each field of an API type, by Python name, bases included."""
    return _descriptions(type)


def _crd(
    resource: Resource[Any],
    short_names: tuple[str, ...],
    columns: Iterable[tuple[str, str, str, int]],
    status_subresource: bool,
) -> dict[str, Any]:
    version: dict[str, Any] = {
        "schema": {"openAPIV3Schema": structural_schema(resource.type)},
        "additionalPrinterColumns": [
            {"name": name, "type": type, "jsonPath": path, **({"priority": priority} if priority else {})}
            for name, type, path, priority in columns
        ],
    }
    if status_subresource:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.group_resource, "labels": {"kubevirt.io": ""}},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(short_names),
                "categories": ["all"],
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [
                {"name": "v1", "served": True, "storage": True, **version},
                {
                    "name": "v1alpha3",
                    "served": True,
                    "storage": False,
                    "deprecated": True,
                    "deprecationWarning": (
                        f"{resource.group}/v1alpha3 {resource.kind} is deprecated; use {resource.group}/v1"
                    ),
                    **version,
                },
            ],
        },
    }


def _object(type: type[Struct], outer: tuple[type[Struct], ...]) -> dict[str, Any]:
    on_class: Schema = getattr(type, "schema", None) or Schema()
    described = inspect.cleandoc(type.__doc__ or "")
    if on_class.opaque or type in outer:
        return _constrained({**_OPAQUE, "description": described}, on_class)
    hints = _hints(type)
    documented = _descriptions(type)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in msgspec.structs.fields(type):
        if issubclass(type, KubeObject) and field.name in KubeObject.__struct_fields__:
            properties[field.encode_name] = _identity(field.encode_name, embedded=bool(outer))
            continue
        value, extra = _unwrap(hints[field.name])
        described_field = documented.get(field.name, "")
        schema = _value(value, (*outer, type))
        if described_field:
            schema["description"] = described_field
        properties[field.encode_name] = _constrained(schema, extra)
        if field.required or extra.required:
            required.append(field.encode_name)
    schema = {"type": "object"}
    if described:
        schema["description"] = described
    if properties:
        schema["properties"] = dict(sorted(properties.items()))
    if required:
        schema["required"] = sorted(required)
    return _constrained(schema, on_class)


def _identity(name: str, embedded: bool) -> dict[str, Any]:
    if name != "metadata":
        return {"type": "string"}
    return {**_OPAQUE, "nullable": True} if embedded else {"type": "object"}


def _unwrap(hint: Any) -> tuple[Any, Schema]:
    """The type of a field without Annotated, and what its annotations add."""
    extra = Schema()
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        extra = next((mark for mark in marks if isinstance(mark, Schema)), extra)
    return hint, extra


def _value(hint: Any, outer: tuple[type[Struct], ...]) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin is Annotated:
        inner, extra = _unwrap(hint)
        return _constrained(_value(inner, outer), extra)
    if origin in (Union, types.UnionType):
        members = frozenset(get_args(hint)) - {types.NoneType}
        if members == _QUANTITY:
            return {**_int_or_string(), "pattern": QUANTITY_PATTERN}
        if members == _INT_OR_STRING:
            return _int_or_string()
        (member,) = members
        return _value(member, outer)
    if origin is tuple:
        return {"type": "array", "items": _value(get_args(hint)[0], outer)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(get_args(hint)[1], outer)}
    if hint is Any:
        return {"x-kubernetes-preserve-unknown-fields": True}
    if hint is bytes:
        return {"type": "string", "format": "byte"}
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    return _object(hint, outer)


def _int_or_string() -> dict[str, Any]:
    return {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}


def _constrained(schema: dict[str, Any], extra: Schema) -> dict[str, Any]:
    if extra.opaque:
        schema = {key: schema[key] for key in ("type", "description", "nullable") if key in schema}
    if extra.item is not None:
        schema["items"] = _constrained(schema["items"], extra.item)
    additions = {
        "enum": list(extra.enum),
        "format": extra.format,
        "pattern": extra.pattern,
        "nullable": extra.nullable,
        "x-kubernetes-preserve-unknown-fields": extra.opaque or extra.lenient,
        "x-kubernetes-list-type": extra.list_type,
        "x-kubernetes-list-map-keys": list(extra.map_keys),
        "x-kubernetes-map-type": extra.map_type,
    }
    limits = {
        "default": extra.default,
        "minimum": extra.minimum,
        "maximum": extra.maximum,
        "minLength": extra.min_length,
        "maxLength": extra.max_length,
        "maxItems": extra.max_items,
    }
    return {
        **schema,
        **{key: value for key, value in additions.items() if value},
        **{key: value for key, value in limits.items() if value is not None},
    }


@functools.cache
def _hints(type: type[Struct]) -> Mapping[str, Any]:
    return get_type_hints(type, include_extras=True)


@functools.cache
def _descriptions(type: type[Struct]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for base in reversed(type.__mro__):
        found.update(_module_descriptions(base.__module__).get(base.__name__, {}))
    return found


@functools.cache
def _module_descriptions(module: str) -> Mapping[str, Mapping[str, str]]:
    """The string below each field, per class: Python keeps no docstrings of attributes."""
    if not module.startswith("edgevirt."):
        return {}
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = found.setdefault(node.name, {})
        for statement, following in zip(node.body, node.body[1:], strict=False):
            match statement, following:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str() as text)),
                ):
                    fields[name] = re.sub(r"\s+", " ", text).strip()
    return found
