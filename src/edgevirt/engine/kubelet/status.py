"""The pod status this kubelet reports, from what it observes (pure).

The result is the JSON of a strategic merge patch: conditions of others (readiness gates, PodScheduled) are
keyed by type and therefore kept, container statuses are replaced as a whole.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from edgevirt.api.core import Container, Pod, VolumeMount
from edgevirt.engine.kubelet.container import ephemeral
from edgevirt.engine.kubelet.plan import State, is_sidecar
from edgevirt.engine.kubelet.resources import qos_class
from edgevirt.engine.kubelet.state import ContainerRecord, ExitRecord, PodRecord


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A container as the status tells it. `waiting` is (reason, message) while it does not run."""

    record: ContainerRecord
    state: State
    ready: bool = False
    started: bool = False
    waiting: tuple[str, str] = ("ContainerCreating", "")


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """`outcome`: "Succeeded", "Failed" or None; `prepared`: the sandbox has its network."""

    record: PodRecord
    views: Mapping[str, View]
    outcome: str | None
    prepared: bool
    host_address: str
    runtime: str


def compute(pod: Pod, facts: Facts, now: datetime.datetime) -> dict[str, Any]:
    """The `status` part of the patch."""
    assert pod.spec
    init = [_view(facts, c) for c in pod.spec.init_containers]
    regular = [_view(facts, c) for c in pod.spec.containers]
    incomplete = [
        c.name
        for c, view in zip(pod.spec.init_containers, init, strict=True)
        if not (view.started if is_sidecar(c) else view.state is State.EXITED and _code(view) == 0)
    ]
    begun = any(view.record.attempt for view in regular)
    initialized = begun or not incomplete
    phase = _phase(facts, regular, initialized)
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": _conditions(
            pod, facts, phase, incomplete if not begun else [], [*regular, *_sidecars(pod, init)], now
        ),
        "hostIP": facts.host_address,
        "hostIPs": [{"ip": facts.host_address}],
        "qosClass": qos_class(pod),
        "startTime": time_text(facts.record.started_at),
        "containerStatuses": [
            _container(c, v, facts) for c, v in zip(pod.spec.containers, regular, strict=True)
        ],
    }
    if pod.spec.init_containers:
        status["initContainerStatuses"] = [
            _container(c, v, facts) for c, v in zip(pod.spec.init_containers, init, strict=True)
        ]
    if added := ephemeral(pod):
        status["ephemeralContainerStatuses"] = [
            {**_container(c, _view(facts, c), facts), "ready": False} for c in added
        ]
    if facts.record.addresses:
        status["podIP"] = facts.record.addresses[0]
        status["podIPs"] = [{"ip": address} for address in facts.record.addresses]
    if facts.record.failure:
        status |= {"reason": facts.record.failure, "message": facts.record.failure_message}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    others = [c.type for c in (pod.status.conditions if pod.status else ())]
    ours = [condition["type"] for condition in status["conditions"]]
    order = [*ours, *(kind for kind in others if kind not in ours)]
    status["$setElementOrder/conditions"] = [{"type": kind} for kind in order]
    return status


def _phase(facts: Facts, regular: list[View], initialized: bool) -> str:
    if facts.outcome:
        return facts.outcome
    if initialized and regular and any(view.record.attempt for view in regular):
        return "Running"
    return "Pending"


def _conditions(
    pod: Pod, facts: Facts, phase: str, incomplete: list[str], views: list[View], now: datetime.datetime
) -> list[dict[str, Any]]:
    names = [c.name for c in (pod.spec.containers if pod.spec else ())]
    done = phase in ("Succeeded", "Failed")
    unready = (
        [name for name in names if not facts.views[name].ready]
        if all(n in facts.views for n in names)
        else names
    )
    ready = phase == "Running" and all(view.ready for view in views)
    if phase == "Succeeded":
        waiting = ("PodCompleted", "")
    elif phase == "Failed":
        waiting = ("PodFailed", "")
    else:
        waiting = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    gates = _gates(pod)
    wanted = {
        "PodReadyToStartContainers": (facts.prepared and not done, ("", "")),
        "Initialized": (
            not incomplete or phase == "Succeeded",
            (
                "ContainersNotInitialized",
                f"containers with incomplete status: [{' '.join(incomplete)}]",
            ),
        ),
        "Ready": (
            ready and not gates,
            waiting if not ready else ("ReadinessGatesNotReady", "; ".join(gates)),
        ),
        "ContainersReady": (ready, waiting),
    }
    reasons = {"Initialized": "PodCompleted"} if phase == "Succeeded" else {}
    previous = {c.type: c for c in (pod.status.conditions if pod.status else ())}
    result = []
    for kind, (true, (reason, message)) in wanted.items():
        text = "True" if true else "False"
        old = previous.get(kind)
        changed = old is None or old.status != text
        condition: dict[str, Any] = {
            "type": kind,
            "status": text,
            "lastTransitionTime": time_text(now.timestamp())
            if changed or old is None
            else old.last_transition_time,
            "reason": reasons.get(kind) if true else reason or None,
            "message": None if true else message or None,
        }
        if pod.metadata.generation:
            condition["observedGeneration"] = pod.metadata.generation
        result.append(
            {key: value for key, value in condition.items() if value is not None or old is not None}
        )
    return result


