"""Validation of APIServices, as a strategy's `validate` wants it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgevirt.engine.apiserver.errors import Cause

_PRIORITIES = (("groupPriorityMinimum", 20000), ("versionPriority", 1000))


def validate(document: Mapping[str, Any]) -> list[Cause]:
    """Every fault of an APIService. Empty when it is fine."""
    spec = document.get("spec") or {}
    return [*_name_faults(document, spec), *_priority_faults(spec), *_service_faults(spec)]


def _name_faults(document: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Cause]:
    name = (document.get("metadata") or {}).get("name", "")
    group, version = spec.get("group", ""), spec.get("version", "")
    if name != f"{version}.{group}":
        text = f'Invalid value: "{name}": must be `spec.version+"."+spec.group`: "{version}.{group}"'
        yield Cause("FieldValueInvalid", text, "metadata.name")
    if not version:
        yield Cause("FieldValueRequired", "Required value", "spec.version")
    elif not group and version != "v1":
        text = "Required value: only v1 may have an empty group and it better be legacy kube"
        yield Cause("FieldValueRequired", text, "spec.group")


def _priority_faults(spec: Mapping[str, Any]) -> Iterator[Cause]:
    for field, largest in _PRIORITIES:
        value = spec.get(field) or 0
        if not 1 <= value <= largest:
            text = f"Invalid value: {value}: must be positive and less than or equal to {largest}"
            yield Cause("FieldValueInvalid", text, f"spec.{field}")


def _service_faults(spec: Mapping[str, Any]) -> Iterator[Cause]:
    bundle, insecure = spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    service = spec.get("service")
    if service is None:
        for field, value in (("caBundle", bundle), ("insecureSkipTLSVerify", insecure)):
            if value:
                text = "Invalid value: local APIServices may not have a " + field
                yield Cause("FieldValueInvalid", text, f"spec.{field}")
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield Cause("FieldValueRequired", "Required value", f"spec.service.{field}")
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        text = f"Invalid value: {port}: port is not valid: must be between 1 and 65535, inclusive"
        yield Cause("FieldValueInvalid", text, "spec.service.port")
    if bundle and insecure:
        text = "Invalid value: true: may not be true if caBundle is present"
        yield Cause("FieldValueInvalid", text, "spec.insecureSkipTLSVerify")
