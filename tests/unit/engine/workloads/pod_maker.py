"""Pods for tables of plans."""

from __future__ import annotations

from typing import Any

from edgevirt.api.core import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
)
from edgevirt.api.meta import ObjectMeta

EARLIER = "2025-12-31T00:00:00Z"


def pod(
    name: str,
    phase: str = "Running",
    ready: bool | None = None,
    node: str = "box",
    since: str = EARLIER,
    created: str = EARLIER,
    deleting: bool = False,
    restarts: int = 0,
    finished: str = "",
    finalizers: tuple[str, ...] = (),
    spec: PodSpec | None = None,
    **meta: Any,
) -> Pod:
    """`ready` is by default what a running pod is."""
    is_ready = phase == "Running" if ready is None else ready
    state = ContainerState(terminated=ContainerStateTerminated(finished_at=finished)) if finished else None
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="n",
            uid=name,
            creation_timestamp=created,
            deletion_timestamp=EARLIER if deleting else "",
            finalizers=finalizers,
            **meta,
        ),
        spec=spec or PodSpec(node_name=node),
        status=PodStatus(
            phase=phase,
            conditions=(
                PodCondition(
                    type="Ready", status="True" if is_ready else "False", last_transition_time=since
                ),
            ),
            container_statuses=(ContainerStatus(name="c", restart_count=restarts, state=state),),
        ),
    )
