"""The status of a VMI as its node agent writes it, and the patch that leads there. Pure.

Everything of a start goes into the one write that says Running: interfaces with their addresses, conditions,
machine type. Conditions and fields of others are kept as they are; the patch names only fields that change,
and carries uid and resourceVersion, so that it can't overwrite what somebody else wrote meanwhile.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import msgspec

from edgevirt.api.kubevirt import VirtualMachineInstance
from edgevirt.api.kubevirt.conditions import (
    ConditionReason,
    ConditionStatus,
    ConditionType,
    find,
    with_condition,
    without_condition,
)
from edgevirt.api.kubevirt.domain import Machine
from edgevirt.api.kubevirt.instance import (
    VirtualMachineInstanceCondition,
    VirtualMachineInstanceGuestOSInfo,
    VirtualMachineInstanceNetworkInterface,
    VirtualMachineInstancePhaseTransitionTimestamp,
    VirtualMachineInstanceStatus,
)
from edgevirt.api.kubevirt.phases import FINAL_PHASES, Phase
from edgevirt.api.launcher import DomainState, DomainStatus, GuestInterface, GuestLink, StateReason
from edgevirt.virt_handler import migratability

POD_INTERFACE = "eth0"
_FROM_DOMAIN = "domain"
_FROM_AGENT = "guest-agent"
_PAUSE_REASONS = {
    StateReason.PAUSED_USER: (ConditionReason.PAUSED_BY_USER, "the guest was paused by a user"),
    StateReason.PAUSED_IO_ERROR: (ConditionReason.PAUSED_IO_ERROR, "a disk of the guest reported an error"),
}
_GUEST_FIELDS = ("interfaces", "guest_os_info", "conditions")
_MAX_CONDITION_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Emulation:
    """Why a guest runs without hardware virtualization."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What goes into a status. `now` is for timestamps; `failure` that of the last start attempt or ""."""

    phase: Phase
    now: str
    reason: str = ""
    domain: DomainStatus | None = None
    links: tuple[GuestLink, ...] = ()
    emulation: Emulation | None = None
    failure: str = ""


def compose(vmi: VirtualMachineInstance, facts: Facts) -> VirtualMachineInstanceStatus:
    """The status `vmi` should have. Equal to the present one if nothing is to be written."""
    old = vmi.status or VirtualMachineInstanceStatus()
    changes: dict[str, Any] = {"conditions": _conditions(vmi, old, facts)}
    if old.phase != facts.phase.value:
        changes["phase"] = facts.phase.value
        changes["phase_transition_timestamps"] = (
            *old.phase_transition_timestamps,
            VirtualMachineInstancePhaseTransitionTimestamp(
                phase=facts.phase.value, phase_transition_timestamp=facts.now
            ),
        )
    if facts.phase in FINAL_PHASES:
        if facts.reason and old.phase != facts.phase.value:
            changes["reason"] = facts.reason
    elif facts.phase is Phase.RUNNING and facts.domain is not None:
        changes["interfaces"] = _interfaces(vmi, facts.domain, facts.links)
        if facts.domain.guest_os_info is not None:
            changes["guest_os_info"] = msgspec.convert(
                facts.domain.guest_os_info, VirtualMachineInstanceGuestOSInfo, from_attributes=True
            )
        if facts.domain.machine_type:
            changes["machine"] = Machine(type=facts.domain.machine_type)
    return msgspec.structs.replace(old, **changes)


def only_guest_data(vmi: VirtualMachineInstance, wanted: VirtualMachineInstanceStatus) -> bool:
    """Whether `wanted` brings nothing new but what the guest's agent reports, and so may wait a little."""
    old = vmi.status or VirtualMachineInstanceStatus()
    from_agent = {name: getattr(wanted, name) for name in _GUEST_FIELDS}
    if msgspec.structs.replace(old, **from_agent) != wanted:
        return False
    others = [c for c in wanted.conditions if c.type != ConditionType.AGENT_CONNECTED]
    return others == [c for c in old.conditions if c.type != ConditionType.AGENT_CONNECTED]


Conditions = tuple[VirtualMachineInstanceCondition, ...]


def _conditions(vmi: VirtualMachineInstance, old: VirtualMachineInstanceStatus, facts: Facts) -> Conditions:
    conditions = _with_failure(old.conditions, facts)
    domain = facts.domain if facts.phase is Phase.RUNNING else None
    if domain is None and facts.phase not in FINAL_PHASES:
        return conditions
    # Ready is said here together with the phase, so that a start needs no write of virt-controller's after
    # it; from then on only virt-controller changes it, when the pod is in trouble.
    if old.phase != facts.phase.value:
        ended = (ConditionReason.GUEST_NOT_RUNNING.value, "the guest has ended")
        running = domain is not None
        conditions = _put(conditions, ConditionType.READY, running, ("", "") if running else ended, facts)
    agent = domain is not None and domain.agent_connected
    conditions = _put(conditions, ConditionType.AGENT_CONNECTED, True, ("", "") if agent else None, facts)
    conditions = _put(conditions, ConditionType.PAUSED, True, _paused(domain), facts)
    if domain is not None:
        obstacle = migratability.first_obstacle(vmi)
        conditions = _put(conditions, ConditionType.LIVE_MIGRATABLE, False, obstacle, facts)
        emulation = facts.emulation
        why = (emulation.reason, emulation.message) if emulation is not None else None
        conditions = _put(conditions, ConditionType.SOFTWARE_EMULATION, True, why, facts)
    return conditions


