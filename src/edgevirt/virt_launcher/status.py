"""libvirt's numbers in KubeVirt's words. Pure."""

from __future__ import annotations

import re
from typing import Final

from edgevirt.api.launcher import DomainState, StateReason
from edgevirt.virt_launcher.domain.channels import AGENT_CHANNEL

_STATES: Final = {
    0: DomainState.NO_STATE,
    1: DomainState.RUNNING,
    2: DomainState.BLOCKED,
    3: DomainState.PAUSED,
    4: DomainState.SHUTTING_DOWN,
    5: DomainState.SHUTOFF,
    6: DomainState.CRASHED,
    7: DomainState.PM_SUSPENDED,
}
_PAUSED: Final = {
    1: StateReason.PAUSED_USER,
    5: StateReason.PAUSED_IO_ERROR,
    10: StateReason.CRASHED,
    11: StateReason.PAUSED_STARTING_UP,
}
_SHUTOFF: Final = {
    1: StateReason.SHUTDOWN,
    2: StateReason.DESTROYED,
    3: StateReason.CRASHED,
    4: StateReason.MIGRATED,
    5: StateReason.SAVED,
    6: StateReason.FAILED,
    7: StateReason.FROM_SNAPSHOT,
}
_CRASHED: Final = {1: StateReason.PANICKED}
_AGENT_CONNECTED: Final = re.compile(
    rf"<target [^>]*name='{re.escape(AGENT_CHANNEL)}'[^>]*state='connected'[^>]*/>"
)
_MACHINE: Final = re.compile(r"<type [^>]*machine='([^']{1,64})'")
ENDED: Final = (DomainState.SHUTOFF, DomainState.CRASHED)
"""States from which a domain does not come back by itself."""
FAILURES: Final = (StateReason.CRASHED, StateReason.FAILED, StateReason.PANICKED)


def state_of(state: int, reason: int) -> tuple[DomainState, StateReason]:
    """libvirt's (virDomainState, reason) as the API spells it; unknown reasons are Unknown."""
    reasons = {3: _PAUSED, 5: _SHUTOFF, 6: _CRASHED}.get(state, {})
    return _STATES.get(state, DomainState.NO_STATE), reasons.get(reason, StateReason.UNKNOWN)


def agent_connected(live_xml: str) -> bool:
    """Does a running domain's XML say that the guest has the agent's channel open?"""
    return _AGENT_CONNECTED.search(live_xml) is not None


def machine_type(live_xml: str) -> str:
    """The versioned machine type a running domain really has, such as pc-q35-7.2."""
    match = _MACHINE.search(live_xml)
    return match[1] if match else ""
