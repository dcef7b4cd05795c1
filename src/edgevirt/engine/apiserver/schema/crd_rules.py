"""Admission of CustomResourceDefinitions: which definitions can be served, with Kubernetes' causes."""

from __future__ import annotations

import re
from typing import Any

from edgevirt.engine.apiserver.admission.configuration import client_faults
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import FORBIDDEN, Json, invalid, required, unsupported
from edgevirt.engine.apiserver.schema.json_path import JsonPath
from edgevirt.engine.apiserver.schema.structural_rules import check_structural

_DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_APPROVAL = "api-approved.kubernetes.io"
_MAX_SELECTABLE = 8


def validate_crd(crd: Json, old: Json | None = None) -> list[Cause]:
    """Everything wrong with a definition after defaulting; `old` is the stored one on update."""
    causes: list[Cause] = []
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    group = spec.get("group") or ""
    _check_name(crd, names, group, causes)
    _check_group(group, causes)
    _check_approval(crd, group, causes)
    if not spec.get("scope"):
        causes.append(required("spec.scope"))
    elif spec["scope"] not in ("Cluster", "Namespaced"):
        causes.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
    _check_names(names, causes)
    _check_versions(spec, causes)
    _check_conversion(spec.get("conversion") or {}, causes)
    if spec.get("preserveUnknownFields") and not (old and _preserves(old)):
        text = "must be false in order to use defaults, pruning and apply"
        causes.append(invalid("spec.preserveUnknownFields", True, text))
    _check_stored_versions(crd, spec, causes)
    if old is not None:
        _check_immutable(spec, old.get("spec") or {}, causes)
    return causes


def _preserves(crd: Json) -> bool:
    return bool((crd.get("spec") or {}).get("preserveUnknownFields"))


def _check_name(crd: Json, names: Json, group: str, causes: list[Cause]) -> None:
    name = (crd.get("metadata") or {}).get("name") or ""
    if name != f"{names.get('plural') or ''}.{group}":
        text = 'must be spec.names.plural+"."+spec.group'
        causes.append(invalid("metadata.name", name, text))


def _check_group(group: str, causes: list[Cause]) -> None:
    if not group:
        causes.append(required("spec.group"))
    elif not _SUBDOMAIN.fullmatch(group) or len(group) > 253:
        causes.append(invalid("spec.group", group, _SUBDOMAIN_TEXT))
    elif "." not in group:
        causes.append(invalid("spec.group", group, "should be a domain with at least one dot"))


def _check_approval(crd: Json, group: str, causes: list[Cause]) -> None:
    """Groups of the Kubernetes project need an annotation that says who approved the API."""
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return
    annotations = (crd.get("metadata") or {}).get("annotations") or {}
    value = annotations.get(_APPROVAL) or ""
    place = f"metadata.annotations[{_APPROVAL}]"
    if not value:
        text = 'protected groups must have approval annotation, the URL of the approval or "unapproved"'
        causes.append(required(place, text))
    elif not value.startswith(("https://", "http://", "unapproved")):
        text = 'must be a URL or start with "unapproved"'
        causes.append(invalid(place, value, text))


def _check_names(names: Json, causes: list[Cause]) -> None:
    for field, value in (
        ("plural", names.get("plural")),
        ("singular", names.get("singular")),
        ("kind", names.get("kind")),
        ("listKind", names.get("listKind")),
    ):
        _check_label(f"spec.names.{field}", value or "", causes, fold=field in ("kind", "listKind"))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        causes.append(invalid("spec.names.listKind", names["listKind"], text))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field) or ()):
            _check_label(f"spec.names.{field}[{index}]", value, causes)


def _check_label(path: str, value: str, causes: list[Cause], fold: bool = False) -> None:
    if not value:
        causes.append(required(path))
    elif not _DNS1035.fullmatch(value.lower() if fold else value):
        causes.append(invalid(path, value, _DNS1035_TEXT))
    elif len(value) > 63:
        causes.append(invalid(path, value, "must be no more than 63 characters"))


def _check_versions(spec: Json, causes: list[Cause]) -> None:
    versions = spec.get("versions") or []
    if not versions:
        causes.append(required("spec.versions", "must have at least one version"))
        return
    listed = [version.get("name") or "" for version in versions]
    if sum(1 for version in versions if version.get("storage")) != 1:
        text = "must have exactly one version marked as storage version"
        causes.append(invalid("spec.versions", listed, text))
    if len(set(listed)) != len(listed):
        causes.append(invalid("spec.versions", listed, "must contain unique version names"))
    for index, version in enumerate(versions):
        _check_version(version, f"spec.versions[{index}]", causes)


