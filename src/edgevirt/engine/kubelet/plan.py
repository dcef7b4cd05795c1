"""What is to be done next for a pod (pure).

`plan` compares the pod that is wanted with what is there and says which steps can be taken now, or when to
look again. It is asked again after every step and every event, so it never has to look ahead.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from edgevirt.api.core import Container, Pod


class State(enum.StrEnum):
    """NEW: never started in this sandbox; RUNNING; EXITED: the last run is over."""

    NEW = "new"
    RUNNING = "running"
    EXITED = "exited"


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One container. `retry_at` (monotonic): not to be started before; `started`: startup probe passed."""

    state: State = State.NEW
    exit_code: int = 0
    started: bool = False
    unhealthy: bool = False
    retry_at: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """The pod as it is. `prepared`: sandbox and volumes are there; `held`: something is left to release.

    `deleting`: its deletion was asked for; `failed`: it was refused, evicted or timed out, and must end.
    Not before `retry_at` it is prepared again, not before `release_at` released again (monotonic).
    """

    prepared: bool = False
    held: bool = False
    deleting: bool = False
    failed: bool = False
    retry_at: float = 0.0
    release_at: float = 0.0
    containers: Mapping[str, Seen] = dataclasses.field(default_factory=dict)

    def of(self, container: Container) -> Seen:
        return self.containers.get(container.name, Seen())


@dataclasses.dataclass(frozen=True, slots=True)
class Prepare:
    """Make volumes, sandbox and network, and fetch images."""


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    container: str


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """`unhealthy`: the pod goes on. `after`: the containers whose end is waited for before it is asked."""

    container: str
    unhealthy: bool = False
    after: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """Give back everything but the logs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Forget:
    """Nothing is left: remove the pod's directory and confirm the deletion."""


@dataclasses.dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing to do before this moment (monotonic)."""

    moment: float


Action = Prepare | Start | Stop | Release | Forget | WaitUntil


def plan(pod: Pod, observed: Observed, now: float) -> tuple[Action, ...]:
    """The steps that may be taken now, at the same time; () to wait for an event."""
    assert pod.spec
    if observed.deleting or observed.failed:
        return _end(pod, observed, now)
    if outcome(pod, observed) is not None:
        return _end(pod, observed, now)
    if not observed.prepared:
        return (Prepare(),) if observed.retry_at <= now else (WaitUntil(observed.retry_at),)
    actions: list[Action] = [
        step
        for name in ephemeral_names(pod)
        if (seen := observed.containers.get(name, Seen())).state is State.NEW
        for step in ((Start(name),) if seen.retry_at <= now else (WaitUntil(seen.retry_at),))
    ]
    begun = any(observed.of(container).state is not State.NEW for container in pod.spec.containers)
    for container in pod.spec.init_containers:
        seen = observed.of(container)
        if is_sidecar(container):
            actions += _keep_running(container, seen, now)
            if not begun and not (seen.state is State.RUNNING and seen.started):
                return tuple(actions)
        elif seen.state is State.RUNNING:
            return tuple(actions)
        elif seen.state is State.NEW or seen.exit_code != 0:
            return (*actions, *_start(container, seen, now))
    for container in pod.spec.containers:
        seen = observed.of(container)
        if seen.state is State.EXITED and not restarts(pod, seen.exit_code):
            continue
        steps = _keep_running(container, seen, now)
        actions += steps
        if Start(container.name) in steps and container.lifecycle and container.lifecycle.post_start:
            break  # later ones start when its hook is done, which people rely on
    return tuple(actions)


def outcome(pod: Pod, observed: Observed) -> str | None:
    """ "Succeeded" or "Failed" when no container will run again by itself, else None."""
    assert pod.spec
    policy = pod.spec.restart_policy or "Always"
    for container in pod.spec.init_containers:
        seen = observed.of(container)
        if is_sidecar(container) or seen.state is not State.EXITED:
            continue
        if seen.exit_code != 0 and policy == "Never":
            return "Failed"
    if policy == "Always":
        return None
    codes = []
    for container in pod.spec.containers:
        seen = observed.of(container)
        if seen.state is not State.EXITED or restarts(pod, seen.exit_code):
            return None
        codes.append(seen.exit_code)
    return "Failed" if any(codes) else "Succeeded"


def restarts(pod: Pod, exit_code: int) -> bool:
    """Whether a regular container that ended with `exit_code` is started again."""
    assert pod.spec
    match pod.spec.restart_policy or "Always":
        case "Always":
            return True
        case "OnFailure":
            return exit_code != 0
        case _:
            return False


def is_sidecar(container: Container) -> bool:
    """An init container that runs beside the regular ones."""
    return container.restart_policy == "Always"


def ephemeral_names(pod: Pod) -> tuple[str, ...]:
    """Containers added to look into the pod: started once, at any time, and of no weight for its outcome."""
    return tuple(one.name for one in pod.spec.ephemeral_containers) if pod.spec else ()


def _end(pod: Pod, observed: Observed, now: float) -> tuple[Action, ...]:
    assert pod.spec
    sidecars = [c for c in pod.spec.init_containers if is_sidecar(c)]
    mains = [*pod.spec.containers, *(c for c in pod.spec.init_containers if not is_sidecar(c))]
    names = [*(c.name for c in mains), *ephemeral_names(pod)]
    running = [name for name in names if observed.containers.get(name, Seen()).state is State.RUNNING]
    stops = [Stop(name) for name in running]
    for sidecar in reversed(sidecars):  # one after the other, the first started at the very end
        if observed.of(sidecar).state is State.RUNNING:
            stops.append(Stop(sidecar.name, after=tuple(running)))
            running.append(sidecar.name)
    if stops:
        return tuple(stops)
    if observed.held:
        return (Release(),) if observed.release_at <= now else (WaitUntil(observed.release_at),)
    return (Forget(),) if observed.deleting else ()


def _keep_running(container: Container, seen: Seen, now: float) -> tuple[Action, ...]:
    if seen.state is State.RUNNING:
        return (Stop(container.name, unhealthy=True),) if seen.unhealthy else ()
    return _start(container, seen, now)


def _start(container: Container, seen: Seen, now: float) -> tuple[Action, ...]:
    return (Start(container.name),) if seen.retry_at <= now else (WaitUntil(seen.retry_at),)
