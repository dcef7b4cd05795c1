"""Linux capabilities of containers: the usual set, what the pod adds and drops, what we have (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from edgevirt.api.core import SecurityContext

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""Names by number, as in linux/capability.h."""

DEFAULT = frozenset(
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)


def of_mask(mask: int) -> frozenset[str]:
    """The names of a bit mask as in /proc/<pid>/status."""
    return frozenset(name for number, name in enumerate(NAMES) if mask >> number & 1)


def bounding_set() -> frozenset[str]:
    """What this process may hand on. Asking the runtime for more makes it fail."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                return of_mask(int(line.split()[1], 16))
    return frozenset()


def unknown(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are no capabilities."""
    return tuple(name for name in names if _plain(name) not in (*NAMES, "ALL"))


def granted(security: SecurityContext | None, bounding: frozenset[str]) -> tuple[str, ...]:
    """The container's capabilities as the runtime writes them ("CAP_KILL"), within `bounding`."""
    if security and security.privileged:
        return _written(bounding)
    wish = security.capabilities if security else None
    added = {_plain(name) for name in wish.add} if wish else set()
    dropped = {_plain(name) for name in wish.drop} if wish else set()
    result = set(NAMES) if "ALL" in added else set(DEFAULT)
    result = set() if "ALL" in dropped and "ALL" not in added else result - dropped
    return _written((result | (added - {"ALL"})) & bounding)


def _written(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"CAP_{name}" for name in sorted(names))


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")
