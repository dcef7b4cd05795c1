"""Opening files in directories that a tenant can write.

A launcher pod is the guest's; whatever name lies in its volumes may be a link to anywhere, and may be
replaced between two looks. So a path is resolved by the kernel beneath a directory we trust, without
following any link (`openat2`), the type is checked on the descriptor, and everything after goes through that
descriptor, never through the path again. It is an O_PATH one: opening a device or a pipe by mistake has no
effect.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from edgevirt.linux import openat2


class UnsafePath(Exception):
    """The path leads through a link or out of its directory, or is not the type it should be: tampering."""


def open_trusted(directory: str) -> int:
    """A descriptor for a directory that only we can rename. Raises OSError."""
    return os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_beneath(root: int, path: str) -> int:
    """An O_PATH descriptor of `path` below directory `root`, no link on the way.

    Raises FileNotFoundError or another OSError if there is nothing to open, UnsafePath if there is, but
    behind a link or outside.
    """
    with _tampering(path):
        return openat2.open_beneath(root, path, os.O_PATH, links=False)


def open_in_root(root: int, path: str) -> int:
    """An O_PATH descriptor of `path` with `root` as "/": links are followed, but can't lead out of it."""
    with _tampering(path):
        return openat2.open_in_root(root, path, os.O_PATH)


def open_socket(root: int, path: str) -> int:
    """Like `open_beneath`, for a unix socket and nothing else."""
    fd = open_beneath(root, path)
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnsafePath(f"{path} is not a socket")
    return fd


def connect(directory: str, path: str) -> socket.socket:
    """A connected, non-blocking stream socket to `path` below the trusted `directory`.

    The connection goes to the very inode that was checked. Never blocks. Raises FileNotFoundError if
    `directory` or the socket doesn't exist, ConnectionRefusedError if nobody listens, BlockingIOError if the
    listener's backlog is full, UnsafePath.
    """
    root = open_trusted(directory)
    try:
        fd = open_socket(root, path)
    finally:
        os.close(root)
    connection = socket.socket(
        socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    )
    try:
        connection.connect(f"/proc/self/fd/{fd}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(fd)
    return connection


def read_file_in_root(directory: str, path: str, limit: int) -> bytes:
    """The first `limit` bytes of regular file `path` as a process whose root is `directory` would see it.

    Raises OSError, UnsafePath if it is anything but a regular file.
    """
    root = open_trusted(directory)
    try:
        fd = open_in_root(root, path)
    finally:
        os.close(root)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnsafePath(f"{path} is not a regular file")
        readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(fd)
    with open(readable, "rb") as file:
        return file.read(limit)


@contextlib.contextmanager
def _tampering(path: str) -> Iterator[None]:
    """Tells a path that leads astray from one that is not there."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            raise UnsafePath(f"{path} leads through a link or out of its directory") from error
        raise
