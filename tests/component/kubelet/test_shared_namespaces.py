"""Namespaces that a pod's containers share: processes, and the pod's name."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Node, manifest
from .container_output import output, said

pytestmark = pytest.mark.component


def pair(name: str, first: str, second: str, **spec: Any) -> dict[str, Any]:
    wanted = manifest(name, "sh", "-c", first, **spec)
    other = {"name": "other", "image": "localhost/busybox", "command": ["sh", "-c", second]}
    wanted["spec"]["containers"].append(other)
    return wanted


async def test_containers_see_each_others_processes_and_orphans_are_reaped(node: Node) -> None:
    look = "until grep -q teller /proc/[0-9]*/cmdline; do sleep 0.05; done 2>/dev/null; echo seen"
    orphan = (
        "(sh -c 'sleep 0.2; exit' &); sleep 1;"
        " grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null; tr '\\0' ' ' </proc/1/cmdline; echo looked"
    )
    first = f"{look}; {orphan}"
    spec = pair("open", first, "sleep 1000 # teller", shareProcessNamespace=True)
    spec["spec"]["terminationGracePeriodSeconds"] = 0
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "looked")
    assert await output(node, pod) == "seen\nsleep infinity looked\n"
    assert node.api.status(pod).container_statuses[1].state.running


async def test_container_that_can_trace_does_not_find_the_machine_behind_the_first_process(
    node: Node,
) -> None:
    security = {"capabilities": {"add": ["SYS_PTRACE"]}}
    look = "ls /proc/1/root/; cat /proc/1/root/etc/shadow; echo looked"
    container = {"securityContext": security}
    spec = manifest("nosy", "sh", "-c", look, container=container, shareProcessNamespace=True)
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) in ("Succeeded", "Failed"))
    text = await output(node, pod)
    assert "looked" in text
    assert "root:" not in text
    assert "home" not in text


async def test_what_a_container_leaves_in_the_shared_namespace_ends_with_it(node: Node) -> None:
    command = "sleep 998 & sleep 0.3; exit 1"
    look = "sleep 1; until ! grep -q 998 /proc/[0-9]*/cmdline; do sleep 0.1; done 2>/dev/null; sleep 1000"
    spec = pair("litter", command, look, shareProcessNamespace=True)
    spec["spec"]["terminationGracePeriodSeconds"] = 0
    pod = node.api.add(spec)
    await node.api.until(
        lambda: node.api.status(pod) and node.api.status(pod).container_statuses[0].state.terminated
    )
    group = node.services.cgroup(pod.metadata.uid)
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in group.processes()]
    assert not any(b"998\0" in line for line in lines)


async def test_shared_processes_survive_a_restart_of_the_kubelet_and_not_their_first(node: Node) -> None:
    spec = manifest("kept", "sleep", "1000", shareProcessNamespace=True, restartPolicy="Always")
    spec["spec"]["terminationGracePeriodSeconds"] = 0
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await node.restart()
    worker = node.pods.get("default", "kept")
    assert worker
    assert worker.record.containers["main"].attempt == 1
    keeper = int((node.settings.pods_dir / pod.metadata.uid / "sandbox" / "pid").read_text())
    os.kill(keeper, signal.SIGKILL)
    await node.events.until("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
    await node.api.until(
        lambda: (
            node.api.status(pod).container_statuses[0].ready
            and node.api.status(pod).container_statuses[0].restart_count >= 1
        ),
        timeout=40,
    )


async def test_host_name_is_the_whole_domain_name_when_wanted(node: Node) -> None:
    spec = manifest("full", "sh", "-c", "hostname; echo $HOSTNAME", subdomain="sub", setHostnameAsFQDN=True)
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "full.sub.default.svc.cluster.local\n" * 2


async def test_domain_name_longer_than_a_kernel_allows_is_refused(node: Node) -> None:
    pod = node.api.add(manifest("n" * 40, "true", subdomain="sub", setHostnameAsFQDN=True))
    full = f"{'n' * 40}.sub.default.svc.cluster.local"
    await node.events.until(
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: Failed to construct FQDN from Pod hostname and cluster domain, FQDN"
        f" {full} is too long (64 characters is the max, {len(full)} characters requested)",
    )
    assert node.api.phase(pod) in ("", "Pending")
