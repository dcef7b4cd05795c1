"""What is wrong with a configuration that is to be applied: kind, name, types, undeclared fields."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, bad_request, unclassified
from edgevirt.engine.apiserver.http.body import envelope_fault
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.writing.typed import check_unique

Json = dict[str, Any]


def check_applied(resource: ServedResource, requested: str, config: Json) -> None:
    """Kind, name and declared fields of an applied configuration. Raises `StatusError` 400 or 500."""
    fault = envelope_fault(config)
    if fault:
        raise bad_request(f"error decoding YAML: {fault}")
    kind, api_version = config.get("kind") or "", config.get("apiVersion") or ""
    if kind != resource.kind or api_version != resource.api_version:
        group, _, version = api_version.rpartition("/")
        raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    config["metadata"] = metadata
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    name = metadata.get("name")
    if name and name != requested:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({requested})")
    group, _, version = api_version.rpartition("/")
    subject = f"{metadata.get('namespace', '')}/{requested}; {group}/{version}, Kind={kind}"
    error = resource.schema.type_error(config)
    if error is not None:
        raise unclassified(f"failed to create typed patch object ({subject}): {error}")
    unknown = resource.schema.prune(config)
    if unknown:
        listed = ", ".join(f".{path}: field not declared in schema" for path in unknown)
        if len(unknown) > 1:
            listed = "errors:\n  " + "\n  ".join(f".{path}: field not declared in schema" for path in unknown)
        raise unclassified(f"failed to create typed patch object ({subject}): {listed}")
    try:
        check_unique(resource.schema.merge_node(), config)
    except StatusError as duplicate:
        raise unclassified(f"failed to create typed patch object ({subject}): {duplicate}") from duplicate
