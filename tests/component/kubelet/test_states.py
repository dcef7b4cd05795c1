"""States and events of containers that cannot start, or do not stay: as every kubelet tells them."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Node, manifest

pytestmark = pytest.mark.component


def waiting(node: Node, pod: Any, index: int = 0) -> Any:
    status = node.api.status(pod)
    return status.container_statuses[index].state.waiting if status else None


async def until_waiting(node: Node, pod: Any, reason: str) -> str:
    await node.api.until(lambda: waiting(node, pod) and waiting(node, pod).reason == reason)
    return str(waiting(node, pod).message)


async def test_crash_loop_names_the_pod_and_the_container(node: Node) -> None:
    pod = node.api.add(manifest("crash", "false", restartPolicy="Always"))
    message = await until_waiting(node, pod, "CrashLoopBackOff")
    name = f"crash_default({pod.metadata.uid})"
    assert message == f"back-off 10s restarting failed container=main pod={name}"
    assert ("BackOff", f"Back-off restarting failed container main in pod {name}") in node.events.seen
    assert ("BackOff", "spec.containers{main}") in node.events.places
    status = node.api.status(pod).container_statuses[0]
    assert (status.restart_count, status.started, status.ready) == (1, False, False)
    assert status.last_state.terminated.exit_code == 1
    assert node.api.phase(pod) == "Running"


async def test_started_container_is_told_of(node: Node) -> None:
    pod = node.api.add(manifest("fine", "sleep", "1000"))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    present = 'Container image "localhost/busybox" already present on machine and can be accessed by the pod'
    assert node.events.seen == [
        ("Pulled", present),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ]
    assert {place for _, place in node.events.places} == {"spec.containers{main}"}


async def test_image_that_cannot_be_fetched_fails_then_backs_off(node: Node) -> None:
    pod = node.api.add(manifest("nowhere", "true", container={"image": "127.0.0.1:1/absent:1"}))
    error = await until_waiting(node, pod, "ErrImagePull")
    assert ("Failed", f'Failed to pull image "127.0.0.1:1/absent:1": {error}') in node.events.seen
    assert ("Failed", "Error: ErrImagePull") in node.events.seen
    message = await until_waiting(node, pod, "ImagePullBackOff")
    assert message == f'Back-off pulling image "127.0.0.1:1/absent:1": ErrImagePull: {error}'
    assert ("BackOff", 'Back-off pulling image "127.0.0.1:1/absent:1"') in node.events.seen
    assert ("Failed", "Error: ImagePullBackOff") in node.events.seen


async def test_name_that_is_no_image_is_said_to_be_none(node: Node) -> None:
    pod = node.api.add(manifest("odd", "true", container={"image": "Not An Image"}))
    message = await until_waiting(node, pod, "InvalidImageName")
    assert message.startswith('Failed to apply default image tag "Not An Image": couldn\'t parse image name')
    assert ("InspectFailed", message) in node.events.seen
    assert ("Failed", "Error: InvalidImageName") in node.events.seen


async def test_image_that_may_not_be_fetched_is_said_to_be_missing(node: Node) -> None:
    container = {"image": "localhost/absent:1", "imagePullPolicy": "Never"}
    pod = node.api.add(manifest("never", "true", container=container))
    message = await until_waiting(node, pod, "ErrImageNeverPull")
    assert message == 'Container image "localhost/absent:1" is not present with pull policy of Never'
    assert ("ErrImageNeverPull", message) in node.events.seen


async def test_missing_key_is_named(node: Node) -> None:
    node.put("there", other="x")
    reference = {"configMapKeyRef": {"name": "there", "key": "key"}}
    container = {"env": [{"name": "A", "valueFrom": reference}]}
    pod = node.api.add(manifest("keyless", "true", container=container))
    message = await until_waiting(node, pod, "CreateContainerConfigError")
    assert message == "couldn't find key key in ConfigMap default/there"
    assert ("Failed", f"Error: {message}") in node.events.seen


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"configMap": {"name": "absent"}}, 'configmap "absent" not found'),
        (
            {"secret": {"secretName": "there", "items": [{"key": "no", "path": "no"}]}},
            "references non-existent secret key: no",
        ),
        (
            {"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}},
            "hostPath type check failed: /nowhere/at/all is not a directory",
        ),
    ],
)
async def test_volume_that_cannot_be_mounted_is_named(node: Node, volume: dict[str, Any], why: str) -> None:
    node.put("there", other="x")
    pod = node.api.add(manifest("mount", "true", volumes=[{"name": "v", **volume}]))
    await node.events.until("FailedMount", f'MountVolume.SetUp failed for volume "v" : {why}')
    await until_waiting(node, pod, "ContainerCreating")
    assert node.api.phase(pod) == "Pending"


async def test_failed_init_container_ends_the_pod_and_is_named(node: Node) -> None:
    spec = manifest("init", "true")
    spec["spec"]["initContainers"] = [
        {"name": "first", "image": "localhost/busybox", "command": ["sh", "-c", "exit 3"]},
        {"name": "second", "image": "localhost/busybox", "command": ["true"]},
    ]
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    status = node.api.status(pod)
    assert status.init_container_statuses[0].state.terminated.exit_code == 3
    assert status.init_container_statuses[1].state.waiting.reason == "PodInitializing"
    assert status.container_statuses[0].state.waiting.reason == "PodInitializing"
    initialized = next(c for c in status.conditions if c.type == "Initialized")
    assert (initialized.status, initialized.reason, initialized.message) == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [first second]",
    )


async def test_finished_pod_tells_so_in_every_condition(node: Node) -> None:
    pod = node.api.add(manifest("done", "true"))
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    conditions = {c.type: (c.status, c.reason) for c in node.api.status(pod).conditions}
    assert conditions == {
        "PodReadyToStartContainers": ("False", ""),
        "Initialized": ("True", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
    }


async def test_failing_probe_is_told_each_time_and_restarts_with_its_own_grace(node: Node) -> None:
    probe = {
        "exec": {"command": ["sh", "-c", "echo sick; exit 1"]},
        "periodSeconds": 1,
        "failureThreshold": 2,
        "terminationGracePeriodSeconds": 1,
    }
    command = "trap '' TERM; while true; do sleep 0.05; done"
    pod = node.api.add(
        manifest("sick", "sh", "-c", command, container={"livenessProbe": probe}, restartPolicy="Always")
    )
    await node.api.until(
        lambda: node.api.status(pod) and node.api.status(pod).container_statuses[0].restart_count == 1
    )
    assert node.events.seen.count(("Unhealthy", "Liveness probe failed: sick\n")) >= 2
    assert ("Killing", "Container main failed liveness probe, will be restarted") in node.events.seen
    assert ("Killing", "Stopping container main") not in node.events.seen
    assert node.api.status(pod).container_statuses[0].last_state.terminated.exit_code == 137


async def test_deadline_ends_the_pod(node: Node) -> None:
    pod = node.api.add(
        manifest("late", "sleep", "1000", activeDeadlineSeconds=1, terminationGracePeriodSeconds=0)
    )
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    status = node.api.status(pod)
    assert status.reason == "DeadlineExceeded"
    assert status.message == "Pod was active on the node longer than the specified deadline"
