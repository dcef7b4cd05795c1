"""Whatever moment a machine is deleted at, or edgevirt is taken down at, nothing of the guest is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from live_cluster import Namespace
from live_machines import instance as instance_manifest
from live_machines import instance_spec, machine, script

from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from edgevirt.api.resources import PODS
from edgevirt.kube.client import Client
from edgevirt.kube.watch import EventType
from edgevirt.linux import inotify
from live_instance import Instance
from live_traces import pod_traces, traces

pytestmark = [pytest.mark.system, pytest.mark.fault]

DEADLINE = 60.0


@pytest.fixture
async def client(instance: Instance) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(instance.kubeconfig, user_agent="edgevirt-tests") as connected:
        yield connected


async def until(client: Client, resource: Any, namespace: str, fits: Callable[[Any], bool]) -> None:
    """Return once an object of the kind fits. The test fails if none does in time."""
    async with asyncio.timeout(DEADLINE), aclosing(client.watch(resource, namespace=namespace)) as events:
        async for event in events:
            if event.type is not EventType.DELETED and event.object is not None and fits(event.object):
                return


async def until_none(client: Client, resource: Any, namespace: str) -> None:
    """Return once there is no object of the kind in the namespace."""
    listed = await client.list(resource, namespace=namespace)
    left = {item.metadata.uid for item in listed.items}
    if not left:
        return
    watch = client.watch(resource, namespace=namespace, resource_version=listed.resource_version)
    async with asyncio.timeout(DEADLINE), aclosing(watch) as events:
        async for event in events:
            if event.object is not None:
                if event.type is EventType.DELETED:
                    left.discard(event.object.metadata.uid)
                else:
                    left.add(event.object.metadata.uid)
            if not left:
                return


async def until_released(instance: Instance) -> None:
    """Return once the node is done with all its pods. The API forgets a pod that has ended, or is deleted by
    force, before that; the pod's directory goes last."""
    with inotify.Watcher() as watcher:
        waiting = []
        for directory in (instance.data / "pods").iterdir():
            gone = asyncio.Event()
            try:
                watcher.add(directory, inotify.IN_DELETE_SELF, lambda _, gone=gone: gone.set())
            except FileNotFoundError:
                continue
            waiting.append(gone.wait())
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*waiting)


Moment = Callable[[Client, str], Awaitable[None]]


def instance_in(phase: str) -> Moment:
    def fits(vmi: Any) -> bool:
        return vmi.status is not None and vmi.status.phase == phase

    return lambda client, namespace: until(client, VIRTUAL_MACHINE_INSTANCES, namespace, fits)


def pod_that(fits: Callable[[Any], bool]) -> Moment:
    return lambda client, namespace: until(client, PODS, namespace, fits)


async def at_once(client: Client, namespace: str) -> None:
    """Do not wait at all."""


async def asked_to_shut_down(client: Client, namespace: str) -> None:
    """The instance is being deleted, and its guest, which still boots, has not heard of it yet."""
    await instance_in("Running")(client, namespace)
    await client.delete(VIRTUAL_MACHINE_INSTANCES, "brief", namespace=namespace)
    await until(
        client, VIRTUAL_MACHINE_INSTANCES, namespace, lambda vmi: bool(vmi.metadata.deletion_timestamp)
    )


MOMENTS: dict[str, Moment] = {
    "right after its creation": at_once,
    "when its instance is Pending": instance_in("Pending"),
    "when its pod is made": pod_that(lambda pod: True),
    "when its pod is bound": pod_that(lambda pod: bool(pod.spec.node_name)),
    "when its instance is Scheduling": instance_in("Scheduling"),
    "when its pod runs": pod_that(lambda pod: pod.status is not None and pod.status.phase == "Running"),
    "when its instance is Scheduled": instance_in("Scheduled"),
    "when its instance is Running": instance_in("Running"),
    "while it shuts down": asked_to_shut_down,
}


@pytest.mark.parametrize("moment", list(MOMENTS))
async def test_a_machine_deleted_at_any_moment_leaves_nothing(
    namespace: Namespace, instance: Instance, client: Client, moment: str
) -> None:
    grace = 3 if moment == "while it shuts down" else 0
    spec = instance_spec("tiny", grace=grace, empty_disk="16Mi", cloud_init=script("true"))
    await client.create(VIRTUAL_MACHINES, machine("brief", spec), namespace=namespace.name)
    async with asyncio.timeout(DEADLINE):
        await MOMENTS[moment](client, namespace.name)
    await client.delete(VIRTUAL_MACHINES, "brief", namespace=namespace.name)
    for resource in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, PODS):
        await until_none(client, resource, namespace.name)
    assert pod_traces(instance) == []


async def test_a_pod_deleted_by_force_under_its_guest_leaves_nothing(
    namespace: Namespace, instance: Instance, client: Client
) -> None:
    await client.create(
        VIRTUAL_MACHINE_INSTANCES,
        instance_manifest("forced", instance_spec("tiny", grace=0)),
        namespace=namespace.name,
    )
    async with asyncio.timeout(DEADLINE):
        await instance_in("Running")(client, namespace.name)
    (pod,) = namespace.names("pods")
    namespace.kubectl("delete", pod, "--grace-period=0", "--force")
    async with asyncio.timeout(DEADLINE):
        await instance_in("Failed")(client, namespace.name)
    namespace.delete("vmi", "forced")
    await until_released(instance)
    assert pod_traces(instance) == []


async def test_a_guest_that_cannot_start_leaves_nothing(
    namespace: Namespace, instance: Instance, client: Client
) -> None:
    spec = instance_spec("tiny", grace=0)
    spec["domain"]["cpu"]["model"] = "Abacus-3000"
    await client.create(VIRTUAL_MACHINE_INSTANCES, instance_manifest("never", spec), namespace=namespace.name)
    async with asyncio.timeout(DEADLINE):
        await instance_in("Failed")(client, namespace.name)
    namespace.delete("vmi", "never")
    await until_none(client, PODS, namespace.name)
    await until_released(instance)
    assert pod_traces(instance) == []


@pytest.mark.parametrize("phase", ["Scheduling", "Running"])
async def test_down_at_any_moment_leaves_nothing_and_up_starts_the_machine_again(
    namespace: Namespace, instance: Instance, client: Client, phase: str
) -> None:
    spec = instance_spec("tiny", grace=2)
    await client.create(VIRTUAL_MACHINES, machine("again", spec), namespace=namespace.name)
    async with asyncio.timeout(DEADLINE):
        await instance_in(phase)(client, namespace.name)
    await asyncio.to_thread(instance.down)
    assert traces(instance) == []
    await asyncio.to_thread(instance.up_if_down)
    await asyncio.to_thread(namespace.until_ready, "vm", "again")


def test_a_file_that_is_no_disk_is_refused_and_leaves_nothing(instance: Instance) -> None:
    junk = instance.root / "junk.qcow2"
    junk.write_bytes(b"QFI\xfb" + bytes(100))
    before = sorted(path for path in (instance.data / "images").rglob("*") if path.is_file())
    refused = instance.edgevirt("image", "import", str(junk), "junk", check=False)
    assert refused.returncode == 1
    assert "junk.qcow2" in refused.stderr
    assert "junk" not in instance.edgevirt("image", "list").stdout
    assert sorted(path for path in (instance.data / "images").rglob("*") if path.is_file()) == before
