"""The kinds of kubevirt.io/v1: VirtualMachine, VirtualMachineInstance, KubeVirt (configuration)."""

from __future__ import annotations

from edgevirt.api.kubevirt.installation import KubeVirt
from edgevirt.api.kubevirt.instance import VirtualMachineInstance
from edgevirt.api.kubevirt.machine import VirtualMachine
from edgevirt.api.meta import Resource

GROUP = "kubevirt.io"
VERSION = "v1"

VIRTUAL_MACHINES = Resource(GROUP, VERSION, "virtualmachines", "VirtualMachine", VirtualMachine)
VIRTUAL_MACHINE_INSTANCES = Resource(
    GROUP, VERSION, "virtualmachineinstances", "VirtualMachineInstance", VirtualMachineInstance
)
KUBEVIRTS = Resource(GROUP, VERSION, "kubevirts", "KubeVirt", KubeVirt)

__all__ = [
    "GROUP",
    "KUBEVIRTS",
    "VERSION",
    "VIRTUAL_MACHINES",
    "VIRTUAL_MACHINE_INSTANCES",
    "KubeVirt",
    "VirtualMachine",
    "VirtualMachineInstance",
]
