"""Wiring pods for their guests, and remembering how they were before.

Bridge binding destroys what it starts from: after it the pod's NIC has neither its address nor its MAC. So
the original is written down durably before the first change, in a directory of the node agent (never in the
pod's), and every later run plans from that record. A record lives as long as its pod.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.launcher import GuestLink
from edgevirt.api.meta import Struct
from edgevirt.network import links
from edgevirt.network.binding import (
    LinkPlan,
    PodLink,
    Resolver,
    UnsupportedBinding,
    guest_mac,
    plan_bridge,
    require_supported,
)
from edgevirt.network.namespace import NetworkNamespace
from edgevirt.virt_handler import state_file

POD_INTERFACE = "eth0"
_UID = re.compile(r"[A-Za-z0-9-]{1,63}")
_HOSTNAME_UNSAFE = re.compile(r"[^a-z0-9-]+")
_MAX_HOSTNAME = 63

_log = logging.getLogger("edgevirt.virt_handler")


class NetworkRecord(Struct):
    """What is kept about one pod: its NIC as CNI left it, and the guest's NICs made from it."""

    vmi_uid: str
    pod: PodLink
    links: tuple[GuestLink, ...]


class NetworkLost(Exception):
    """The pod was wired before, but the record of its address is gone; only a new pod helps."""


class PodNetworks:
    """The records of this node, and the effects on pods."""

    def __init__(self, state_dir: Path, timeout: float = 15.0) -> None:
        self._directory = state_dir / "networks"
        self._timeout = timeout

    def known(self, pod_uid: str) -> tuple[GuestLink, ...]:
        """The guest's NICs in a pod that was wired before, by whichever run of ours; () otherwise."""
        record = self._recall(pod_uid)
        return record.links if record is not None else ()

    async def wire(
        self, vmi: VirtualMachineInstance, pod_uid: str, namespace: NetworkNamespace, resolver: Resolver
    ) -> tuple[GuestLink, ...]:
        """Make the pod side of every NIC of `vmi`. Idempotent.

        Raises UnsupportedBinding (permanent), NetworkLost (permanent), LinkError, NamespaceError, OSError,
        TimeoutError.
        """
        interfaces = vmi.spec.domain.devices.interfaces
        if not interfaces:
            return ()
        networks = {network.name: network for network in vmi.spec.networks}
        for interface in interfaces:
            require_supported(interface, networks.get(interface.name))
        if len(interfaces) > 1:
            names = ", ".join(repr(interface.name) for interface in interfaces)
            raise UnsupportedBinding(f"interfaces {names} all use the pod network; only one can")
        record = self._recall(pod_uid)
        pod = record.pod if record is not None else await self._observe(namespace)
        plan = _plan(vmi, pod, resolver)
        if record is None:
            record = NetworkRecord(vmi_uid=vmi.metadata.uid, pod=pod, links=(plan.link,))
            await asyncio.to_thread(state_file.write, self._path(pod_uid), msgspec.json.encode(record))
        await namespace.run(lambda: links.apply(plan.actions), self._timeout)
        _log.info(
            "Wired pod network",
            extra={"vmi_uid": vmi.metadata.uid, "pod_uid": pod_uid, "mac": plan.link.mac, "nic": pod.name},
        )
        return record.links

    def forget(self, pod_uid: str) -> None:
        """Drop the record of a pod that is ending; the network itself goes with the pod."""
        self._path(pod_uid).unlink(missing_ok=True)

    def forget_all_but(self, pod_uids: Collection[str]) -> None:
        """Drop the records of pods that ended while we did not run."""
        if not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            if path.suffix == ".json" and path.stem not in pod_uids:
                path.unlink(missing_ok=True)

    async def _observe(self, namespace: NetworkNamespace) -> PodLink:
        pod = await namespace.run(lambda: links.observe(POD_INTERFACE), self._timeout)
        if pod.bridged:
            raise NetworkLost(
                f"the pod's {POD_INTERFACE} is bridged to a guest already, but the record of its original "
                "address is lost; stop and start the VM"
            )
        return pod.link

    def _path(self, pod_uid: str) -> Path:
        if not _UID.fullmatch(pod_uid):
            raise ValueError(f"{pod_uid!r} is not a pod uid")
        return self._directory / f"{pod_uid}.json"

    def _recall(self, pod_uid: str) -> NetworkRecord | None:
        raw = state_file.read(self._path(pod_uid))
        return msgspec.json.decode(raw, type=NetworkRecord) if raw is not None else None


def _plan(vmi: VirtualMachineInstance, pod: PodLink, resolver: Resolver) -> LinkPlan:
    devices = vmi.spec.domain.devices
    interface = devices.interfaces[0]
    return plan_bridge(
        pod,
        interface,
        guest_mac(pod, interface),
        resolver=resolver,
        hostname=hostname(vmi),
        subdomain=vmi.spec.subdomain,
        multi_queue=bool(devices.network_interface_multiqueue),
    )


def hostname(vmi: VirtualMachineInstance) -> str:
    """The guest's host name: the spec's, else the VMI's name, as one DNS label."""
    wanted = vmi.spec.hostname or vmi.metadata.name
    label = _HOSTNAME_UNSAFE.sub("-", wanted.lower().partition(".")[0])
    return label[:_MAX_HOSTNAME].strip("-")
