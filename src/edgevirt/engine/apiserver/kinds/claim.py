"""PersistentVolumeClaim and PersistentVolume: a finalizer that protects them, a spec that stays.

What a claim asks for is fixed; a bound one may ask for more room. Its source is written in two fields that
say the same as long as both kinds of clients may read it.
"""

from __future__ import annotations

import difflib
import json
from typing import Any

from edgevirt.api.quantity import parse
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.strategies import WithStatus, forbidden_cause
from edgevirt.engine.apiserver.registry import WriteContext

Json = dict[str, Any]

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
_FIXED = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


def _protect(obj: Json, finalizer: str) -> None:
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, finalizer]


class Volumes(WithStatus):
    """PersistentVolume."""

    def __init__(self) -> None:
        super().__init__({"phase": "Pending"})

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _protect(obj, VOLUME_FINALIZER)


class Claims(WithStatus):
    """PersistentVolumeClaim."""

    def __init__(self) -> None:
        super().__init__({"phase": "Pending"})

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _protect(obj, CLAIM_FINALIZER)
        spec = obj.get("spec")
        if isinstance(spec, dict):
            _same_source(spec)

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        spec = obj.get("spec")
        if isinstance(spec, dict) and not context.subresource:
            _same_source(spec)

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        if not spec.get("accessModes"):
            text = "Required value: at least 1 access mode is required"
            causes.append(Cause("FieldValueRequired", text, "spec.accessModes"))
        size = _size(spec)
        if not size:
            causes.append(Cause("FieldValueRequired", "Required value", "spec.resources[storage]"))
        elif parse(size) <= 0:
            text = f'Invalid value: "{size}": must be greater than zero'
            causes.append(Cause("FieldValueInvalid", text, "spec.resources[storage]"))
        if old is not None:
            causes.extend(_change_faults(spec, old))
        return causes


def _size(spec: Json) -> str:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage") or ""


def _same_source(spec: Json) -> None:
    old, new = spec.get("dataSource"), spec.get("dataSourceRef")
    if old and not new:
        spec["dataSourceRef"] = dict(old)
    elif new and not old and not new.get("namespace"):
        spec["dataSource"] = {key: value for key, value in new.items() if key != "namespace"}


def _change_faults(spec: Json, old: Json) -> list[Cause]:
    before = old.get("spec") or {}
    bound = (old.get("status") or {}).get("phase") == "Bound"
    free = {"volumeName"} if not before.get("volumeName") else set()
    if bound:
        free |= {"resources", "volumeAttributesClassName"}
    kept, was = ({n: v for n, v in one.items() if n not in free} for one in (spec, before))
    if kept != was:
        return [forbidden_cause("spec", _FIXED + "\n" + _difference(before, spec, free))]
    if bound and _size(spec) and _size(before) and parse(_size(spec)) < parse(_size(before)):
        text = "field can not be less than status.capacity"
        return [forbidden_cause("spec.resources.requests.storage", text)]
    return []


def _difference(before: Json, spec: Json, free: set[str]) -> str:
    """The change as Kubernetes shows it: a diff of its own view of the spec, with the free fields equal."""
    wanted = {**spec, **{name: before[name] for name in free if name in before}}
    lines = difflib.unified_diff(_shown(before), _shown(wanted), n=3, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++"))) + "\n"


def _shown(spec: Json) -> list[str]:
    resources = spec.get("resources") or {}
    view: Json = {
        "AccessModes": spec.get("accessModes"),
        "Selector": spec.get("selector"),
        "Resources": {"Limits": resources.get("limits"), "Requests": resources.get("requests")},
        "VolumeName": spec.get("volumeName") or "",
        "StorageClassName": spec.get("storageClassName"),
        "VolumeMode": spec.get("volumeMode"),
        "DataSource": _go_names(spec.get("dataSource")),
        "DataSourceRef": _go_names(spec.get("dataSourceRef")),
        "VolumeAttributesClassName": spec.get("volumeAttributesClassName"),
    }
    return json.dumps(view, indent=1).splitlines()


def _go_names(source: Json | None) -> Json | None:
    if source is None:
        return None
    names = {"apiGroup": "APIGroup", "kind": "Kind", "name": "Name", "namespace": "Namespace"}
    return {names.get(key, key): value for key, value in source.items()}
