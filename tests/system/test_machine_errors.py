"""Machines that cannot be: each is told what is wrong, where, and what to do; nothing is half-made."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from live_cluster import Namespace
from live_machines import instance, instance_spec, machine

from live_instance import Instance

pytestmark = pytest.mark.system


def _with(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`spec` with the value at a dotted path replaced; list positions are numbers."""
    changed = copy.deepcopy(spec)
    *parents, last = path.split(".")
    place: Any = changed
    for step in parents:
        place = place[int(step)] if step.isdecimal() else place.setdefault(step, {})
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "where", "words"),
    [
        (
            "domain.devices.disks.0.name",
            "lost",
            "spec.domain.devices.disks[0].name",
            "volume",
        ),
        # Whether kubectl or the server notices depends on kubectl's version; so do the words between.
        ("domain.cpu.coers", 2, "spec.domain.cpu", 'unknown field "'),
        (
            "domain.devices.watchdog",
            {"name": "w", "i6300esb": {"action": "reset"}},
            "spec.domain.devices.watchdog",
            "not supported yet",
        ),
        ("domain.memory", {}, "spec.domain", "memory"),
        ("domain.memory.guest", "a lot", "spec.domain.memory.guest", "quantit"),
        (
            "volumes.0.containerDisk.imagePullPolicy",
            "Sometimes",
            "spec.volumes[0].containerDisk.imagePullPolicy",
            "IfNotPresent",
        ),
        ("networks.0.name", "other", "spec.domain.devices.interfaces[0].name", "network"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
@pytest.mark.parametrize("kind", ["vm", "vmi"])
def test_bad_input_is_refused_with_its_field(
    namespace: Namespace, kind: str, path: str, value: Any, where: str, words: str
) -> None:
    bad = _with(instance_spec(namespace.cluster.image), path, value)
    document = machine("bad", bad) if kind == "vm" else instance("bad", bad)
    refused = namespace.apply(document, check=False)
    assert refused.returncode != 0
    prefix = "spec.template." if kind == "vm" else ""
    assert prefix + where in refused.stderr
    assert words in refused.stderr
    assert namespace.names("vm", "vmi", "pods") == []


def test_an_image_that_does_not_exist_is_told_and_used_once_it_is_there(
    namespace: Namespace, instance: Instance
) -> None:
    image = f"{namespace.name}-image"
    namespace.apply(machine("early", instance_spec(image, grace=0)))
    with namespace.watching("vmi") as instances:
        told = instances.until(
            lambda kind, vmi: any(
                condition["type"] == "Synchronized" and condition.get("reason") == "ErrImagePull"
                for condition in vmi.get("status", {}).get("conditions", ())
            ),
            what="condition with reason ErrImagePull",
        )
        namespace.until_status("early", "ErrImagePull")
        words = next(c for c in told["status"]["conditions"] if c["type"] == "Synchronized")["message"]
        assert image in words
        instance.edgevirt("image", "import", str(instance.disk_of_image()), image)
        instances.until_phase("early", "Running")
    namespace.until_status("early", "Running")
    running = namespace.get("vmi", "early")
    assert "Synchronized" not in [c["type"] for c in running["status"]["conditions"]]
    namespace.delete("vm", "early")
    instance.edgevirt("image", "remove", image)


def test_a_machine_too_large_for_any_node_says_so_and_can_be_made_smaller(namespace: Namespace) -> None:
    namespace.apply(machine("huge", instance_spec(namespace.cluster.image, memory="4Ti", grace=0)))
    namespace.until_status("huge", "ErrorUnschedulable")
    vmi = namespace.get("vmi", "huge")
    assert vmi["status"]["phase"] == "Scheduling"
    scheduled = next(c for c in vmi["status"]["conditions"] if c["type"] == "PodScheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert "memory" in scheduled["message"]
    namespace.apply(machine("huge", instance_spec(namespace.cluster.image, grace=0)))
    with namespace.watching("vmi") as instances:
        namespace.edgevirt("restart", "huge", "--force")
        instances.until_phase("huge", "Running", not_uid=vmi["metadata"]["uid"])
    namespace.until_status("huge", "Running")


def test_a_cpu_model_qemu_does_not_know_fails_the_start_with_the_reason(namespace: Namespace) -> None:
    spec = _with(instance_spec(namespace.cluster.image, grace=0), "domain.cpu.model", "Abacus-3000")
    with namespace.watching("vmi") as instances:
        namespace.apply(machine("wrong", spec))
        failed = instances.until_phase("wrong", "Failed")
    assert failed["status"]["reason"] == "StartFailed"
    namespace.until_status("wrong", "CrashLoopBackOff")
    stopped = [message for kind, reason, message in namespace.events("wrong") if reason == "Stopped"]
    assert any("Abacus-3000" in message for message in stopped)
    assert namespace.get("vm", "wrong")["status"]["startFailure"]["consecutiveFailCount"] == 1


def test_a_name_in_use_or_a_machine_that_is_not_there_is_told_by_the_command(namespace: Namespace) -> None:
    for command in ("start", "stop", "restart", "console"):
        refused = namespace.edgevirt(command, "nobody", check=False)
        assert refused.returncode == 1
        assert "nobody" in refused.stderr
        assert "not found" in refused.stderr or "there is no" in refused.stderr
        assert "next: " in refused.stderr
