"""Just enough of a Kubernetes API in memory for the VMI controller: objects, patches, conflicts, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from edgevirt.api.core import ObjectReference, Pod
from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.meta import Resource, Status
from edgevirt.kube.errors import Conflict, NotFound
from edgevirt.virt_handler import pods

NODE = "n1"
VMI_UID = "vmi-1"
POD_UID = "pod-1"
KEY = "ns/vm1"


def merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Store:
    """The informer of one kind, fed by the test."""

    def __init__(self, type_: type[Any]) -> None:
        self._type = type_
        self._objects: dict[tuple[str, str], Any] = {}
        self._handlers: list[Callable[[Any, Any], None]] = []
        self._version = 0

    def add_handler(self, handler: Callable[[Any, Any], None]) -> None:
        self._handlers.append(handler)
        for obj in self._objects.values():
            handler(None, obj)

    def get(self, name: str, namespace: str = "") -> Any:
        return self._objects.get((namespace, name))

    def items(self) -> list[Any]:
        return list(self._objects.values())

    def by_index(self, index: str, value: str) -> tuple[Any, ...]:
        return tuple(pod for pod in self._objects.values() if pods.owner_uid(pod) == value)

    def put(self, obj: Any) -> None:
        """The controller's own write: it is in the store already."""

    def set(self, document: dict[str, Any]) -> Any:
        self._version += 1
        document = merged(document, {"metadata": {"resourceVersion": str(self._version)}})
        obj = msgspec.convert(document, self._type)
        key = (obj.metadata.namespace, obj.metadata.name)
        old = self._objects.get(key)
        self._objects[key] = obj
        for handler in self._handlers:
            handler(old, obj)
        return obj

    def change(self, name: str, namespace: str, patch: dict[str, Any]) -> Any:
        return self.set(merged(msgspec.to_builtins(self._objects[namespace, name]), patch))

    def remove(self, name: str, namespace: str) -> None:
        old = self._objects.pop((namespace, name))
        for handler in self._handlers:
            handler(old, None)


class FakeKube:
    def __init__(self) -> None:
        self.vmis = Store(VirtualMachineInstance)
        self.pods = Store(Pod)
        self.writes: list[dict[str, Any]] = []
        self.events: list[tuple[str, str, str]] = []
        self.conflicts = 0
        self._changed = asyncio.Condition()

    # The client

    async def patch(
        self, resource: Resource[Any], name: str, patch: dict[str, Any], *, namespace: str = ""
    ) -> Any:
        patch = msgspec.json.decode(msgspec.json.encode(patch))
        present = self.vmis.get(name, namespace)
        if present is None:
            raise NotFound(Status(code=404))
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict(Status(code=409))
        if patch["metadata"]["resourceVersion"] != present.metadata.resource_version:
            raise Conflict(Status(code=409))
        assert patch["metadata"]["uid"] == present.metadata.uid
        self.writes.append(patch["status"])
        stored = self.vmis.change(name, namespace, patch)
        async with self._changed:
            self._changed.notify_all()
        return stored

    # The event recorder

    def normal(self, about: ObjectReference, reason: str, message: str) -> None:
        self.events.append(("Normal", str(reason), message))

    def warning(self, about: ObjectReference, reason: str, message: str) -> None:
        self.events.append(("Warning", str(reason), message))

    # For tests

    @property
    def vmi(self) -> VirtualMachineInstance:
        found: VirtualMachineInstance = self.vmis.get("vm1", "ns")
        return found

    @property
    def phase(self) -> str:
        assert self.vmi.status is not None
        return self.vmi.status.phase

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.events]

    def conditions(self) -> dict[str, str]:
        assert self.vmi.status is not None
        return {c.type: c.reason for c in self.vmi.status.conditions}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`, looked at after every write."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(holds)

    async def until_phase(self, phase: str) -> None:
        await self.until(lambda: self.phase == phase)

    def schedule(self, phase: str = "Scheduled", **spec: Any) -> None:
        """A launcher pod, ready, and its VMI, handed over to this node."""
        owner = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "name": "vm1",
            "uid": VMI_UID,
            "controller": True,
        }
        self.pods.set(
            {
                "metadata": {
                    "name": "launcher",
                    "namespace": "ns",
                    "uid": POD_UID,
                    "ownerReferences": [owner],
                },
                "spec": {"nodeName": NODE, "containers": [{"name": "compute"}]},
                "status": {"phase": "Running"},
            }
        )
        devices = spec.pop("devices", {})
        self.vmis.set(
            {
                "metadata": {"name": "vm1", "namespace": "ns", "uid": VMI_UID},
                "spec": {"domain": {"devices": devices}, **spec},
                "status": {"phase": phase, "nodeName": NODE, "activePods": {POD_UID: NODE}},
            }
        )
