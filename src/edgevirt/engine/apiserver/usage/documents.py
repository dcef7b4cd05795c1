"""NodeMetrics and PodMetrics objects. Pure; amounts are written as metrics servers write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from edgevirt.engine.apiserver.usage.readings import Used

Json = dict[str, Any]
GROUP, VERSION = "metrics.k8s.io", "v1beta1"


def node_metrics(node: Json, used: Used) -> Json:
    """Of one node."""
    return {**_head("NodeMetrics", node, used), "usage": _usage(used)}


def pod_metrics(pod: Json, used: Mapping[str, Used]) -> Json:
    """Of one pod; `used` by container, not empty. The oldest measurement gives time and window."""
    oldest = min(used.values(), key=lambda one: one.moment)
    containers = [{"name": name, "usage": _usage(one)} for name, one in used.items()]
    return {**_head("PodMetrics", pod, oldest), "containers": containers}


def _head(kind: str, obj: Json, used: Used) -> Json:
    own = obj["metadata"]
    metadata = {"name": own["name"]}
    if own.get("namespace"):
        metadata["namespace"] = own["namespace"]
    stamp = datetime.fromtimestamp(used.moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata["creationTimestamp"] = stamp
    if own.get("labels"):
        metadata["labels"] = own["labels"]
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": metadata,
        "timestamp": stamp,
        "window": f"{used.window:.3f}".rstrip("0").rstrip(".") + "s",
    }


def _usage(used: Used) -> dict[str, str]:
    return {"cpu": f"{used.cpu}n" if used.cpu else "0", "memory": f"{used.memory >> 10}Ki"}
