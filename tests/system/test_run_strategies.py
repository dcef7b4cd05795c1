"""What each run strategy does when the machine is made, when its guest powers off, and when asked to."""

from __future__ import annotations

import pytest
from live_cluster import Namespace, Watch
from live_console import Console
from live_machines import instance_spec, machine

pytestmark = pytest.mark.system


def power_off_from_inside(namespace: Namespace, name: str) -> None:
    with Console(namespace, name) as console:
        console.log_in()
        console.type("poweroff\n")
        console.until_closed(60)


def apply(namespace: Namespace, name: str, strategy: str) -> None:
    namespace.apply(machine(name, instance_spec(namespace.cluster.image, grace=0), strategy))


def is_running(name: str, instances: Watch, not_uid: str = "") -> str:
    uid: str = instances.until_phase(name, "Running", not_uid=not_uid)["metadata"]["uid"]
    return uid


def test_always_starts_the_guest_again_after_it_powered_off(namespace: Namespace) -> None:
    with namespace.watching("vmi") as instances:
        apply(namespace, "always", "Always")
        first = is_running("always", instances)
        power_off_from_inside(namespace, "always")
        is_running("always", instances, not_uid=first)
    refused = namespace.edgevirt("start", "always", check=False)
    assert refused.returncode == 1
    assert "already running" in refused.stderr


def test_rerun_on_failure_leaves_a_guest_off_that_powered_off(namespace: Namespace) -> None:
    with namespace.watching("vmi") as instances:
        apply(namespace, "rerun", "RerunOnFailure")
        first = is_running("rerun", instances)
        power_off_from_inside(namespace, "rerun")
        instances.until_phase("rerun", "Succeeded")
        instances.until_gone("rerun")
        namespace.until_status("rerun", "Stopped")
        namespace.edgevirt("start", "rerun")
        is_running("rerun", instances, not_uid=first)
    assert namespace.get("vm", "rerun")["spec"]["runStrategy"] == "RerunOnFailure"


def test_once_runs_a_guest_to_its_end_and_never_again(namespace: Namespace) -> None:
    with namespace.watching("vmi") as instances:
        apply(namespace, "once", "Once")
        is_running("once", instances)
        power_off_from_inside(namespace, "once")
        instances.until_phase("once", "Succeeded")
    namespace.until_status("once", "Stopped")
    for command in ("start", "restart"):
        refused = namespace.edgevirt(command, "once", check=False)
        assert refused.returncode == 1
        assert "Once" in refused.stderr
        assert "next: " in refused.stderr


def test_manual_does_what_it_is_told_and_nothing_else(namespace: Namespace) -> None:
    with namespace.watching("vmi") as instances:
        apply(namespace, "manual", "Manual")
        namespace.until_status("manual", "Stopped")
        assert namespace.names("vmi") == []
        namespace.edgevirt("start", "manual")
        first = is_running("manual", instances)
        namespace.edgevirt("restart", "manual")
        is_running("manual", instances, not_uid=first)
        namespace.edgevirt("stop", "manual")
        instances.until_gone("manual")
    namespace.until_status("manual", "Stopped")
    refused = namespace.edgevirt("stop", "manual", check=False)
    assert refused.returncode == 1
    assert "not running" in refused.stderr
    assert namespace.get("vm", "manual")["spec"]["runStrategy"] == "Manual"


def test_halted_waits_for_start_and_start_and_stop_change_the_strategy(namespace: Namespace) -> None:
    with namespace.watching("vmi") as instances:
        apply(namespace, "halted", "Halted")
        namespace.until_status("halted", "Stopped")
        assert namespace.names("vmi", "pods") == []
        namespace.edgevirt("start", "halted")
        is_running("halted", instances)
        assert namespace.get("vm", "halted")["spec"]["runStrategy"] == "Always"
        namespace.edgevirt("stop", "halted")
        instances.until_gone("halted")
    namespace.until_status("halted", "Stopped")
    assert namespace.get("vm", "halted")["spec"]["runStrategy"] == "Halted"
