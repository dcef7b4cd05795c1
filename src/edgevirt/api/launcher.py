"""The local protocol between virt-handler and virt-launcher.

One unix stream socket per VM, served by virt-launcher in its pod's `sockets` volume and dialled by
virt-handler on the host. A frame is a 4-byte big-endian length followed by that many bytes of JSON: a
`Request` from the handler, a `Response` or an `Event` from the launcher. Responses carry the id of their
request; events may arrive at any time after `subscribe`. A frame longer than `MAX_FRAME` ends the
connection: the peer is not trusted (it shares a pod with the guest's QEMU).

Method names follow KubeVirt's handler-launcher service where an equivalent exists there.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import field

from edgevirt.api.meta import Struct

PROTOCOL_VERSION = 1
MAX_FRAME = 4 * 1024 * 1024
"""Largest frame in bytes either side accepts."""

SOCKET_NAME = "launcher-sock"
"""File name of the launcher's socket in the pod's `sockets` volume; it appears when the launcher is ready."""


class Method(StrEnum):
    """What virt-handler may ask. Every method is idempotent: asking again after a lost answer is safe."""

    HELLO = "Hello"  # params: Hello -> Hello
    PING = "Ping"
    SUBSCRIBE = "Subscribe"  # -> DomainStatus; events follow on this connection
    SYNC = "SyncVirtualMachine"  # params: SyncRequest -> DomainStatus; defines and starts if needed
    SHUTDOWN = "ShutdownVirtualMachine"  # ask the guest to power off (agent, else ACPI)
    KILL = "KillVirtualMachine"  # destroy the domain at once
    DELETE = "DeleteVirtualMachine"  # undefine; the launcher then ends by itself
    GET_DOMAIN = "GetDomain"  # -> DomainStatus


class DomainState(StrEnum):
    """Life-cycle states of a domain, in KubeVirt's spelling of libvirt's states."""

    NO_STATE = "NoState"
    RUNNING = "Running"
    BLOCKED = "Blocked"
    PAUSED = "Paused"
    SHUTTING_DOWN = "ShuttingDown"
    SHUTOFF = "Shutoff"
    CRASHED = "Crashed"
    PM_SUSPENDED = "PMSuspended"


class StateReason(StrEnum):
    """Why a domain is in its state (libvirt's reasons, KubeVirt's spelling)."""

    UNKNOWN = "Unknown"
    NON_EXISTENT = "NonExistent"
    SHUTDOWN = "Shutdown"  # the guest powered off
    DESTROYED = "Destroyed"  # we ended it
    CRASHED = "Crashed"
    PANICKED = "Panicked"
    FAILED = "Failed"  # could not be started, or QEMU ended unexpectedly
    MIGRATED = "Migrated"
    SAVED = "Saved"
    FROM_SNAPSHOT = "FromSnapshot"
    PAUSED_USER = "PausedUser"
    PAUSED_IO_ERROR = "PausedIOError"
    PAUSED_STARTING_UP = "PausedStartingUp"


class GuestInterface(Struct):
    """A network interface as the domain and, if it is connected, the guest agent report it."""

    name: str = ""  # name in the VMI's spec; "" for one only the guest knows
    mac: str = ""
    interface_name: str = ""  # the guest's own name, e.g. eth0
    ip_addresses: tuple[str, ...] = ()


class GuestOSInfo(Struct):
    """Operating system facts from the guest agent, each at most 256 characters."""

    id: str = ""
    name: str = ""
    pretty_name: str = ""
    version: str = ""
    version_id: str = ""
    kernel_release: str = ""
    kernel_version: str = ""
    machine: str = ""


class DomainStatus(Struct):
    """What the launcher knows about its one domain."""

    uid: str = ""  # of the VMI
    state: DomainState = DomainState.NO_STATE
    reason: StateReason = StateReason.NON_EXISTENT
    message: str = ""  # for humans: libvirt's or QEMU's own words about a failure, at most 4 KiB
    virtualization: str = ""  # "kvm" or "qemu": what the domain really runs on
    machine_type: str = ""
    agent_connected: bool = False
    guest_os_info: GuestOSInfo | None = None
    interfaces: tuple[GuestInterface, ...] = ()


class Route(Struct):
    destination: str  # CIDR
    gateway: str


class DHCPLease(Struct):
    """The one address virt-launcher's DHCP server hands to the guest's one MAC on one bridge."""

    interface: str  # bridge in the pod the server listens on, e.g. k6t-eth0
    server: str  # address the server speaks from
    mac: str  # of the guest; every other client is ignored
    address: str  # CIDR, e.g. 10.244.0.7/24
    gateway: str = ""
    routes: tuple[Route, ...] = ()
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    domain: str = ""
    hostname: str = ""
    mtu: int = 1500


class GuestLink(Struct):
    """One guest NIC whose pod side virt-handler has made."""

    name: str  # of the interface in the VMI's spec
    tap: str
    mac: str
    mtu: int = 1500
    dhcp: DHCPLease | None = None


class SyncRequest(Struct):
    """Everything virt-launcher needs to define and start its domain."""

    vmi: msgspec.Raw  # the VirtualMachineInstance as JSON
    links: tuple[GuestLink, ...] = ()
    use_kvm: bool = False  # the node's proven verdict


class Hello(Struct, omit_defaults=False):
    """Always carries its version on the wire; one without a version is the first."""

    version: int = 1
    launcher: str = ""  # software version


class Request(Struct):
    id: int
    method: Method
    params: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"null"))


class Error(Struct):
    """`reason` is a closed set: Invalid, Conflict, LibvirtError, Timeout, Internal."""

    reason: str
    message: str


class Response(Struct):
    id: int
    result: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"null"))
    error: Error | None = None


class Event(Struct):
    """Pushed to subscribers. `kind`: "Domain" (status changed) or "KubeEvent" (to record on the VMI)."""

    kind: str
    status: DomainStatus | None = None
    type: str = ""  # Normal or Warning, for KubeEvent
    reason: str = ""
    message: str = ""


class Frame(Struct):
    """What the launcher sends: exactly one of the two is set."""

    response: Response | None = None
    event: Event | None = None
