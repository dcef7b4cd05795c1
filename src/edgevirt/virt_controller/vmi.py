"""The VirtualMachineInstance controller: the thin effects behind `vmi_plan`."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from edgevirt.api.core import Node, Pod
from edgevirt.api.kubevirt import (
    KUBEVIRTS,
    VIRTUAL_MACHINE_INSTANCES,
    KubeVirt,
    VirtualMachineInstance,
    labels,
)
from edgevirt.api.kubevirt.conditions import ConditionReason
from edgevirt.api.kubevirt.events import ControllerEvent
from edgevirt.api.kubevirt.phases import Phase
from edgevirt.api.resources import NODES, PODS
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.controller import Controller, Result
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import split_key
from edgevirt.kube.ownership import controller_of
from edgevirt.kube.status_patch import status_patch
from edgevirt.virt_controller.launcher_pod import LauncherSettings, render
from edgevirt.virt_controller.run_strategy import phase_of
from edgevirt.virt_controller.vmi_plan import Observed, PodAction, SyncError, VMIPlan, plan

log = logging.getLogger("edgevirt.virt_controller.vmi")

OWNER_INDEX = "owner"

_BEFORE_THE_GUEST = frozenset({Phase.UNSET, Phase.PENDING, Phase.SCHEDULING})
_NO_GUEST_GRACE_SECONDS = 1


class VMIController:
    """Reconciles instances against their launcher pods. Its informers are shared with the VM controller."""

    def __init__(
        self,
        client: Client,
        instances: Informer[VirtualMachineInstance],
        recorder: EventRecorder,
        launcher: LauncherSettings,
        workers: int = 10,
    ) -> None:
        self._client = client
        self._instances = instances
        self._recorder = recorder
        self._launcher = launcher
        self._errors: dict[str, SyncError] = {}
        self.pods = Informer(client, PODS, label_selector=f"{labels.APP}={labels.APP_LAUNCHER}")
        self.nodes = Informer(client, NODES)
        self.kubevirts = Informer(client, KUBEVIRTS)
        self.controller = Controller("vmi", self._reconcile, workers=workers, clock=client.clock)
        self.pods.add_index(OWNER_INDEX, _owner_uids)
        self._instances.add_handler(self._instance_changed)
        self.pods.add_handler(self._pod_changed)

    def _instance_changed(
        self, old: VirtualMachineInstance | None, new: VirtualMachineInstance | None
    ) -> None:
        seen = new or old
        if seen is None:
            return
        if new is None:
            self._errors.pop(seen.metadata.uid, None)
        self.controller.enqueue(f"{seen.metadata.namespace}/{seen.metadata.name}")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        seen = new or old
        owner = controller_of(seen) if seen is not None else None
        if seen is not None and owner is not None and owner.kind == VIRTUAL_MACHINE_INSTANCES.kind:
            self.controller.enqueue(f"{seen.metadata.namespace}/{owner.name}")

    def launcher_settings(self) -> LauncherSettings:
        """The launcher's settings with the cluster's present answer to "is there a proven KVM?"."""
        emulation = any(_uses_emulation(config) for config in self.kubevirts.items())
        proven = any(_offers_kvm(node) for node in self.nodes.items())
        return dataclasses.replace(self._launcher, use_kvm=proven and not emulation)

    async def _reconcile(self, key: str) -> Result | None:
        namespace, name = split_key(key)
        vmi = self._instances.get(name, namespace)
        if vmi is None:
            return None
        pods = self.pods.by_index(OWNER_INDEX, vmi.metadata.uid)
        seen = Observed(vmi, pods, self._client.clock.now(), self._errors.get(vmi.metadata.uid))
        decided = plan(seen)
        if decided.pod is PodAction.CREATE and await self._create_pod(vmi):
            # The pod is in the cache now; the same reconcile goes on to say Scheduling.
            return await self._reconcile(key)
        if decided.pod is PodAction.DELETE:
            await self._delete_pods(vmi, pods)
        await self._write(vmi, decided)
        if decided.pod is PodAction.CREATE:
            failure = self._errors.get(vmi.metadata.uid)
            raise errors.Transient(failure.message if failure else "the launcher pod could not be created")
        return None

    async def _create_pod(self, vmi: VirtualMachineInstance) -> bool:
        """Create the launcher pod. On failure the reason is kept for the status and False is returned."""
        uid = vmi.metadata.uid
        try:
            manifest = render(vmi, self.launcher_settings())
            pod = await self._client.create(PODS, manifest, namespace=vmi.metadata.namespace)
        except (errors.ApiError, ValueError) as error:
            failure = SyncError(
                ConditionReason.FAILED_CREATE, f"the launcher pod could not be created: {error}"
            )
            if self._errors.get(uid) != failure:
                self._recorder.warning(vmi, ControllerEvent.FAILED_CREATE.value, failure.message)
                self._errors[uid] = failure
                decided = plan(Observed(vmi, (), self._client.clock.now(), failure))
                await self._write(vmi, decided)
            return False
        self._errors.pop(uid, None)
        self.pods.put(pod)
        words = f"Created virtual machine pod {pod.metadata.name}"
        self._recorder.normal(vmi, ControllerEvent.SUCCESSFUL_CREATE.value, words)
        log.info("launcher pod created", extra={"vmi": _name(vmi), "pod": pod.metadata.name})
        return True

    async def _delete_pods(self, vmi: VirtualMachineInstance, pods: tuple[Pod, ...]) -> None:
        # Before virt-handler took over there is no guest to be shut down, and a launcher that is only just
        # starting does not hear that it should end: the kernel drops what its PID 1 has no handler for yet.
        grace = _NO_GUEST_GRACE_SECONDS if phase_of(vmi) in _BEFORE_THE_GUEST else None
        for pod in pods:
            if pod.metadata.deletion_timestamp:
                continue
            try:
                await self._client.delete(
                    PODS,
                    pod.metadata.name,
                    namespace=pod.metadata.namespace,
                    grace_period_seconds=grace,
                    uid=pod.metadata.uid,
                )
            except (errors.NotFound, errors.Conflict):
                continue  # gone, or another pod took the name: the informer will tell
            words = f"Deleted virtual machine pod {pod.metadata.name}"
            self._recorder.normal(vmi, ControllerEvent.SUCCESSFUL_DELETE.value, words)

    async def _write(self, vmi: VirtualMachineInstance, decided: VMIPlan) -> None:
        patch: dict[str, Any] | None = None
        if decided.status is not None:
            patch = status_patch(vmi.metadata, vmi.status, decided.status)
        if decided.node_label and vmi.metadata.labels.get(labels.NODE_NAME) != decided.node_label:
            patch = patch or {"metadata": {"resourceVersion": vmi.metadata.resource_version}}
            patch["metadata"]["labels"] = {labels.NODE_NAME: decided.node_label}
        if decided.remove_finalizer:
            patch = patch or {"metadata": {"resourceVersion": vmi.metadata.resource_version}}
            left = [name for name in vmi.metadata.finalizers if name != labels.VMI_FINALIZER]
            patch["metadata"]["finalizers"] = left or None
        if patch is None:
            return
        try:
            written = await self._client.patch(
                VIRTUAL_MACHINE_INSTANCES, vmi.metadata.name, patch, namespace=vmi.metadata.namespace
            )
        except errors.NotFound:
            return
        if not decided.remove_finalizer:
            self._instances.put(written)


def _owner_uids(pod: Pod) -> list[str]:
    owner = controller_of(pod)
    return [owner.uid] if owner is not None and owner.kind == VIRTUAL_MACHINE_INSTANCES.kind else []


def _uses_emulation(config: KubeVirt) -> bool:
    configuration = config.spec.configuration if config.spec else None
    developer = configuration.developer_configuration if configuration else None
    return bool(developer and developer.use_emulation)


def _offers_kvm(node: Node) -> bool:
    return node.status is not None and labels.DEVICE_KVM in node.status.allocatable


def _name(vmi: VirtualMachineInstance) -> str:
    return f"{vmi.metadata.namespace}/{vmi.metadata.name}"
