"""The reported status."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.plan import State
from edgevirt.engine.kubelet.state import ContainerRecord, ExitRecord, PodRecord
from edgevirt.engine.kubelet.status import Facts, View, compute

pytestmark = pytest.mark.unit
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def pod(**extra: Any) -> Pod:
    spec = {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never", **extra.pop("spec", {})}
    return msgspec.convert({"metadata": {"name": "p", "uid": "u"}, "spec": spec, **extra}, Pod)


def facts(wanted: Pod, view: View | None, outcome: str | None = None) -> Facts:
    record = PodRecord(pod=wanted, boot_id="b", addresses=("10.0.0.2",), started_at=NOW.timestamp())
    return Facts(record, {"a": view} if view else {}, outcome, True, "192.0.2.1", "crun")


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


def running(ready: bool = True) -> View:
    record = ContainerRecord(attempt=1, container_id="id", started_at=NOW.timestamp())
    return View(record, State.RUNNING, ready=ready, started=True)


def test_running_pod_is_ready_and_has_its_addresses() -> None:
    wanted = pod()
    status = compute(wanted, facts(wanted, running()), NOW)
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": "10.0.0.2"}]
    assert set(conditions(status).values()) == {"True"}
    container = status["containerStatuses"][0]
    assert container["state"] == {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
    assert container["containerID"] == "crun://id"
    assert container["restartCount"] == 0


def test_pod_without_started_container_is_pending() -> None:
    wanted = pod()
    status = compute(wanted, facts(wanted, None), NOW)
    assert status["phase"] == "Pending"
    assert conditions(status)["Ready"] == "False"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_readiness_gate_holds_ready_back_but_not_the_containers() -> None:
    spec = {"readinessGates": [{"conditionType": "example.com/go"}]}
    shut = pod(spec=spec)
    status = compute(shut, facts(shut, running()), NOW)
    assert conditions(status)["ContainersReady"] == "True"
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    opened = pod(spec=spec, status={"conditions": [{"type": "example.com/go", "status": "True"}]})
    assert conditions(compute(opened, facts(opened, running()), NOW))["Ready"] == "True"


def test_transition_time_is_kept_while_nothing_changes() -> None:
    told = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}
    wanted = pod(status=told)
    status = compute(wanted, facts(wanted, running()), NOW)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_ended_container_tells_how() -> None:
    wanted = pod()
    end = ExitRecord(137, "OOMKilled", "", NOW.timestamp(), NOW.timestamp(), "id")
    view = View(ContainerRecord(attempt=1, exit=end), State.EXITED, waiting=("", ""))
    status = compute(wanted, facts(wanted, view, "Failed"), NOW)
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_backed_off_container_waits_and_shows_its_last_end() -> None:
    wanted = pod(spec={"restartPolicy": "Always"})
    end = ExitRecord(1, "Error", "", NOW.timestamp(), NOW.timestamp(), "id")
    earlier = ExitRecord(2, "Error", "", NOW.timestamp(), NOW.timestamp(), "earlier")
    record = ContainerRecord(attempt=2, exit=end, last_exit=earlier)
    view = View(record, State.EXITED, waiting=("CrashLoopBackOff", "back-off 10s"))
    status = compute(wanted, facts(wanted, view), NOW)
    assert status["phase"] == "Running"
    container = status["containerStatuses"][0]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 1
    assert container["restartCount"] == 1


def test_conditions_of_others_are_not_in_the_patch() -> None:
    wanted = pod(status={"conditions": [{"type": "PodScheduled", "status": "True"}]})
    assert "PodScheduled" not in conditions(compute(wanted, facts(wanted, running()), NOW))
