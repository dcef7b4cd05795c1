"""From a request body to an object of the kind asked for, by the rules of fieldValidation."""

from __future__ import annotations

from typing import Any

import msgspec

from edgevirt.engine.apiserver.errors import Cause, StatusError, bad_request, invalid
from edgevirt.engine.apiserver.http.body import read_object
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.schema import INVALID, shown
from edgevirt.engine.apiserver.writing.patch import invalid_patch

Json = dict[str, Any]

_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"


def decode_object(
    resource: ServedResource, body: bytes, content_type: str, validation: str, warnings: list[str]
) -> Json:
    """The object in the body of a create or update. Raises `StatusError` 400 or 415."""
    obj, duplicates = read_object(body, content_type, resource.kind)
    if resource.custom and not obj.get("kind"):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object "
            f"'Kind' is missing in "
            f"'{body[:256].decode('utf-8', 'replace')}'"
        )
    kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
    fault = type_fault(resource, kind, version)
    if fault is not None and resource.custom and version == resource.api_version:
        cause = Cause(INVALID, f"Invalid value: {shown(kind)}: must be {resource.kind}", "kind")
        raise invalid(kind, resource.group, (obj.get("metadata") or {}).get("name") or "", [cause])
    if fault is not None:
        if resource.custom and validation != "Ignore":
            # Nothing but its type and metadata is known of an object of another version.
            known = ("apiVersion", "kind", "metadata")
            warnings.extend(f'unknown field "{name}"' for name in sorted(obj) if name not in known)
        raise _unhandled(resource, fault, kind, version)
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    if not isinstance(obj.get("metadata"), dict):
        if obj.get("metadata") is not None:
            raise _unhandled(resource, resource.schema.type_error(obj) or "metadata must be an object")
        obj["metadata"] = {}
    if not duplicates and resource.schema.is_sound(obj):
        return obj
    error = resource.schema.type_error(obj)
    if error is not None:
        raise _unhandled(resource, error)
    faults = field_faults(resource, obj, duplicates)
    if faults:
        if validation == "Strict":
            raise _unhandled(resource, "strict decoding error: " + ", ".join(faults))
        if validation != "Ignore":
            warnings.extend(faults)
    return obj


def field_faults(resource: ServedResource, obj: Json, duplicates: list[str]) -> list[str]:
    """Drops unknown fields; describes them and duplicated ones in the order of the document."""
    names = tuple(obj)
    unknown = resource.schema.prune(obj)
    if not unknown and not duplicates:
        return []
    order = {name: position for position, name in enumerate(names)}
    texts = [(path, f'unknown field "{path}"') for path in unknown]
    # What YAML repeats is told with its lines, ready for the client.
    texts += [
        (path, path if path.startswith("yaml: ") else f'duplicate field "{path}"') for path in duplicates
    ]

    def position(entry: tuple[str, str]) -> int:
        return order.get(entry[0].partition(".")[0].partition("[")[0], len(order))

    return [text for _, text in sorted(texts, key=position)]


def type_fault(resource: ServedResource, kind: str, api_version: str) -> str | None:
    """Why an object of this kind and version is not one of the resource."""
    if kind == resource.kind and api_version == resource.api_version:
        return None
    group, _, version = api_version.rpartition("/")
    if resource.custom:
        if api_version != resource.api_version:
            return (
                f"the API version in the data ({api_version}) does not match the expected API version "
                f"({resource.api_version})"
            )
        return f"the kind in the data ({kind}) does not match the expected kind ({resource.kind})"
    if api_version != resource.api_version:
        return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
    package = group.partition(".")[0] or "core"
    return f"converting ({version}.{kind}) to ({package}.{resource.kind}): unknown conversion"


def _unhandled(resource: ServedResource, why: str, kind: str = "", api_version: str = "") -> StatusError:
    if resource.custom and kind:
        return bad_request(why)
    version = (api_version or resource.version).rpartition("/")[2]
    return bad_request(
        f'{kind or resource.kind} in version "{version}" cannot be handled as a {resource.kind}: {why}'
    )


def check_patched(
    resource: ServedResource,
    obj: Json,
    validation: str,
    warnings: list[str],
    shown: str = "",
    changes_metadata: bool = False,
) -> None:
    """Checks what a patch made, in place: kind, types, unknown fields. Raises `StatusError` 422.

    `shown` is what the error shows as the invalid value; by default the patched object, in the order in
    which Kubernetes would have it, which depends on whether the patch went into its metadata.
    """
    fault = type_fault(resource, str(obj.get("kind", "")), str(obj.get("apiVersion", "")))
    if fault is None and isinstance(obj.get("metadata"), dict) and resource.schema.is_sound(obj):
        return
    if fault is None:
        fault = resource.schema.type_error(obj)
    if fault is not None:
        raise invalid_patch(_patched_text(resource, obj, changes_metadata), fault)
    if not isinstance(obj.get("metadata"), dict):
        raise invalid_patch(encode_json(obj).decode(), "metadata must be an object")
    before = shown
    if validation == "Strict" and not shown:
        before = _patched_text(resource, obj, changes_metadata)
    faults = field_faults(resource, obj, [])
    if faults:
        if validation == "Strict":
            raise invalid_patch(before, "strict decoding error: " + ", ".join(faults))
        if validation != "Ignore":
            warnings.extend(faults)


_METADATA_ORDER = {
    name: position
    for position, name in enumerate(
        (
            "name",
            "generateName",
            "namespace",
            "selfLink",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "labels",
            "annotations",
            "ownerReferences",
            "finalizers",
            "managedFields",
        )
    )
}
_sorted_encoder = msgspec.json.Encoder(order="deterministic")


def _patched_text(resource: ServedResource, obj: Json, changes_metadata: bool) -> str:
    metadata = obj.get("metadata")
    if resource.custom or not isinstance(metadata, dict):
        return _sorted_encoder.encode(obj).decode()

    def place(name: str) -> tuple[int, str]:
        return (0 if changes_metadata else _METADATA_ORDER.get(name, 99), name)

    ordered = {name: metadata[name] for name in sorted(metadata, key=place)}
    return encode_json({name: ordered if name == "metadata" else obj[name] for name in sorted(obj)}).decode()