def _check_version(version: Json, path: str, causes: list[Cause]) -> None:
    _check_label(f"{path}.name", version.get("name") or "", causes)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        causes.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
    else:
        causes.extend(check_structural(schema, f"{path}.schema.openAPIV3Schema"))
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        _check_column(column, f"{path}.additionalPrinterColumns[{index}]", causes)
    _check_scale((version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale", causes)
    _check_selectable(version.get("selectableFields") or [], f"{path}.selectableFields", causes)
    if version.get("deprecationWarning") and not version.get("deprecated"):
        text = "can only be set for deprecated versions"
        causes.append(invalid(f"{path}.deprecationWarning", version["deprecationWarning"], text))


def _check_column(column: Json, path: str, causes: list[Cause]) -> None:
    if not column.get("name"):
        causes.append(required(f"{path}.name"))
    kind = column.get("type") or ""
    if not kind:
        causes.append(required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
    elif kind not in _COLUMN_TYPES:
        causes.append(invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
    form = column.get("format") or ""
    if form and form not in _COLUMN_FORMATS:
        causes.append(invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    _check_json_path(column.get("jsonPath") or "", f"{path}.jsonPath", causes)


def _check_json_path(text: str, path: str, causes: list[Cause]) -> None:
    if not text:
        causes.append(required(path))
        return
    if not text.startswith("."):
        causes.append(invalid(path, text, "must be a simple json path starting with ."))
        return
    try:
        JsonPath.parse(text)
    except ValueError as error:
        causes.append(invalid(path, text, f"is an invalid path: {error}"))


def _check_scale(scale: Any, path: str, causes: list[Cause]) -> None:
    if not isinstance(scale, dict):
        return
    for field, start, needed in (
        ("specReplicasPath", ".spec.", True),
        ("statusReplicasPath", ".status.", True),
        ("labelSelectorPath", (".spec.", ".status."), False),
    ):
        value = scale.get(field) or ""
        if not value:
            if needed:
                causes.append(required(f"{path}.{field}"))
        elif not value.startswith(start) or "[" in value:
            wanted = start if isinstance(start, str) else " or ".join(start)
            causes.append(
                invalid(f"{path}.{field}", value, f"should be a json path under {wanted.rstrip('.')}")
            )


def _check_selectable(fields: list[Json], path: str, causes: list[Cause]) -> None:
    if len(fields) > _MAX_SELECTABLE:
        text = f"Too many: {len(fields)}: must have at most {_MAX_SELECTABLE} items"
        causes.append(Cause("FieldValueTooMany", text, path))
    for index, entry in enumerate(fields):
        value = entry.get("jsonPath") or ""
        place = f"{path}[{index}].jsonPath"
        if not value:
            causes.append(required(place))
        elif not value.startswith(".") or "[" in value:
            causes.append(invalid(place, value, "must be a simple path below the object, such as .spec.name"))
        elif value.startswith(".metadata."):
            causes.append(invalid(place, value, "must not point to metadata"))


def _check_conversion(conversion: Json, causes: list[Cause]) -> None:
    strategy = conversion.get("strategy") or ""
    place = "spec.conversion.strategy"
    if not strategy:
        causes.append(required(place))
    elif strategy not in ("None", "Webhook"):
        causes.append(unsupported(place, strategy, ("None", "Webhook")))
    elif strategy == "None":
        if conversion.get("webhook") is not None:
            text = "Forbidden: should not be set when strategy is not set to Webhook"
            causes.append(Cause(FORBIDDEN, text, "spec.conversion.webhookClientConfig"))
    else:
        _check_conversion_webhook(conversion.get("webhook") or {}, causes)


def _check_conversion_webhook(webhook: Json, causes: list[Cause]) -> None:
    client = webhook.get("clientConfig")
    if client is None:
        text = "required when strategy is set to Webhook"
        causes.append(required("spec.conversion.webhookClientConfig", text))
    else:
        causes.extend(client_faults(client, "spec.conversion.webhookClientConfig"))
    versions = webhook.get("conversionReviewVersions") or []
    place = "spec.conversion.conversionReviewVersions"
    if not versions:
        causes.append(required(place))
    elif "v1" not in versions:
        causes.append(invalid(place, versions, "must include at least one of v1"))


def _check_stored_versions(crd: Json, spec: Json, causes: list[Cause]) -> None:
    declared = {version.get("name") for version in spec.get("versions") or ()}
    for index, stored in enumerate((crd.get("status") or {}).get("storedVersions") or ()):
        if stored not in declared:
            text = "missing from spec.versions; it may still have objects in the store"
            causes.append(invalid(f"status.storedVersions[{index}]", stored, text))


def _check_immutable(spec: Json, old: Json, causes: list[Cause]) -> None:
    new_names, old_names = spec.get("names") or {}, old.get("names") or {}
    for path, new, stored in (
        ("spec.group", spec.get("group"), old.get("group")),
        ("spec.scope", spec.get("scope"), old.get("scope")),
        ("spec.names.kind", new_names.get("kind"), old_names.get("kind")),
        ("spec.names.plural", new_names.get("plural"), old_names.get("plural")),
    ):
        if new != stored:
            causes.append(invalid(path, new, "field is immutable"))
