"""In which order, and how, the controllers carry out what their plans say."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from edgevirt.api.kubevirt import VIRTUAL_MACHINE_INSTANCES
from edgevirt.kube.informer import Informer
from edgevirt.virt_controller.launcher_pod import LauncherSettings
from edgevirt.virt_controller.vm import VMController
from edgevirt.virt_controller.vmi import VMIController

pytestmark = pytest.mark.unit


class FakeClock:
    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)

    def monotonic(self) -> float:
        return 0.0


class FakeClient:
    """Answers every write with the object it was about, and remembers what was asked for."""

    clock = FakeClock()

    def __init__(self, *objects: Any) -> None:
        self.objects = {type(object).__name__: object for object in objects}
        self.asked: list[tuple[Any, ...]] = []

    async def patch(self, resource: Any, name: str, patch: Any, **where: Any) -> Any:
        self.asked.append(("patch", resource.kind, patch))
        old = self.objects[resource.kind]
        status = {**msgspec.to_builtins(old.status), **patch.get("status", {})}
        return msgspec.structs.replace(old, status=msgspec.convert(status, type(old.status)))

    async def delete(self, resource: Any, name: str, **how: Any) -> None:
        self.asked.append(("delete", resource.kind, how.get("grace_period_seconds")))


class FakeRecorder:
    def normal(self, *event: Any) -> None: ...

    def warning(self, *event: Any) -> None: ...


async def test_a_crashed_rerun_on_failure_machine_queues_its_start_before_the_instance_is_deleted(
    make: Any,
) -> None:
    vm = make.vm("RerunOnFailure", runStrategy="RerunOnFailure")
    vm = msgspec.structs.replace(
        vm,
        metadata=msgspec.structs.replace(
            vm.metadata, finalizers=("kubevirt.io/virtualMachineControllerFinalize",)
        ),
    )
    vmi = make.vmi("Failed", ran=30.0)
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web", "uid": "vm-uid"}
    owned = msgspec.convert({"ownerReferences": [{**owner, "controller": True}]}, type(vmi.metadata))
    vmi = msgspec.structs.replace(
        vmi, metadata=msgspec.structs.replace(vmi.metadata, owner_references=owned.owner_references)
    )
    client: Any = FakeClient(vm, vmi)
    recorder: Any = FakeRecorder()
    instances = Informer(client, VIRTUAL_MACHINE_INSTANCES)
    controller = VMController(client, instances, recorder, jitter=lambda: 0.0)
    controller.machines._store(vm)
    instances._store(vmi)
    await controller._reconcile("shop/web")
    writes = [(verb, kind) for verb, kind, _ in client.asked if kind.startswith("VirtualMachine")]
    assert ("delete", "VirtualMachineInstance") in writes
    before = client.asked[: writes.index(("delete", "VirtualMachineInstance"))]
    queued = [patch["status"].get("stateChangeRequests", ()) for verb, _, patch in before if verb == "patch"]
    assert [[request["action"] for request in requests] for requests in queued] == [["Start"]]


@pytest.mark.parametrize(
    ("phase", "grace"), [("Pending", 1), ("Scheduling", 1), ("Failed", None), ("Succeeded", None)]
)
async def test_a_launcher_without_guest_is_not_waited_for(make: Any, phase: str, grace: int | None) -> None:
    vmi = make.vmi(phase, deleting=True)
    pod = msgspec.convert(
        {
            "metadata": {
                "name": "virt-launcher-web-x",
                "namespace": "shop",
                "uid": "pod-uid",
                "ownerReferences": [
                    {
                        "apiVersion": "kubevirt.io/v1",
                        "kind": "VirtualMachineInstance",
                        "name": "web",
                        "uid": "vmi-uid",
                        "controller": True,
                    }
                ],
            },
            "spec": {"containers": [{"name": "compute", "image": "i"}]},
        },
        type(make.pod()),
    )
    client: Any = FakeClient(vmi)
    recorder: Any = FakeRecorder()
    instances = Informer(client, VIRTUAL_MACHINE_INSTANCES)
    controller = VMIController(client, instances, recorder, LauncherSettings(image="launcher"))
    instances._store(vmi)
    controller.pods._store(pod)
    await controller._reconcile("shop/web")
    assert ("delete", "Pod", grace) in client.asked
