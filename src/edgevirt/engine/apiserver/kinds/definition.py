"""CustomResourceDefinition as an object: its stored form, its stored versions, its rules.

`customresources` serves what a definition describes. Here its schemas lose what Go's types do not write
(empty lists and maps, empty texts, false where absent means false), so that what is stored reads as on a real
server.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import Plain
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema.crd_rules import validate_crd

Json = dict[str, Any]

_NAMED = ("properties", "patternProperties", "definitions")
_LISTED = ("allOf", "anyOf", "oneOf")
_SINGLE = ("items", "additionalProperties", "additionalItems", "not")
_OMITTED_IF_EMPTY = (
    *_NAMED,
    *_LISTED,
    *("dependencies", "enum", "required", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
    *("id", "$schema", "$ref", "description", "type", "format", "title", "pattern"),
    *("nullable", "exclusiveMaximum", "exclusiveMinimum", "uniqueItems"),
    *("x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"),
)


class Definitions(Plain):
    """Stored versions only grow by themselves; a spec that did not change is not judged again."""

    def complete(self, obj: Json) -> None:
        for version in (obj.get("spec") or {}).get("versions") or ():
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if isinstance(schema, dict):
                normalize(schema)

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        stored = [
            v.get("name", "") for v in (obj.get("spec") or {}).get("versions") or () if v.get("storage")
        ]
        obj["status"] = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored,
        }

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        if context.subresource:
            return
        status = obj.setdefault("status", {})
        stored = list(status.get("storedVersions") or ())
        for version in (obj.get("spec") or {}).get("versions") or ():
            if version.get("storage") and version.get("name", "") not in stored:
                obj["status"] = {**status, "storedVersions": [*stored, version.get("name", "")]}

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        # What was valid when it was stored is not judged again, which also saves compiling its rules.
        if old is not None and old.get("spec") == obj.get("spec"):
            return []
        return validate_crd(obj, old)


def normalize(schema: Json) -> None:
    """Drops empty keywords of a schema and of those below, in place."""
    for name in _OMITTED_IF_EMPTY:
        if name in schema and not schema[name]:
            del schema[name]
    for name in _NAMED:
        for below in (schema.get(name) or {}).values():
            if isinstance(below, dict):
                normalize(below)
    for name in _LISTED:
        for below in schema.get(name) or ():
            if isinstance(below, dict):
                normalize(below)
    for name in _SINGLE:
        below = schema.get(name)
        if isinstance(below, dict):
            normalize(below)
