"""Unpacking image layers into one directory tree, with the image treated as hostile.

Every parent directory is resolved by the kernel with the tree as its root (openat2, RESOLVE_IN_ROOT), and
the last component is created with O_EXCL or O_NOFOLLOW relative to that directory, so no name and no link
in a layer reaches outside. Device nodes are left out. What a layer is, is checked against its digest while
it is read. Runs in a worker thread: nothing here is async.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import IO

from edgevirt.linux.openat2 import open_in_root
from edgevirt.storage.images.errors import BrokenImage

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_CHUNK = 1 << 20
_CAPABILITY = "SCHILY.xattr.security.capability"
_ZSTD = b"\x28\xb5\x2f\xfd"


class _Checked:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


class TreeWriter:
    """Applies layers, lowest first, to the empty directory `tree`.

    `size` is the number of bytes of file content written so far; beyond `max_bytes` the image is refused.
    """

    def __init__(self, tree: Path, max_bytes: int) -> None:
        self._root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._max_bytes = max_bytes
        self._new: set[str] = set()
        self.size = 0

    def close(self) -> None:
        os.close(self._root)

    def apply(self, blob: Path, digest: str) -> None:
        """Unpack one layer; BrokenImage when it is damaged, not the layer `digest`, or refused."""
        self._new = set()
        with blob.open("rb") as raw:
            if raw.read(4) == _ZSTD:
                raise BrokenImage(
                    f"layer {digest} is zstd-compressed, which is not supported; publish it as gzip"
                )
            raw.seek(0)
            checked = _Checked(raw)
            try:
                with tarfile.open(fileobj=checked, mode="r|*") as archive:  # type: ignore[call-overload]  # read() is all it needs
                    for member in archive:
                        self._add(archive, member)
            except (tarfile.TarError, EOFError, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
                raise BrokenImage(f"layer {digest} cannot be unpacked: {error}") from error
            if checked.digest() != digest:
                raise BrokenImage(f"layer {digest} is damaged: its content has another digest")

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise BrokenImage(f"layer entry {member.name!r} leaves the image")
        if not parts:
            if member.isdir():
                os.fchmod(self._root, stat.S_IMODE(member.mode))
            return
        directory, name = "/".join(parts[:-1]), parts[-1]
        parent = self._parent(directory)
        try:
            if name == _OPAQUE:
                self._clear(parent, directory)
            elif name.startswith(_WHITEOUT):
                _remove(parent, name[len(_WHITEOUT) :])
            else:
                self._write(archive, member, parent, name)
                self._new.add("/".join(parts))
        finally:
            os.close(parent)

    def _parent(self, directory: str) -> int:
        try:
            return open_in_root(self._root, directory or ".", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            pass
        upper, _, name = directory.rpartition("/")
        above = self._parent(upper)
        try:
            os.mkdir(name, 0o755, dir_fd=above)
        finally:
            os.close(above)
        return open_in_root(self._root, directory, os.O_RDONLY | os.O_DIRECTORY)

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        mode = stat.S_IMODE(member.mode)
        if member.isdir():
            self._directory(parent, name, mode, member)
            return
        if member.ischr() or member.isblk():
            return
        _remove(parent, name)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        elif member.islnk():
            self._hard_link(member, parent, name)
        elif member.isfifo():
            os.mkfifo(name, mode, dir_fd=parent)
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        elif member.isreg():
            self._file(archive, member, parent, name, mode)
        else:
            raise BrokenImage(f"layer entry {member.name!r} has an unknown type {member.type!r}")

    def _directory(self, parent: int, name: str, mode: int, member: tarfile.TarInfo) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            _remove(parent, name)
            os.mkdir(name, 0o755, dir_fd=parent)
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def _hard_link(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        parts = [part for part in member.linkname.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise BrokenImage(f"layer entry {member.name!r} links outside the image")
        source = self._parent("/".join(parts[:-1]))
        try:
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _file(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str, mode: int
    ) -> None:
        self.size += member.size
        if self.size > self._max_bytes:
            raise BrokenImage(f"the image unpacks to more than {self._max_bytes >> 20} MiB")
        content = archive.extractfile(member)
        if content is None:
            raise BrokenImage(f"layer entry {member.name!r} has no content")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
            _copy_sparse(content, file)
            os.fchown(file.fileno(), member.uid, member.gid)
            os.fchmod(file.fileno(), mode)
            capability = member.pax_headers.get(_CAPABILITY)
            if capability:
                os.setxattr(
                    file.fileno(), "security.capability", capability.encode("utf-8", "surrogateescape")
                )
            os.utime(file.fileno(), (member.mtime, member.mtime))

    def _clear(self, parent: int, directory: str) -> None:
        for name in os.listdir(parent):
            path = f"{directory}/{name}" if directory else name
            if path not in self._new and not any(new.startswith(f"{path}/") for new in self._new):
                _remove(parent, name)


def _copy_sparse(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy; whole chunks of zeros become holes (disk images are mostly that)."""
    zeros = bytes(_CHUNK)
    while chunk := source.read(_CHUNK):
        if chunk == zeros:
            target.seek(len(chunk), os.SEEK_CUR)
        else:
            target.write(chunk)
    target.truncate()


def _remove(parent: int, name: str) -> None:
    if name in ("", ".", ".."):
        raise BrokenImage(f"layer entry names {name!r}")
    try:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(info.st_mode):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
