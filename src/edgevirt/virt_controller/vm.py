"""The VirtualMachine controller: the thin effects behind `vm_plan`."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec

from edgevirt.api.kubevirt import (
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    VirtualMachine,
    VirtualMachineInstance,
    labels,
)
from edgevirt.api.kubevirt.conditions import ConditionReason
from edgevirt.api.kubevirt.events import ControllerEvent
from edgevirt.api.kubevirt.machine import VirtualMachineStatus
from edgevirt.api.kubevirt.phases import is_final
from edgevirt.api.resources import CONTROLLER_REVISIONS
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import controller_of, is_controlled_by
from edgevirt.kube.status_patch import status_patch
from edgevirt.virt_controller.run_strategy import Requests, Wish, phase_of
from edgevirt.virt_controller.start_backoff import Crashes, count_crash
from edgevirt.virt_controller.vm_plan import (
    Observed,
    SyncError,
    instance_manifest,
    plan,
    revision_manifest,
    revision_name,
)

log = logging.getLogger("edgevirt.virt_controller.vm")


class VMController:
    """Reconciles machines against their instances."""

    def __init__(
        self,
        client: Client,
        instances: Informer[VirtualMachineInstance],
        recorder: EventRecorder,
        workers: int = 10,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._instances = instances
        self._recorder = recorder
        self._jitter = jitter
        self._crashes: dict[str, Crashes] = {}
        self._errors: dict[str, SyncError] = {}
        self._templates: dict[str, Any] = {}
        self.machines = Informer(client, VIRTUAL_MACHINES)
        self.controller = Controller("vm", self._reconcile, workers=workers, clock=client.clock)
        self.machines.add_handler(self._machine_changed)
        instances.add_handler(self._instance_changed)

    def _machine_changed(self, old: VirtualMachine | None, new: VirtualMachine | None) -> None:
        seen = new or old
        if seen is None:
            return
        if new is None:
            for memory in (self._crashes, self._errors, self._templates):
                memory.pop(seen.metadata.uid, None)
        self.controller.enqueue(f"{seen.metadata.namespace}/{seen.metadata.name}")

    def _instance_changed(
        self, old: VirtualMachineInstance | None, new: VirtualMachineInstance | None
    ) -> None:
        seen = new or old
        owner = controller_of(seen) if seen is not None else None
        if seen is not None and owner is not None and owner.kind == VIRTUAL_MACHINES.kind:
            self.controller.enqueue(f"{seen.metadata.namespace}/{owner.name}")

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        vm = self.machines.get(name, namespace)
        if vm is None:
            return None
        uid = vm.metadata.uid
        vmi = self._instances.get(name, namespace)
        if vmi is not None and not is_controlled_by(vmi, vm):
            words = (
                f"an instance named {name} exists already and belongs to something else; delete or rename it"
            )
            self._errors[uid] = SyncError(ConditionReason.FAILED_CREATE, words)
            vmi = None
        if vmi is not None:
            self._crashes[uid] = count_crash(self._crashes.get(uid, Crashes()), vmi)
        decided = plan(await self._observe(vm, vmi))
        if decided.add_finalizer:
            vm = await self._set_finalizers(vm, (*vm.metadata.finalizers, labels.VM_FINALIZER))
        if decided.remove_finalizer:
            left = tuple(name for name in vm.metadata.finalizers if name != labels.VM_FINALIZER)
            await self._set_finalizers(vm, left)
            return None
        failed = False
        if decided.instance is Wish.CREATE:
            vmi, failed = await self._create(vm)
        elif decided.instance is Wish.DELETE and vmi is not None:
            if decided.status is not None and _requests(decided.status) != _requests(vm.status):
                # A start to follow must be on record before the instance that calls for it is gone.
                vm = await self._write_status(vm, decided.status)
            await self._delete(vm, vmi)
            vmi = self._instances.get(name, namespace)
        if decided.instance is not Wish.NOTHING:
            # The change is in the cache already: one status write tells both the wish and its outcome.
            decided = plan(await self._observe(vm, vmi))
        if decided.status is not None:
            await self._write_status(vm, decided.status)
        if failed:
            raise errors.Transient(self._errors[uid].message)
        return Result(requeue_after=decided.requeue_after)

    async def _write_status(self, vm: VirtualMachine, status: VirtualMachineStatus) -> VirtualMachine:
        """Write what differs from the status of `vm`, if anything does; returns the machine as stored."""
        patch = status_patch(vm.metadata, vm.status, status)
        if patch is None:
            return vm
        written = await self._client.patch(
            VIRTUAL_MACHINES,
            vm.metadata.name,
            patch,
            namespace=vm.metadata.namespace,
            subresource="status",
        )
        self.machines.put(written)
        return written

    async def _observe(self, vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> Observed:
        uid = vm.metadata.uid
        return Observed(
            vm=vm,
            vmi=vmi,
            now=self._client.clock.now(),
            jitter=self._jitter(),
            crashes=self._crashes.get(uid, Crashes()),
            error=self._errors.get(uid),
            started_template=await self._started_template(vm, vmi),
        )

    async def _started_template(self, vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> Any:
        """The template a living instance was made from, if the machine was changed since; else None."""
        if vmi is None or is_final(phase_of(vmi)):
            return None
        if vmi.metadata.annotations.get(labels.VM_GENERATION) == str(vm.metadata.generation or 0):
            return None
        name = vmi.status.virtual_machine_revision_name if vmi.status else ""
        if not name:
            return None
        kept = self._templates.get(vm.metadata.uid)
        if kept is not None and kept[0] == name:
            return kept[1]
        try:
            revision = await self._client.get(CONTROLLER_REVISIONS, name, namespace=vm.metadata.namespace)
        except errors.NotFound:
            return None
        template = msgspec.to_builtins(revision.data)["spec"]["template"] if revision.data else None
        self._templates[vm.metadata.uid] = (name, template)
        return template

    async def _set_finalizers(self, vm: VirtualMachine, finalizers: tuple[str, ...]) -> VirtualMachine:
        patch = {
            "metadata": {
                "resourceVersion": vm.metadata.resource_version,
                "finalizers": list(finalizers) or None,
            }
        }
        try:
            written = await self._client.patch(
                VIRTUAL_MACHINES, vm.metadata.name, patch, namespace=vm.metadata.namespace
            )
        except errors.NotFound:
            return vm
        if finalizers:
            self.machines.put(written)
        return written

    async def _create(self, vm: VirtualMachine) -> tuple[VirtualMachineInstance | None, bool]:
        """Keep the spec as a revision, then create the instance. Returns it, and whether that failed."""
        namespace, uid = vm.metadata.namespace, vm.metadata.uid
        try:
            try:
                await self._client.create(CONTROLLER_REVISIONS, revision_manifest(vm), namespace=namespace)
            except errors.AlreadyExists:
                pass  # started from this very spec before
            manifest = instance_manifest(vm, revision_name(vm))
            vmi = await self._client.create(VIRTUAL_MACHINE_INSTANCES, manifest, namespace=namespace)
        except errors.ApiError as error:
            words = f"the instance could not be created: {error}"
            failure = SyncError(ConditionReason.FAILED_CREATE, words)
            if self._errors.get(uid) != failure:
                self._recorder.warning(vm, ControllerEvent.FAILED_CREATE.value, words)
            self._errors[uid] = failure
            return None, True
        self._errors.pop(uid, None)
        self._instances.put(vmi)
        self._recorder.normal(
            vm,
            ControllerEvent.SUCCESSFUL_CREATE.value,
            f"Started the virtual machine by creating the new virtual machine instance {vmi.metadata.name}",
        )
        log.info("instance created", extra={"vm": f"{namespace}/{vm.metadata.name}", "uid": uid})
        return vmi, False

    async def _delete(self, vm: VirtualMachine, vmi: VirtualMachineInstance) -> None:
        try:
            await self._client.delete(
                VIRTUAL_MACHINE_INSTANCES,
                vmi.metadata.name,
                namespace=vmi.metadata.namespace,
                uid=vmi.metadata.uid,
            )
        except (errors.NotFound, errors.Conflict):
            return  # gone, or already a new one: the informer will tell
        self._recorder.normal(
            vm,
            ControllerEvent.SUCCESSFUL_DELETE.value,
            f"Stopped the virtual machine by deleting the virtual machine instance {vmi.metadata.name}",
        )


def _requests(status: VirtualMachineStatus | None) -> Requests:
    return status.state_change_requests if status is not None else ()
