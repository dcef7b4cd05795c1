"""Ephemeral containers over restarts of the kubelet, and what they mean for their pod."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod

from .conftest import Node, manifest
from .container_output import output

pytestmark = pytest.mark.component


def added(node: Node, pod: Pod, **container: object) -> None:
    """The pod gets an ephemeral container `late`."""
    document = msgspec.to_builtins(node.api.pods[("default", pod.metadata.name)])
    late = {"name": "late", "image": "localhost/busybox", **container}
    document["spec"]["ephemeralContainers"] = [late]
    node.api.put(msgspec.convert(document, Pod))


async def test_it_runs_once_and_counts_for_nothing(node: Node) -> None:
    pod = node.api.add(manifest("host", "sleep", "1000", terminationGracePeriodSeconds=0))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    added(node, pod, command=["sh", "-c", "echo hello; exit 3"])
    await node.api.until(lambda: _state(node, pod) and _state(node, pod).terminated)
    status = node.api.status(pod)
    assert _state(node, pod).terminated.exit_code == 3
    assert status.phase == "Running"
    assert {c.type: c.status for c in status.conditions}["Ready"] == "True"
    assert await output(node, pod, "late") == "hello\n"
    assert ("Started", "spec.ephemeralContainers{late}") in node.events.places
    await node.restart()
    assert _state(node, pod).terminated.exit_code == 3
    worker = node.pods.get("default", "host")
    assert worker
    assert worker.record.containers["late"].attempt == 1


async def test_it_goes_on_over_a_restart_of_the_kubelet_and_ends_with_the_pod(node: Node) -> None:
    command = "while [ ! -e /share/go ]; do sleep 0.02; done"
    mounts = [{"name": "share", "mountPath": "/share"}]
    volumes = [{"name": "share", "emptyDir": {}}]
    pod = node.api.add(
        manifest("long", "sh", "-c", command, container={"volumeMounts": mounts}, volumes=volumes)
    )
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    added(node, pod, command=["sleep", "1000"])
    await node.api.until(lambda: _state(node, pod) and _state(node, pod).running)
    await node.restart()
    assert _state(node, pod).running
    directory = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/share"
    (directory / "go").touch()
    worker = node.pods.get("default", "long")
    assert worker
    node.api.ask_deletion(pod, 1)
    await node.api.gone(pod)


async def test_what_it_may_not_have_is_said_and_the_pod_goes_on(node: Node) -> None:
    pod = node.api.add(manifest("odd", "sleep", "1000", terminationGracePeriodSeconds=0))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    added(node, pod, securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}})
    await node.api.until(
        lambda: _state(node, pod) and _state(node, pod).waiting.reason != "ContainerCreating"
    )
    waiting = _state(node, pod).waiting
    assert waiting.reason == "CreateContainerConfigError"
    assert waiting.message.startswith("spec.ephemeralContainers[late].securityContext.seccompProfile")
    assert node.api.phase(pod) == "Running"


def _state(node: Node, pod: Pod) -> Any:
    status = node.api.status(pod)
    late = status.ephemeral_container_statuses if status else ()
    return late[0].state if late else None
