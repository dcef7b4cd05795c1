"""The namespaces that the containers of a pod share, made without a fork.

A short-lived thread unshares its own network, IPC and UTS namespaces, brings `lo` up, sets the host name
and the sysctls, and bind-mounts the namespaces on files. The files keep them alive after the thread ended,
so a pod needs no pause process.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from edgevirt.engine.kubelet import mounts
from edgevirt.linux.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS, unshare

T = TypeVar("T")
_KINDS = {"net": CLONE_NEWNET, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS}
_FILES = (*_KINDS, "pid")
"""A process namespace cannot be made this way: it begins with a process."""
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def create(directory: Path, kinds: frozenset[str], hostname: str, sysctls: Mapping[str, str]) -> None:
    """Create the namespaces `kinds` (of net, ipc, uts) as files in `directory`; blocking, a few ms.

    What an earlier, interrupted attempt left there is removed first.
    """
    delete(directory)
    directory.mkdir(parents=True)
    flags = 0
    for kind in kinds:
        (directory / kind).touch(mode=0o444)
        flags |= _KINDS[kind]

    def build() -> None:
        unshare(flags)
        if "net" in kinds:
            _set_up("lo")
        if "uts" in kinds:
            socket.sethostname(hostname)
        for name, value in sysctls.items():
            Path("/proc/sys", name.replace(".", "/")).write_text(value)
        for kind in kinds:
            mounts.bind(f"/proc/self/task/{threading.get_native_id()}/ns/{kind}", directory / kind)

    try:
        in_own_thread(build)
    except BaseException:
        delete(directory)
        raise


def delete(directory: Path) -> None:
    """Remove the namespaces in `directory`; idempotent. Network links in them go with them."""
    for kind in _FILES:
        path = directory / kind
        while path.exists() and mounts.unmount(path):
            pass
        path.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except FileNotFoundError:
        pass


def remove_hollow(directory: Path) -> None:
    """Remove files on which no namespace was mounted any more; plugins take no file, not an empty one."""
    for kind in _FILES:
        if not complete(directory, frozenset({kind})):
            (directory / kind).unlink(missing_ok=True)


def complete(directory: Path, kinds: frozenset[str]) -> bool:
    """True if all the namespaces (not just empty files) are there."""
    if not kinds:
        return True
    try:
        own = directory.stat().st_dev
        return all((directory / kind).stat().st_dev != own for kind in kinds)
    except FileNotFoundError:
        return False


def in_own_thread(function: Callable[[], T]) -> T:
    """Run `function` in a thread that ends afterwards, so its namespaces leak to nobody."""
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="namespaces")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _set_up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", interface.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", interface.encode(), flags | _IFF_UP))
