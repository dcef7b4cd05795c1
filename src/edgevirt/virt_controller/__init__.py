"""virt-controller: turns a VirtualMachine into a VirtualMachineInstance and that into a launcher pod.

One module per controller; what to do is decided by pure functions (`vm_plan`, `vmi_plan`, `launcher_pod`),
done by thin ones. It owns a VirtualMachineInstance's status up to phase Scheduled; from then on virt-handler
of its node does, and virt-controller only steps in when the pod is gone.
"""

from edgevirt.virt_controller.server import Settings, run

__all__ = ["Settings", "run"]
