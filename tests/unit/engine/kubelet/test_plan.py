"""What is done next for a pod, as a table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.plan import (
    Action,
    Forget,
    Observed,
    Prepare,
    Release,
    Seen,
    Start,
    State,
    Stop,
    WaitUntil,
    outcome,
    plan,
)

pytestmark = pytest.mark.unit
NOW = 100.0
RUNNING = Seen(State.RUNNING, started=True)
STARTING = Seen(State.RUNNING, started=False)


def pod(
    policy: str = "Never",
    *,
    init: tuple[str, ...] = (),
    sidecars: tuple[str, ...] = (),
    hooked: str = "",
    added: tuple[str, ...] = (),
) -> Pod:
    hook = {"lifecycle": {"postStart": {"sleep": {"seconds": 1}}}}
    containers = [{"name": name, **(hook if name == hooked else {})} for name in ("a", "b")]
    first: list[dict[str, Any]] = [{"name": name, "restartPolicy": "Always"} for name in sidecars]
    first += [{"name": name} for name in init]
    spec = {"containers": containers, "initContainers": first, "restartPolicy": policy}
    spec["ephemeralContainers"] = [{"name": name} for name in added]
    return msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Pod)


def exited(code: int, retry_at: float = 0.0) -> Seen:
    return Seen(State.EXITED, code, retry_at=retry_at)


def there(**containers: Seen) -> Observed:
    return Observed(prepared=True, held=True, containers=containers)


CASES: list[tuple[str, Pod, Observed, tuple[Action, ...]]] = [
    ("a new pod is prepared", pod(), Observed(), (Prepare(),)),
    ("a failed preparation waits", pod(), Observed(retry_at=150.0), (WaitUntil(150.0),)),
    ("regular containers start together", pod(), there(), (Start("a"), Start("b"))),
    ("init containers come first", pod(init=("i",)), there(), (Start("i"),)),
    (
        "ephemeral containers start at any time",
        pod(init=("i",), added=("d",)),
        there(i=RUNNING),
        (Start("d"),),
    ),
    ("and once", pod(added=("d",)), there(a=RUNNING, b=RUNNING, d=exited(1)), ()),
    ("and end with the pod", pod(added=("d",)), there(a=exited(0), b=exited(0), d=RUNNING), (Stop("d"),)),
    ("a running init container is waited for", pod(init=("i",)), there(i=RUNNING), ()),
    ("the next init follows a success", pod(init=("i", "j")), there(i=exited(0)), (Start("j"),)),
    ("a sidecar must have started", pod(init=("i",), sidecars=("s",)), there(s=STARTING), ()),
    ("after the sidecar the init runs", pod(init=("i",), sidecars=("s",)), there(s=RUNNING), (Start("i"),)),
    ("nothing to do while all run", pod(), there(a=RUNNING, b=RUNNING), ()),
    ("Always restarts a success", pod("Always"), there(a=RUNNING, b=exited(0)), (Start("b"),)),
    ("OnFailure leaves a success", pod("OnFailure"), there(a=RUNNING, b=exited(0)), ()),
    ("OnFailure restarts a failure", pod("OnFailure"), there(a=RUNNING, b=exited(1)), (Start("b"),)),
    ("back-off is respected", pod("Always"), there(a=RUNNING, b=exited(1, 130.0)), (WaitUntil(130.0),)),
    ("Never leaves a failure", pod(), there(a=RUNNING, b=exited(1)), ()),
    (
        "an unhealthy container is stopped",
        pod(),
        there(a=Seen(State.RUNNING, unhealthy=True), b=RUNNING),
        (Stop("a", unhealthy=True),),
    ),
    ("a finished pod is released", pod(), there(a=exited(0), b=exited(0)), (Release(),)),
    ("a released pod rests", pod(), Observed(containers={"a": exited(0), "b": exited(0)}), ()),
    (
        "sidecars end after the others",
        pod(sidecars=("s",)),
        there(s=RUNNING, a=exited(0), b=exited(0)),
        (Stop("s"),),
    ),
    (
        "deletion stops all regular containers",
        pod(sidecars=("s",)),
        Observed(True, True, True, containers={"s": RUNNING, "a": RUNNING, "b": RUNNING}),
        (Stop("a"), Stop("b"), Stop("s", after=("a", "b"))),
    ),
    (
        "the last sidecar stops first",
        pod(sidecars=("s", "t")),
        Observed(True, True, True, containers={"s": RUNNING, "t": RUNNING}),
        (Stop("t"), Stop("s", after=("t",))),
    ),
    (
        "a container waits for the postStart hook of the one before it",
        pod(hooked="a"),
        there(),
        (Start("a"),),
    ),
    ("after the hook the next one starts", pod(hooked="a"), there(a=RUNNING), (Start("b"),)),
    (
        "nobody waits for a hooked container that waits itself",
        pod("Always", hooked="a"),
        there(a=exited(1, 130.0)),
        (WaitUntil(130.0), Start("b")),
    ),
    (
        "a sidecar that crashes later does not hold up the others",
        pod("Always", sidecars=("s",)),
        there(s=exited(1, 130.0), a=exited(1), b=RUNNING),
        (WaitUntil(130.0), Start("a")),
    ),
    ("what has ended is released", pod(), Observed(True, True, True), (Release(),)),
    (
        "a failed release waits",
        pod(),
        Observed(held=True, deleting=True, release_at=150.0),
        (WaitUntil(150.0),),
    ),
    (
        "a failed release is repeated in time",
        pod(),
        Observed(held=True, deleting=True, release_at=NOW),
        (Release(),),
    ),
    ("what is released is forgotten", pod(), Observed(deleting=True), (Forget(),)),
    ("a failed pod keeps its object", pod(), Observed(failed=True), ()),
    ("a failed init ends the pod", pod(init=("i",)), there(i=exited(3)), (Release(),)),
    ("a failed init is retried", pod("Always", init=("i",)), there(i=exited(3)), (Start("i"),)),
]


@pytest.mark.parametrize(("case", "wanted", "seen", "steps"), CASES, ids=[case[0] for case in CASES])
def test_plan(case: str, wanted: Pod, seen: Observed, steps: tuple[Action, ...]) -> None:
    assert plan(wanted, seen, NOW) == steps, case


@pytest.mark.parametrize(
    ("policy", "codes", "result"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), None),
        ("Always", (0, 0), None),
    ],
)
def test_outcome_follows_the_restart_policy(policy: str, codes: tuple[int, int], result: str | None) -> None:
    assert outcome(pod(policy), there(a=exited(codes[0]), b=exited(codes[1]))) == result
