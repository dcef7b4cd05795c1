"""A machine from `kubectl apply` to `kubectl delete`: phases, address, console, power, identity."""

from __future__ import annotations

import ipaddress
import urllib.request

import pytest
from live_cluster import Namespace
from live_console import Console
from live_machines import address, instance_spec, machine, script

from live_instance import Instance
from live_traces import pod_traces

pytestmark = pytest.mark.system


def test_an_applied_machine_goes_through_all_phases_and_its_guest_answers(namespace: Namespace) -> None:
    spec = instance_spec(namespace.cluster.image, cloud_init=script('echo "hello from $(hostname)"'))
    with namespace.watching("vm") as machines, namespace.watching("vmi") as instances:
        namespace.apply(machine("first", spec))
        instances.until_phase("first", "Running")
        done = namespace.edgevirt("console", "first", "--until", "hello from first")
        assert "hello from first" in done.stdout
        machines.until_word("first", "Running")
        phases = instances.values("first", lambda vmi: vmi.get("status", {}).get("phase", ""))
        words = machines.values("first", lambda vm: vm.get("status", {}).get("printableStatus", ""))
    assert [phase for phase in phases if phase] == ["Pending", "Scheduling", "Scheduled", "Running"]
    assert [word for word in words if word] in (["Starting", "Running"], ["Stopped", "Starting", "Running"])
    vmi = namespace.until_ready("vmi", "first")
    entered = [entry["phase"] for entry in vmi["status"]["phaseTransitionTimestamps"]]
    assert entered == ["Pending", "Scheduling", "Scheduled", "Running"]
    ipaddress.ip_address(address(vmi))
    assert namespace.until_ready("vm", "first")["status"]["created"] is True
    wide = namespace.kubectl("get", "vm,vmi,pods,nodes", "-o", "wide").stdout
    assert address(vmi) in wide
    assert vmi["status"]["nodeName"] in wide
    described = namespace.kubectl("describe", "vmi", "first").stdout
    for reason in ("SuccessfulCreate", "Created", "Started"):
        assert reason in described


def test_the_host_gets_an_answer_from_the_guests_web_server(namespace: Namespace, instance: Instance) -> None:
    spec = instance_spec(namespace.cluster.image, grace=0)
    namespace.apply(machine("web", spec))
    vmi = namespace.until_ready("vmi", "web")
    assert ipaddress.ip_address(address(vmi)) in instance.subnet
    with Console(namespace, "web") as console:
        console.log_in()
    with urllib.request.urlopen(f"http://{address(vmi)}/", timeout=10) as answer:
        assert answer.read() == b"tiny\n"


def test_identity_survives_stop_start_and_restart(namespace: Namespace) -> None:
    read = "cat /sys/class/dmi/id/product_serial /sys/class/dmi/id/product_uuid /sys/class/net/eth0/address"
    namespace.apply(machine("kept", instance_spec(namespace.cluster.image, grace=15)))
    with namespace.watching("vmi") as instances:
        first = instances.until_phase("kept", "Running")
        with Console(namespace, "kept") as console:
            console.log_in()
            identity = console.run(read)

        namespace.edgevirt("stop", "kept")
        instances.until_gone("kept")
        namespace.until_status("kept", "Stopped")
        assert namespace.names("vmi", "pods") == []
        assert namespace.get("vm", "kept")["spec"]["runStrategy"] == "Halted"
        assert "the guest powered off" in str(namespace.events("kept"))

        namespace.edgevirt("start", "kept")
        second = instances.until_phase("kept", "Running", not_uid=first["metadata"]["uid"])
        with Console(namespace, "kept") as console:
            console.log_in()
            assert console.run(read) == identity

        namespace.edgevirt("restart", "kept")
        third = instances.until_phase("kept", "Running", not_uid=second["metadata"]["uid"])
        assert third["metadata"]["uid"] not in (first["metadata"]["uid"], second["metadata"]["uid"])
        for later in (second, third):
            assert later["spec"]["domain"]["firmware"] == first["spec"]["domain"]["firmware"]
            assert (
                later["spec"]["domain"]["devices"]["interfaces"]
                == first["spec"]["domain"]["devices"]["interfaces"]
            )
        namespace.edgevirt("stop", "kept", "--grace-period", "0")
        instances.until_gone("kept", seconds=10)


def test_deleting_a_machine_leaves_nothing_of_it(namespace: Namespace, instance: Instance) -> None:
    before = pod_traces(instance)
    spec = instance_spec(namespace.cluster.image, grace=0, empty_disk="16Mi", cloud_init=script("true"))
    namespace.apply(machine("gone", spec))
    namespace.until_ready("vmi", "gone")
    assert len(pod_traces(instance)) > len(before)
    with namespace.watching("pods") as pods:
        pods.until(lambda kind, pod: kind == "ADDED", what="the launcher pod")
        name = pods.seen[-1][1]["metadata"]["name"]
        namespace.delete("vm", "gone")
        pods.until_gone(name)
    assert namespace.names("vm", "vmi", "pods", "secrets", "controllerrevisions") == []
    assert pod_traces(instance) == before
