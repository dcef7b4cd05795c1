"""What the API server knows about the shape of a kind: the contract between schemas and request handling.

A kind's schema answers five questions about a plain decoded JSON object: is it of the right Go types, which
of its fields are unknown, which defaults are missing, what is wrong with it, and how do two writers' versions
merge. Built-in kinds answer from the typed classes of `edgevirt.api` (`schema.builtin`), custom ones from the
structural schema of their definition (`schema.structural`). Messages and field paths are Kubernetes' own,
because clients and people match on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from edgevirt.engine.apiserver.errors import Cause

Json = dict[str, Any]

REQUIRED = "FieldValueRequired"
INVALID = "FieldValueInvalid"
TYPE_INVALID = "FieldValueTypeInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
DUPLICATE = "FieldValueDuplicate"
FORBIDDEN = "FieldValueForbidden"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"

NO_FIELD = "<nil>"
"""Field of a cause that belongs to no field of the object, as Kubernetes spells it."""


NodeKind = Literal["scalar", "atomic", "map", "list", "set"]
PatchStrategy = Literal["", "merge", "replace", "retainKeys", "merge,retainKeys"]


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """How one value merges when several writers own parts of it (server-side apply, strategic merge).

    kind:
      scalar  one value with one owner
      atomic  a list or map that is owned and replaced as a whole
      map     an object whose fields are owned one by one: `fields` are declared, `elem` describes
              the values of an open map (`labels`); `open` says undeclared fields are kept
      list    a list of objects told apart by `keys`; `elem` describes one item
      set     a list of scalars told apart by value; `elem` describes one item

    `patch_strategy` and `patch_merge_key` are what strategic merge patch uses; they differ
    from `keys` (ports of a container: by containerPort in a patch, by containerPort and protocol in apply).
    A strategy of "" means: maps merge, lists are replaced. Nodes are shared and must not be changed.
    """

    kind: NodeKind
    fields: Mapping[str, SchemaNode] = field(default_factory=dict)
    elem: SchemaNode | None = None
    keys: tuple[str, ...] = ()
    key_defaults: Mapping[str, Any] = field(default_factory=dict)
    patch_strategy: PatchStrategy = ""
    patch_merge_key: str = ""
    open: bool = False

    def child(self, name: str) -> SchemaNode | None:
        """The node of field `name`: declared, or the values of an open map, or None if unknown."""
        found = self.fields.get(name)
        return found if found is not None else self.elem if self.kind == "map" else None


SCALAR = SchemaNode("scalar")
ATOMIC = SchemaNode("atomic")
OPEN_MAP = SchemaNode("map", open=True)
"""Arbitrary JSON below: maps merge field by field, lists are replaced, nothing is unknown."""


class ObjectSchema(Protocol):
    """The schema of one kind in one version. Instances are immutable and shared between requests."""

    @property
    def definition_name(self) -> str:
        """Name of the kind's OpenAPI definition, `io.k8s.api.core.v1.Pod`."""

    def type_error(self, obj: Json) -> str | None:
        """Why `obj` cannot be decoded (`json: cannot unmarshal number into ...`), or None.

        The caller answers 400 `KIND in version "V" cannot be handled as a KIND: <this>`. Custom resources are
        only checked in their metadata here; the rest is `validate`'s.
        """

    def is_sound(self, obj: Json) -> bool:
        """True only if `type_error` is None for `obj` and `prune` would neither drop nor change anything."""

    def prune(self, obj: Json) -> list[str]:
        """Drop unknown fields from `obj` in place; return their paths (`spec.foo`, `spec.l[0].bar`).

        The caller builds warnings or the strict error `unknown field "spec.foo"` from them. Built-in kinds
        also lose their nulls, which mean absent.
        """

    def apply_defaults(self, obj: Json) -> None:
        """Set what is absent and has a default, in place. Idempotent."""

    def validate(self, obj: Json, old: Json | None = None) -> list[Cause]:
        """Everything wrong with `obj` after defaulting; `old` is the stored object on update, else None."""

    def merge_node(self) -> SchemaNode:
        """The root of the merge tree of this kind."""

    def openapi_v3(self) -> dict[str, Json]:
        """Definitions by name, this kind's and those it needs; references as #/components/schemas/NAME."""

    def openapi_v2(self) -> dict[str, Json]:
        """The same for Swagger 2, references as #/definitions/NAME."""


def unsupported(field_path: str, value: str, supported: Iterable[str]) -> Cause:
    """Cause for a value outside a closed set, worded as Kubernetes does."""
    choices = ", ".join(f'"{choice}"' for choice in supported)
    return Cause(NOT_SUPPORTED, f'Unsupported value: "{value}": supported values: {choices}', field_path)


def required(field_path: str, detail: str = "") -> Cause:
    """Cause for a missing value."""
    return Cause(REQUIRED, f"Required value: {detail}" if detail else "Required value", field_path)


def invalid(field_path: str, value: Any, detail: str) -> Cause:
    """Cause for a value that breaks a rule; `value` is shown the way Go prints it."""
    return Cause(INVALID, f"Invalid value: {shown(value)}: {detail}", field_path)


def shown(value: Any) -> str:
    """A value as Kubernetes' messages print it: strings quoted, the rest as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def child(path: str, name: str) -> str:
    """`spec` + `foo` -> `spec.foo`; the root path is ""."""
    return f"{path}.{name}" if path else name