def _gates(pod: Pod) -> list[str]:
    """What keeps the readiness gates shut."""
    conditions = {c.type: c.status for c in (pod.status.conditions if pod.status else ())}
    shut = []
    for gate in pod.spec.readiness_gates if pod.spec else ():
        status = conditions.get(gate.condition_type)
        if status is None:
            shut.append(
                f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.'
            )
        elif status != "True":
            shut.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {status}'
            )
    return shut


def _container(container: Container, view: View, facts: Facts) -> dict[str, Any]:
    record = view.record
    status: dict[str, Any] = {
        "name": container.name,
        "image": record.image or container.image,
        "imageID": record.image_id,
        "ready": view.ready,
        "restartCount": max(record.attempt - 1, 0),
        "started": view.started,
        "state": _state(view, facts),
    }
    if container.volume_mounts:
        status["volumeMounts"] = [_mount(mount) for mount in container.volume_mounts]
    if wanted := container.resources:
        if wanted.requests:
            status["allocatedResources"] = dict(wanted.requests)
        if view.state is State.RUNNING:
            given = {"limits": dict(wanted.limits), "requests": dict(wanted.requests)}
            status["resources"] = {kind: amounts for kind, amounts in given.items() if amounts}
    last = record.exit if "waiting" in status["state"] and record.exit else record.last_exit
    status["lastState"] = {"terminated": _terminated(last, facts)} if last else {}
    if container.lifecycle and container.lifecycle.stop_signal:
        status["stopSignal"] = container.lifecycle.stop_signal
    if record.container_id:
        status["containerID"] = f"{facts.runtime}://{record.container_id}"
    return status


def _mount(mount: VolumeMount) -> dict[str, Any]:
    told: dict[str, Any] = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        below = mount.recursive_read_only in ("Enabled", "IfPossible")
        told |= {"readOnly": True, "recursiveReadOnly": "Enabled" if below else "Disabled"}
    return told


def _state(view: View, facts: Facts) -> dict[str, Any]:
    record = view.record
    if view.state is State.RUNNING:
        return {"running": {"startedAt": time_text(record.started_at)}}
    if view.state is State.EXITED and record.exit and (facts.outcome or not view.waiting[0]):
        return {"terminated": _terminated(record.exit, facts)}
    reason, message = view.waiting
    return {"waiting": {"reason": reason or "ContainerCreating", **({"message": message} if message else {})}}


def _terminated(end: ExitRecord, facts: Facts) -> dict[str, Any]:
    result: dict[str, Any] = {
        "exitCode": end.code,
        "reason": end.reason,
        "startedAt": time_text(end.started_at),
        "finishedAt": time_text(end.finished_at),
    }
    if end.container_id:
        result["containerID"] = f"{facts.runtime}://{end.container_id}"
    if end.message:
        result["message"] = end.message
    if end.signal:
        result["signal"] = end.signal
    return result


def _view(facts: Facts, container: Container) -> View:
    found = facts.views.get(container.name)
    if found is None:
        return View(ContainerRecord(), State.NEW, waiting=("PodInitializing", ""))
    return found


def _sidecars(pod: Pod, init: list[View]) -> list[View]:
    assert pod.spec
    return [view for c, view in zip(pod.spec.init_containers, init, strict=True) if is_sidecar(c)]


def _code(view: View) -> int:
    return view.record.exit.code if view.record.exit else 0


def time_text(moment: float) -> str | None:
    """RFC 3339 with seconds, or None for a time that is not known."""
    if not moment:
        return None
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
