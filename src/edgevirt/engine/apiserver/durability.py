"""Which writes need not reach the disk: signs of life, which come every few seconds and expire by themselves.

They have revisions and are watched like any other write. After a restart a lease is gone and its holder
creates it anew; a node falls back to its last state that said more than "still alive".
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.cluster import storage_prefix
from edgevirt.engine.apiserver.registry import ServedResource

Json = dict[str, Any]

LEASES = storage_prefix("coordination.k8s.io", "leases")
NODES = storage_prefix("", "nodes")
VOLATILE_COLLECTIONS = frozenset({LEASES, NODES})


def is_durable(resource: ServedResource) -> bool:
    """False for leases."""
    return resource.storage_prefix != LEASES


def is_heartbeat(resource: ServedResource, old: Json, new: Json) -> bool:
    """A node update that changes nothing but the time of its last heartbeat."""
    return resource.storage_prefix == NODES and _without_heartbeat(old) == _without_heartbeat(new)


def _without_heartbeat(node: Json) -> Json:
    status = dict(node.get("status") or {})
    status["conditions"] = [
        {name: value for name, value in condition.items() if name != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
    ]
    metadata = {name: value for name, value in node["metadata"].items() if name != "managedFields"}
    return {**node, "status": status, "metadata": metadata}
