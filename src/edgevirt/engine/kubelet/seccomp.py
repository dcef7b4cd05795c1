"""The RuntimeDefault seccomp profile: system calls a container has no use for are refused (pure).

It refuses what reconfigures the kernel or the machine; everything else is allowed. What needs a capability
is refused only to containers without it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_ALWAYS = [
    "add_key",
    "keyctl",
    "request_key",
    "kexec_load",
    "kexec_file_load",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "uselib",
    "userfaultfd",
    "nfsservctl",
    "vm86",
    "vm86old",
    "_sysctl",
    "sysfs",
    "ustat",
    "move_pages",
]
_UNLESS = {
    "CAP_SYS_ADMIN": [
        "bpf",
        "clone3",
        "fanotify_init",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "lookup_dcookie",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "perf_event_open",
        "pivot_root",
        "quotactl",
        "setdomainname",
        "sethostname",
        "setns",
        "swapon",
        "swapoff",
        "umount",
        "umount2",
        "unshare",
    ],
    "CAP_SYS_MODULE": ["delete_module", "init_module", "finit_module"],
    "CAP_SYS_BOOT": ["reboot"],
    "CAP_SYS_PACCT": ["acct"],
    "CAP_SYS_RAWIO": ["iopl", "ioperm"],
    "CAP_SYS_TIME": ["settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime"],
    "CAP_SYS_TTY_CONFIG": ["vhangup"],
    "CAP_SYSLOG": ["syslog"],
    "CAP_DAC_READ_SEARCH": ["open_by_handle_at"],
    "CAP_SYS_NICE": ["set_mempolicy", "mbind", "get_mempolicy"],
}
_EPERM = 1
_ENOSYS = 38


def runtime_default(capabilities: Collection[str]) -> dict[str, Any]:
    """OCI `linux.seccomp` for a container with these capabilities."""
    refused = [*_ALWAYS]
    for capability, calls in _UNLESS.items():
        if capability not in capabilities:
            refused += calls
    clone3 = [name for name in refused if name == "clone3"]  # ENOSYS makes the C library use clone
    others = [name for name in refused if name != "clone3"]
    rules: list[dict[str, Any]] = [{"names": others, "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM}]
    if clone3:
        rules.append({"names": clone3, "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
        rules.append(
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": _EPERM,
                "args": [
                    {"index": 0, "value": 0x10000000, "valueTwo": 0x10000000, "op": "SCMP_CMP_MASKED_EQ"}
                ],
            }
        )
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        if _x86()
        else ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "syscalls": rules,
    }


def _x86() -> bool:
    import platform

    return platform.machine() == "x86_64"
