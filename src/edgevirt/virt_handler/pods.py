"""Which pod is the launcher of a VMI.

A pod counts only if virt-controller named its uid in the VMI's `activePods` for this node and its controller
reference is that VMI's uid. Labels say nothing here: everybody who may create pods can set them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from edgevirt.api.core import Pod
from edgevirt.api.kubevirt import GROUP, VirtualMachineInstance
from edgevirt.api.kubevirt.labels import DEVICE_KVM
from edgevirt.kube.clock import parse_timestamp
from edgevirt.kube.ownership import controller_of
from edgevirt.virt_handler.lifecycle import PodState

_VMI_KIND = "VirtualMachineInstance"
_MAX_MESSAGE = 512


def owner_uid(pod: Pod) -> str:
    """The uid of the VMI that controls `pod`, "" if none does."""
    owner = controller_of(pod)
    if owner is None or owner.kind != _VMI_KIND or owner.api_version.partition("/")[0] != GROUP:
        return ""
    return owner.uid


def launcher_of(vmi: VirtualMachineInstance, node: str, pods: Iterable[Pod]) -> Pod | None:
    """The one among `pods` that is the launcher of `vmi` on `node`."""
    active = vmi.status.active_pods if vmi.status is not None else {}
    for pod in pods:
        if owner_uid(pod) == vmi.metadata.uid and active.get(pod.metadata.uid) == node:
            return pod
    return None


def state_of(pod: Pod) -> PodState:
    """Whether a launcher pod still runs."""
    phase = pod.status.phase if pod.status is not None else ""
    return {"Succeeded": PodState.SUCCEEDED, "Failed": PodState.FAILED}.get(phase, PodState.PRESENT)


def message_of(pod: Pod) -> str:
    """Why a pod ended, in the kubelet's words; "" if it says nothing."""
    if pod.status is None:
        return ""
    words = [pod.status.message or pod.status.reason]
    for container in pod.status.container_statuses:
        ended = container.state.terminated if container.state is not None else None
        if ended is not None:
            words.append(f"container {container.name}: {ended.reason} (exit code {ended.exit_code})")
            words.append(ended.message)
    return "; ".join(word for word in words if word)[:_MAX_MESSAGE]


def requests_kvm(pod: Pod) -> bool:
    """Whether the pod was given the KVM device."""
    containers = pod.spec.containers if pod.spec is not None else ()
    return any(
        container.resources is not None
        and (DEVICE_KVM in container.resources.limits or DEVICE_KVM in container.resources.requests)
        for container in containers
    )


def stop_requested_at(vmi: VirtualMachineInstance, pod: Pod | None) -> float | None:
    """When the guest was asked to end, by deleting the VMI or its pod; seconds since 1970 or None."""
    times = []
    if vmi.metadata.deletion_timestamp:
        times.append(parse_timestamp(vmi.metadata.deletion_timestamp))
    if pod is not None and pod.metadata.deletion_timestamp:
        # A pod's deletionTimestamp is when its grace period ends.
        granted = timedelta(seconds=pod.metadata.deletion_grace_period_seconds or 0)
        times.append(parse_timestamp(pod.metadata.deletion_timestamp) - granted)
    return min(times).timestamp() if times else None
