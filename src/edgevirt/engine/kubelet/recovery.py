"""What a kubelet does when it first sees a pod: take it over, or admit it.

A pod with a record was run by an earlier kubelet on this machine: memory is made to agree with what is on
disk and in the kernel, and containers that run are not disturbed. Records of another boot are void. A pod
without a record is new, or ran before and has lost it; then its containers count as ended.
"""

from __future__ import annotations

from edgevirt.engine.kubelet import attendance, host_ports, plan, refusal, sandbox
from edgevirt.engine.kubelet import container as containers
from edgevirt.engine.kubelet.processes import boot_id
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.engine.kubelet.state import ContainerRecord, ExitRecord

_NO_PORTS = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"


def begin(resident: Resident) -> None:
    """Call it once, before anything else is done for the pod."""
    if resident.adopted:
        _take_over(resident)
    else:
        _admit(resident)


def _take_over(resident: Resident) -> None:
    services, pod_record = resident.services, resident.record
    pod_record.pod = resident.pod
    ports = host_ports.ports_of(resident.pod)
    services.host_ports.adopt(resident.uid, ports, () if _on_host(resident) else pod_record.addresses)
    same_boot = pod_record.boot_id == boot_id()
    alive = same_boot and sandbox.complete(services, resident.pod) and bool(pod_record.addresses)
    for name, record in pod_record.containers.items():
        attempt = resident.attempt(name)
        if not record.running:
            resident.live(name).waiting = ("", "")
            containers.finish(services, resident.cgroup, attempt)
            continue
        process = (record.shim or attempt.init()) if same_boot else None
        if process and not process.alive():
            process = attempt.init()
        if process:
            attendance.attend(resident, resident.container(name), attempt, process)
        elif same_boot and not attempt.started() and attempt.exit_code() is None:
            attendance.never_ran(record)
        else:
            attendance.ended(resident, resident.container(name), attempt, lost=not same_boot)
    if alive:
        resident.prepared = True
    elif pod_record.sandbox:
        _sandbox_lost(resident, same_boot)
    pod_record.boot_id = boot_id()
    resident.save()


def _sandbox_lost(resident: Resident, same_boot: bool) -> None:
    """The namespaces are gone (reboot) or were never complete: what ran is over, init starts anew."""
    for name, record in resident.record.containers.items():
        if record.running:
            attendance.ended(resident, resident.container(name), resident.attempt(name), lost=not same_boot)
    if plan.outcome(resident.pod, resident.observe()) is None:
        for c in resident.pod.spec.init_containers if resident.pod.spec else ():
            if done := resident.record.containers.get(c.name):
                resident.record.containers[c.name] = ContainerRecord(last_exit=done.exit or done.last_exit)


def _admit(resident: Resident) -> None:
    """Refuse what cannot be run; a pod that ran before without a record has lost it."""
    pod = resident.pod
    resident.record.started_at = resident.now()
    if resident.deleting:
        return
    reasons = refusal.refusals(pod)
    if missing := refusal.missing_devices(pod, frozenset(resident.services.devices.capacity())):
        reasons = (*reasons, f"this node does not provide {', '.join(missing)}")
        resident.fail("UnexpectedAdmissionError", "; ".join(reasons))
    elif reasons:
        resident.fail(refusal.REASON, "; ".join(reasons))
    elif not resident.services.host_ports.claim(resident.uid, host_ports.ports_of(pod)):
        resident.fail("NodePorts", _NO_PORTS, told=f"Pod was rejected: {_NO_PORTS}")
    status = pod.status
    for told in (*status.container_statuses, *status.ephemeral_container_statuses) if status else ():
        if told.container_id:
            record = resident.record.container(told.name)
            record.attempt = (told.restart_count or 0) + 1
            record.container_id = told.container_id.rpartition("/")[2]
            record.exit = ExitRecord(
                137,
                attendance.UNKNOWN_EXIT,
                "The container could not be located when the node agent looked for it",
                finished_at=resident.now(),
            )
            resident.live(told.name).waiting = ("", "")


def _on_host(resident: Resident) -> bool:
    return bool(resident.pod.spec and resident.pod.spec.host_network)
