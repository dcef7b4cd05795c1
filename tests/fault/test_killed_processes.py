"""Every process of edgevirt is killed under a running guest, which must not notice."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest
from counting_guest import Listener, count_script
from live_cluster import Namespace
from live_console import Console
from live_machines import instance_spec, machine

from live_instance import Instance
from live_traces import pod_traces

pytestmark = [pytest.mark.system, pytest.mark.fault]


def kill(pid: int) -> None:
    """SIGKILL, and wait for the end."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 20)[0], f"process {pid} outlives SIGKILL"
    finally:
        os.close(descriptor)


def pid_in_pod(instance: Instance, pod_uid: str, program: str) -> int:
    """The process with that name in the pod's control groups; a test fails unless there is exactly one."""
    found = set()
    for group in Path("/sys/fs/cgroup").glob(f"*/{instance.cgroup}/pod{pod_uid}/**/cgroup.procs"):
        for pid in group.read_text().split():
            if Path("/proc", pid, "comm").read_text().strip() == program[:15]:
                found.add(int(pid))
    assert len(found) == 1, f"{program} runs {len(found)} times in pod {pod_uid}"
    return found.pop()


def pod_uid(namespace: Namespace, name: str) -> str:
    (uid,) = namespace.get("vmi", name)["status"]["activePods"]
    found: str = uid
    return found


def count_on_console(namespace: Namespace, name: str) -> int:
    with Console(namespace, name) as console:
        return int(console.expect(r"COUNT (\d+) \d").group(1))


def test_a_guest_outlives_control_plane_node_and_libvirtd(namespace: Namespace, instance: Instance) -> None:
    with Listener(instance.gateway) as listener:
        spec = instance_spec(namespace.cluster.image, grace=30, cloud_init=count_script(listener.url))
        namespace.apply(machine("counter", spec))
        vmi = namespace.until_ready("vmi", "counter")
        listener.until(2, seconds=90)
        pod = pod_uid(namespace, "counter")
        qemu = pid_in_pod(instance, pod, "qemu-system-x86_64")

        for process in ("control-plane", "node"):
            kill(instance.processes()[process])
            listener.until(3)
            instance.edgevirt("up")
            assert len(instance.processes()) == 2
            assert namespace.get("vmi", "counter")["status"]["phase"] == "Running"
            assert count_on_console(namespace, "counter") >= listener.counts[-1][0]

        libvirtd = pid_in_pod(instance, pod, "libvirtd")
        kill(libvirtd)
        listener.until(3)
        assert count_on_console(namespace, "counter") >= listener.counts[-1][0]

        listener.until(1)
        assert pid_in_pod(instance, pod, "qemu-system-x86_64") == qemu
        assert pod_uid(namespace, "counter") == pod
        assert namespace.get("vmi", "counter")["metadata"]["uid"] == vmi["metadata"]["uid"]

        with namespace.watching("vmi") as instances:
            namespace.edgevirt("stop", "counter")
            instances.until_gone("counter", seconds=40)
        assert "the guest powered off" in str(namespace.events("counter"))
        namespace.until_status("counter", "Stopped")


def test_everything_killed_at_once_is_taken_up_again(namespace: Namespace, instance: Instance) -> None:
    with Listener(instance.gateway) as listener:
        spec = instance_spec(namespace.cluster.image, grace=0, cloud_init=count_script(listener.url))
        namespace.apply(machine("counter", spec))
        namespace.until_ready("vmi", "counter")
        listener.until(1, seconds=90)
        pod = pod_uid(namespace, "counter")
        for pid in (*instance.processes().values(), pid_in_pod(instance, pod, "libvirtd")):
            kill(pid)
        listener.until(2)
        instance.edgevirt("up")
        listener.until(1)
        assert pod_uid(namespace, "counter") == pod
        assert count_on_console(namespace, "counter") > 0
        with namespace.watching("pods") as pods:
            namespace.delete("vm", "counter")
            pods.until(lambda kind, _: kind == "DELETED", what="end of the pod")
    assert pod_traces(instance) == []


def test_a_guest_whose_qemu_is_killed_has_failed_and_comes_back_with_back_off(
    namespace: Namespace, instance: Instance
) -> None:
    with namespace.watching("vmi") as instances, namespace.watching("vm") as machines:
        namespace.apply(machine("victim", instance_spec(namespace.cluster.image, grace=0)))
        first = instances.until_phase("victim", "Running")
        kill(pid_in_pod(instance, pod_uid(namespace, "victim"), "qemu-system-x86_64"))
        failed = instances.until_phase("victim", "Failed")
        assert failed["status"]["reason"] == "GuestCrashed"
        second = instances.until_phase("victim", "Running", not_uid=first["metadata"]["uid"])
        stopped = [(kind, text) for kind, reason, text in namespace.events("victim") if reason == "Stopped"]
        assert [kind for kind, _ in stopped] == ["Warning"]
        assert "GuestCrashed" in stopped[0][1]
        assert "-blockdev" not in stopped[0][1]

        kill(pid_in_pod(instance, pod_uid(namespace, "victim"), "qemu-system-x86_64"))
        waiting = machines.until_word("victim", "CrashLoopBackOff")
        assert waiting["status"]["startFailure"]["retryAfterTimestamp"]
        instances.until_phase("victim", "Running", seconds=60, not_uid=second["metadata"]["uid"])


def test_rerun_on_failure_starts_a_crashed_guest_and_manual_does_not(
    namespace: Namespace, instance: Instance
) -> None:
    with namespace.watching("vmi") as instances:
        for name, strategy in (("again", "RerunOnFailure"), ("never", "Once")):
            namespace.apply(machine(name, instance_spec(namespace.cluster.image, grace=0), strategy))
            first = instances.until_phase(name, "Running")
            kill(pid_in_pod(instance, pod_uid(namespace, name), "qemu-system-x86_64"))
            instances.until_phase(name, "Failed")
            if name == "again":
                instances.until_phase(name, "Running", not_uid=first["metadata"]["uid"])
    namespace.until_status("never", "Stopped")
    assert namespace.get("vmi", "never")["status"]["phase"] == "Failed"
