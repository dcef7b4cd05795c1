"""What a write leaves as it is stored: the server's own metadata, and what an endpoint does not write."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.kinds import ephemeral_containers
from edgevirt.engine.apiserver.kinds.pods import BINDING
from edgevirt.engine.apiserver.registry import ServedResource

Json = dict[str, Any]

_FROM_STORED = (
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
)


def merge_system_metadata(old: Json, new: Json) -> None:
    """What clients cannot change keeps its stored value."""
    before, metadata = old["metadata"], new["metadata"]
    metadata.pop("selfLink", None)
    for name in _FROM_STORED:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)


def keep_other_half(resource: ServedResource, subresource: str, old: Json, new: Json) -> None:
    """The main endpoint does not write status, the status endpoint writes nothing else."""
    if subresource == "status":
        for name in [name for name in new if name not in ("apiVersion", "kind", "metadata", "status")]:
            if name not in old:
                del new[name]
        for name, value in old.items():
            if name not in ("metadata", "status"):
                new[name] = value
        if resource.custom:
            sent = new["metadata"].get("managedFields")
            new["metadata"] = dict(old["metadata"])
            if sent is not None:
                new["metadata"]["managedFields"] = sent
    elif subresource == ephemeral_containers.SUBRESOURCE:
        ephemeral_containers.only_theirs(old, new)
    elif "status" in resource.subresources and subresource != BINDING:
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)


def bump_generation(resource: ServedResource, old: Json, obj: Json) -> None:
    """metadata.generation counts the changes of what is wanted, not of what is told about it."""
    if not (resource.generation or resource.custom):
        return
    ignored = {"apiVersion", "kind", "metadata"}
    if not resource.custom or "status" in resource.subresources:
        ignored.add("status")
    if {name: value for name, value in obj.items() if name not in ignored} != {
        name: value for name, value in old.items() if name not in ignored
    }:
        obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
