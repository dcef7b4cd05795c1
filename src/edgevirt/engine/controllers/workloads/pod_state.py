"""What a pod's status says to a controller: active, ready, available, finished; and how to read times."""

from __future__ import annotations

import datetime

from edgevirt.api.core import Pod, PodCondition

ENDED = ("Succeeded", "Failed")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase(pod: Pod) -> str:
    return pod.status.phase if pod.status else ""


def condition(pod: Pod, kind: str) -> PodCondition | None:
    found = pod.status.conditions if pod.status else ()
    return next((one for one in found if one.type == kind), None)


def is_active(pod: Pod) -> bool:
    """Neither ended nor being deleted."""
    return phase(pod) not in ENDED and not pod.metadata.deletion_timestamp


def is_ready(pod: Pod) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.status == "True"


def is_terminating(pod: Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp)


def parse_time(text: str) -> datetime.datetime | None:
    """An RFC 3339 time; None if there is none."""
    if not text:
        return None
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def available_in(pod: Pod, min_ready_seconds: int, now: datetime.datetime) -> float | None:
    """Seconds until the pod has been ready for long enough, 0 if it has; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True":
        return None
    if min_ready_seconds == 0:
        return 0.0
    since = parse_time(ready.last_transition_time or "")
    if since is None:
        return float(min_ready_seconds)
    return max(0.0, min_ready_seconds - (now - since).total_seconds())


def is_available(pod: Pod, min_ready_seconds: int, now: datetime.datetime) -> bool:
    return available_in(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Pod) -> int:
    """The highest restart count of its containers."""
    statuses = pod.status.container_statuses if pod.status else ()
    return max((status.restart_count or 0 for status in statuses), default=0)
