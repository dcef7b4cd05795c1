"""The columns of pods: how many containers are ready, one word for the state, restarts, placement.

The word for the state is worked out from container states as kubectl's users know it: the reason of the
container that hinders most, `Init:` prefixes while initialising, `Terminating` once deletion was asked for.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.registry import Column
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.ages import Since

NONE = "<none>"


def _dict(holder: Json | None, name: str) -> Json:
    value = (holder or {}).get(name)
    return value if isinstance(value, dict) else {}


def _list(holder: Json | None, name: str) -> list[Json]:
    value = (holder or {}).get(name)
    return value if isinstance(value, list) else []


def _sidecars(pod: Json) -> set[str]:
    """Names of the init containers that keep running beside the others."""
    return {
        container.get("name", "")
        for container in _list(_dict(pod, "spec"), "initContainers")
        if container.get("restartPolicy") == "Always"
    }


def _running_ready(status: Json) -> bool:
    return bool(status.get("ready")) and "running" in _dict(status, "state")


def ready(pod: Json) -> str:
    """`1/2`: ready containers of all that are meant to run."""
    sidecars = _sidecars(pod)
    total = len(_list(_dict(pod, "spec"), "containers")) + len(sidecars)
    statuses = _list(_dict(pod, "status"), "containerStatuses")
    count = sum(1 for status in statuses if _running_ready(status))
    for status in _list(_dict(pod, "status"), "initContainerStatuses"):
        if status.get("name") in sidecars and status.get("started") and status.get("ready"):
            count += 1
    return f"{count}/{total}"


def restarts(pod: Json) -> str | Since:
    """`0`, or with the age of the last restart: `3 (5m ago)`."""
    status = _dict(pod, "status")
    initial = _list(status, "initContainerStatuses")
    sidecars = _sidecars(pod)
    if _initialising(pod) is not None:
        counted = initial
    else:
        counted = [*(s for s in initial if s.get("name") in sidecars), *_list(status, "containerStatuses")]
    total = sum(int(entry.get("restartCount") or 0) for entry in counted)
    ends = [
        finished
        for entry in counted
        if (finished := _dict(_dict(entry, "lastState"), "terminated").get("finishedAt"))
    ]
    return Since(max(ends), f"{total} ({{}} ago)") if total and ends else str(total)


def _ended(state: Json) -> str:
    """The word for a terminated state."""
    terminated = _dict(state, "terminated")
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initialising(pod: Json) -> str | None:
    """The word while an init container has not done its work, else None."""
    spec, status = _dict(pod, "spec"), _dict(pod, "status")
    sidecars = _sidecars(pod)
    total = len(_list(spec, "initContainers"))
    for index, entry in enumerate(_list(status, "initContainerStatuses")):
        state = _dict(entry, "state")
        if "terminated" in state and not _dict(state, "terminated").get("exitCode"):
            continue
        if entry.get("name") in sidecars and entry.get("started"):
            continue
        if "terminated" in state:
            return f"Init:{_ended(state)}"
        reason = _dict(state, "waiting").get("reason")
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{total}"
    return None


def _condition(pod: Json, kind: str) -> Json:
    for condition in _list(_dict(pod, "status"), "conditions"):
        if condition.get("type") == kind:
            return condition
    return {}


def state(pod: Json) -> str:
    """One word for what the pod is doing."""
    status = _dict(pod, "status")
    word = str(status.get("reason") or status.get("phase") or "")
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    initialising = _initialising(pod)
    if initialising is not None and _condition(pod, "Initialized").get("status") != "True":
        word = initialising
    else:
        word = _containers_word(pod, word)
    if _dict(pod, "metadata").get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Failed", "Succeeded"):
            return "Terminating"
    return word


def _containers_word(pod: Json, word: str) -> str:
    running = False
    for entry in reversed(_list(_dict(pod, "status"), "containerStatuses")):
        current = _dict(entry, "state")
        waiting = _dict(current, "waiting").get("reason")
        if waiting:
            word = str(waiting)
        elif "terminated" in current:
            word = _ended(current)
        elif _running_ready(entry):
            running = True
    if word == "Completed" and running:
        return "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"
    return word


def address(pod: Json) -> str:
    status = _dict(pod, "status")
    addresses = _list(status, "podIPs")
    return str((addresses[0].get("ip") if addresses else status.get("podIP")) or NONE)


def _gates(pod: Json) -> str:
    gates = _list(_dict(pod, "spec"), "readinessGates")
    if not gates:
        return NONE
    passed = sum(
        1 for gate in gates if _condition(pod, gate.get("conditionType", "")).get("status") == "True"
    )
    return f"{passed}/{len(gates)}"


def _text(section: str, name: str) -> Any:
    return lambda pod: _dict(pod, section).get(name) or NONE


def columns(name: Column, age: Column) -> tuple[Column, ...]:
    """All columns of pods; the last four only in wide output."""
    return (
        name,
        Column("Ready", description="Ready containers of all containers.", cell=ready),
        Column("Status", description="State of the pod in one word.", cell=state),
        Column("Restarts", description="Container restarts and how long ago the last was.", cell=restarts),
        age,
        Column("IP", priority=1, description="Address of the pod.", cell=address),
        Column("Node", priority=1, description="Node the pod is bound to.", cell=_text("spec", "nodeName")),
        Column(
            "Nominated Node",
            priority=1,
            description="Node whose lower-priority pods are being evicted for this pod.",
            cell=_text("status", "nominatedNodeName"),
        ),
        Column(
            "Readiness Gates",
            priority=1,
            description="Passed readiness gates of all readiness gates.",
            cell=_gates,
        ),
    )
