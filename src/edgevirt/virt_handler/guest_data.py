"""The one gate for everything a launcher or a guest says.

Whoever controls a guest can report thousands of interfaces or megabytes of text; an object that grew too
large could no longer be written by anyone, its owner included. So counts and lengths are cut here, addresses
must be addresses, and text loses what isn't printable. Nothing behind this gate checks again.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from edgevirt.api.launcher import DomainStatus, Event, GuestInterface, GuestOSInfo
from edgevirt.network import mac

MAX_INTERFACES = 32
MAX_ADDRESSES = 16
MAX_NAME = 63
MAX_TEXT = 256
MAX_MESSAGE = 1024

_REASON = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")


def bounded(status: DomainStatus) -> DomainStatus:
    """`status` with everything cut to what may enter an API object."""
    return msgspec.structs.replace(
        status,
        uid=text(status.uid, MAX_NAME),
        message=text(status.message, MAX_MESSAGE),
        virtualization=text(status.virtualization, MAX_NAME),
        machine_type=text(status.machine_type, MAX_NAME),
        guest_os_info=_os_info(status.guest_os_info) if status.guest_os_info is not None else None,
        interfaces=tuple(_interface(nic) for nic in status.interfaces[:MAX_INTERFACES]),
    )


def bounded_event(event: Event) -> Event:
    """`event` as it may be recorded: a known type, a reason that is one word, a short message."""
    return msgspec.structs.replace(
        event,
        type="Warning" if event.type == "Warning" else "Normal",
        reason=event.reason if _REASON.fullmatch(event.reason) else "LauncherEvent",
        message=text(event.message, MAX_MESSAGE),
    )


def text(value: str, limit: int) -> str:
    """The printable characters among the first `limit` of `value`."""
    return "".join(c if c.isprintable() else " " for c in value[:limit]).strip()


def _os_info(info: GuestOSInfo) -> GuestOSInfo:
    return GuestOSInfo(**{name: text(getattr(info, name), MAX_TEXT) for name in info.__struct_fields__})


def _interface(nic: GuestInterface) -> GuestInterface:
    return GuestInterface(
        name=text(nic.name, MAX_NAME),
        mac=_mac(nic.mac),
        interface_name=text(nic.interface_name, MAX_NAME),
        ip_addresses=tuple(address for address in map(_address, nic.ip_addresses[:MAX_ADDRESSES]) if address),
    )


def _mac(value: str) -> str:
    try:
        return mac.normalize(value[:MAX_NAME])
    except ValueError:
        return ""


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value[:MAX_NAME]))
    except ValueError:
        return ""
