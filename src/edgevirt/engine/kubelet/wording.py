"""How kubelets put things in events and states: durations, names of pods, places of containers (pure)."""

from __future__ import annotations

from edgevirt.api.core import Pod


def duration(seconds: float) -> str:
    """A time as Go prints it, to the millisecond: 656ms, 1.32s, 2m40s, 1h0m5s."""
    total = int(seconds * 1000)
    if total < 1000:
        return f"{total}ms" if total else "0s"
    minutes, millis = divmod(total, 60_000)
    rest = f"{millis / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}"
    return f"{minutes}m{rest}" if minutes else rest


def pod_name(pod: Pod) -> str:
    """The pod, told apart from others of its name: name_namespace(uid)."""
    meta = pod.metadata
    return f"{meta.name}_{meta.namespace}({meta.uid})"


def field_path(pod: Pod, name: str) -> str:
    """Where container `name` is in the pod, as an event's involvedObject says it; "" if nowhere."""
    spec = pod.spec
    if spec is None:
        return ""
    for kind, containers in (
        ("containers", spec.containers),
        ("initContainers", spec.init_containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        if any(container.name == name for container in containers):
            return f"spec.{kind}{{{name}}}"
    return ""