def _with_failure(conditions: Conditions, facts: Facts) -> Conditions:
    reason = ConditionReason.SYNC_WITH_DOMAIN_FAILED.value
    if facts.failure:
        return _put(conditions, ConditionType.SYNCHRONIZED, False, (reason, facts.failure), facts)
    present = find(conditions, ConditionType.SYNCHRONIZED)
    if present is not None and present.reason == reason:  # other reasons belong to virt-controller
        return without_condition(conditions, ConditionType.SYNCHRONIZED)
    return conditions


def _put(
    conditions: Conditions, type_: ConditionType, true: bool, why: tuple[str, str] | None, facts: Facts
) -> Conditions:
    """With a condition for the reason and message `why`, or without one if there is none."""
    if why is None:
        return without_condition(conditions, type_)
    reason, message = why
    wanted = VirtualMachineInstanceCondition(
        type=type_.value,
        status=(ConditionStatus.TRUE if true else ConditionStatus.FALSE).value,
        reason=reason,
        message=message[:_MAX_CONDITION_MESSAGE],
    )
    return with_condition(conditions, wanted, facts.now)


def _paused(domain: DomainStatus | None) -> tuple[str, str] | None:
    if domain is None or domain.state is not DomainState.PAUSED:
        return None
    return _PAUSE_REASONS.get(domain.reason)


def _interfaces(
    vmi: VirtualMachineInstance, domain: DomainStatus, links: tuple[GuestLink, ...]
) -> tuple[VirtualMachineInstanceNetworkInterface, ...]:
    """The spec's interfaces in its order, then those only the guest knows."""
    by_link = {link.name: link for link in links}
    unmatched = list(domain.interfaces)
    found: list[VirtualMachineInstanceNetworkInterface] = []
    for interface in vmi.spec.domain.devices.interfaces:
        link = by_link.get(interface.name)
        mac = link.mac if link is not None else interface.mac_address
        reported = next((n for n in unmatched if n.name == interface.name or (mac and n.mac == mac)), None)
        if reported is not None:
            unmatched.remove(reported)
        found.append(_interface(interface.name, mac, link, reported, interface.state))
    found.extend(_guests_own(nic) for nic in unmatched if nic.interface_name not in ("", "lo"))
    return tuple(found)


def _interface(
    name: str, mac: str, link: GuestLink | None, reported: GuestInterface | None, state: str
) -> VirtualMachineInstanceNetworkInterface:
    addresses: tuple[str, ...] = ()
    if link is not None and link.dhcp is not None:
        addresses = (link.dhcp.address.partition("/")[0],)
    by_agent = reported is not None and bool(reported.interface_name or reported.ip_addresses)
    if reported is not None and reported.ip_addresses:
        # An agent that is up before the guest took its lease knows only what every NIC has by itself.
        leased = addresses if all(map(_is_link_local, reported.ip_addresses)) else ()
        addresses = _best_first((*leased, *reported.ip_addresses))
    return VirtualMachineInstanceNetworkInterface(
        name=name,
        mac=mac or (reported.mac if reported is not None else ""),
        ip_address=addresses[0] if addresses else "",
        ip_addresses=addresses,
        interface_name=reported.interface_name if reported is not None else "",
        pod_interface_name=POD_INTERFACE if link is not None else "",
        info_source=f"{_FROM_DOMAIN}, {_FROM_AGENT}" if by_agent else _FROM_DOMAIN,
        link_state=state or "up",
    )


def _guests_own(nic: GuestInterface) -> VirtualMachineInstanceNetworkInterface:
    addresses = _best_first(nic.ip_addresses)
    return VirtualMachineInstanceNetworkInterface(
        mac=nic.mac,
        ip_address=addresses[0] if addresses else "",
        ip_addresses=addresses,
        interface_name=nic.interface_name,
        info_source=_FROM_AGENT,
    )


def _best_first(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """IPv4 before IPv6, link-local last, otherwise as reported: the first one is what users connect to."""

    def rank(text: str) -> tuple[bool, bool]:
        return _is_link_local(text), ipaddress.ip_address(text).version == 6

    return tuple(sorted(addresses, key=rank))


def _is_link_local(text: str) -> bool:
    return ipaddress.ip_address(text).is_link_local
