"""OpenAPI definitions of custom resources.

Version 3 publishes the schema as written, with the identity fields every object has. Version 2 cannot say
nullable, alternatives or "a number or text", so these are left out there, as a real server does; what a
version 2 client does not know, it does not check.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema import builtin_facts as facts
from edgevirt.engine.apiserver.schema.builtin_openapi import definitions as type_definitions
from edgevirt.engine.apiserver.schema.builtin_openapi import described_reference
from edgevirt.engine.apiserver.schema.builtin_types import OBJECT_META

_NOT_IN_V2 = frozenset({"anyOf", "oneOf", "not", "allOf", "nullable", "default", "x-kubernetes-validations"})


def definitions(schema: Json, name: str, gvk: Json, dialect: int) -> dict[str, Json]:
    """The kind's definition and ObjectMeta's; `dialect` is 2 or 3."""
    found = type_definitions(OBJECT_META, None, dialect)
    published = to_v2(schema) if dialect == 2 else schema
    properties = {
        "apiVersion": {"type": "string", "description": facts.FIELD_TEXTS["apiVersion"]},
        "kind": {"type": "string", "description": facts.FIELD_TEXTS["kind"]},
        **(published.get("properties") or {}),
        "metadata": described_reference(OBJECT_META.definition, dialect, facts.FIELD_TEXTS["metadata"]),
    }
    root: Json = {**published, "properties": properties, "x-kubernetes-group-version-kind": [gvk]}
    if root.get("x-kubernetes-preserve-unknown-fields") and dialect == 2:
        root = {"type": "object", "x-kubernetes-group-version-kind": [gvk]}
    found[name] = root
    return found


def to_v2(schema: Json) -> Json:
    """`schema` without what Swagger 2 cannot express.

    Open objects lose type and properties: a version 2 client would refuse their unknown fields.
    """
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"):
        kept = {"description": schema["description"]} if schema.get("description") else {}
        marks = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
        marks.pop("x-kubernetes-validations", None)
        return {**kept, **marks}
    if schema.get("nullable"):
        description = schema.get("description")
        return {"description": description} if description else {}
    converted: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NOT_IN_V2:
            continue
        if key == "properties":
            converted[key] = {name: to_v2(below) for name, below in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            converted[key] = to_v2(value)
        else:
            converted[key] = value
    return converted
