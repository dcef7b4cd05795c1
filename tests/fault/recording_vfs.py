"""SQLite's file operations, written down and made to fail, beneath the very library the server uses.

A VFS of SQLite is the set of functions through which it touches files. This one stands in front of the
default one, in the same `libsqlite3` that Python's `sqlite3` is linked to, and is the default while the
context is entered: the code under test opens its database as always. Every write, truncation, sync, creation
and deletion is recorded in the order in which it happened; the sync of a directory is recorded where SQLite
opens the directory for it. An injected failure of a write leaves half of it behind; a failed sync syncs
nothing.

Files have no shared memory here, so only a database locked exclusively can use a write-ahead log.
"""

from __future__ import annotations

import ctypes
import enum
import os
import sqlite3
from collections.abc import Callable
from ctypes import CFUNCTYPE, Structure, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

OK, IOERR, FULL = 0, 10, 13
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE = 778, 1034, 1546
_OPEN_CREATE = 0x4


class Kind(enum.Enum):
    CREATE = "create"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    SYNC_DIRECTORY = "sync-directory"
    ACKNOWLEDGED = "acknowledged"
    """Not of the file system: the code under test said that something is durable. `size` tells what."""


FAILING = frozenset({Kind.WRITE, Kind.SYNC, Kind.TRUNCATE})
"""What can be made to fail."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`size` is the new length for TRUNCATE. `done` is False if it was made to fail."""

    kind: Kind
    path: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0
    done: bool = True


Injection = Callable[[Operation], int]
"""From an operation that is about to happen to the code it fails with, or OK."""


class _Methods(Structure):
    _fields_ = [
        ("version", c_int),
        ("close", CFUNCTYPE(c_int, c_void_p)),
        ("read", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("write", CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("truncate", CFUNCTYPE(c_int, c_void_p, c_int64)),
        ("sync", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("file_size", CFUNCTYPE(c_int, c_void_p, c_void_p)),
        ("lock", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("unlock", CFUNCTYPE(c_int, c_void_p, c_int)),
        ("check_reserved_lock", CFUNCTYPE(c_int, c_void_p, c_void_p)),
        ("file_control", CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)),
        ("sector_size", CFUNCTYPE(c_int, c_void_p)),
        ("device_characteristics", CFUNCTYPE(c_int, c_void_p)),
    ]


class _File(Structure):
    """What SQLite sees of an open file; the real one lies right behind it."""

    _fields_ = [("methods", c_void_p), ("number", c_int64)]


_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_OpenDirectory = CFUNCTYPE(c_int, c_char_p, c_void_p)


class _Vfs(Structure):
    _fields_ = [
        ("version", c_int),
        ("file_bytes", c_int),
        ("max_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app_data", c_void_p),
        ("open", _Open),
        ("delete", _Delete),
        ("others", c_void_p * 11),
        ("set_system_call", CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)),
        ("get_system_call", CFUNCTYPE(c_void_p, c_void_p, c_char_p)),
        ("next_system_call", c_void_p),
    ]


class RecordingVfs:
    """A context manager; one at a time in a process. `operations` grows while it is entered."""

    def __init__(self, inject: Injection | None = None) -> None:
        self.operations: list[Operation] = []
        self.inject = inject
        self._library = ctypes.CDLL("libsqlite3.so.0")
        find = self._library.sqlite3_vfs_find
        find.restype = c_void_p
        self._real = _Vfs.from_address(find(None))
        self._paths: dict[int, str] = {}
        self._methods = self._make_methods()
        self._vfs = self._make_vfs()
        self._directory_callback = _OpenDirectory(self._open_directory)

    def __enter__(self) -> RecordingVfs:
        assert self._library.sqlite3_libversion_number() == _version_number(sqlite3.sqlite_version)
        name = b"openDirectory"
        self._original = self._real.get_system_call(ctypes.addressof(self._real), name)
        callback = ctypes.cast(self._directory_callback, c_void_p)
        assert self._real.set_system_call(ctypes.addressof(self._real), name, callback) == OK
        self._really_open_directory = _OpenDirectory(self._original)
        assert self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) == OK
        return self

    def __exit__(self, *_: object) -> None:
        assert not self._paths, f"still open: {sorted(self._paths.values())}"
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._real.set_system_call(ctypes.addressof(self._real), b"openDirectory", self._original)
        self._library.sqlite3_vfs_register(ctypes.byref(self._real), 1)

    def acknowledge(self, what: int) -> None:
        """Notes that the code under test has just called something durable."""
        self.operations.append(Operation(Kind.ACKNOWLEDGED, size=what))

    def _make_vfs(self) -> _Vfs:
        vfs = _Vfs.from_buffer_copy(self._real)
        vfs.name = b"recording"
        vfs.file_bytes = ctypes.sizeof(_File) + self._real.file_bytes
        vfs.next = None
        vfs.open, vfs.delete = _Open(self._open), _Delete(self._delete)
        return vfs

    def _make_methods(self) -> _Methods:
        made = _Methods()
        made.version = 1
        types = dict(_Methods._fields_)
        for name in types.keys() - {"version"}:
            own = getattr(self, f"_{name}", None)
            setattr(made, name, types[name](own or self._passed_on(name)))
        return made

    @staticmethod
    def _passed_on(name: str) -> Callable[..., int]:
        def call(file: int, *arguments: Any) -> int:
            result: int = getattr(_methods_of(file), name)(_behind(file), *arguments)
            return result

        return call

    def _path(self, file: int) -> str:
        return self._paths[_File.from_address(file).number]

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        fresh = bool(path) and bool(flags & _OPEN_CREATE) and not os.path.exists(path)
        code: int = self._real.open(ctypes.addressof(self._real), name, _behind(file), flags, out_flags)
        header = _File.from_address(file)
        if code != OK:
            header.methods = None
            return code
        number = max(self._paths, default=0) + 1
        self._paths[number] = path
        header.methods, header.number = ctypes.addressof(self._methods), number
        if fresh:
            self.operations.append(Operation(Kind.CREATE, path))
        return OK

    def _delete(self, _vfs: int, name: bytes, sync_directory: int) -> int:
        # The deletion comes before the sync of its directory, which the callback records.
        place = len(self.operations)
        code: int = self._real.delete(ctypes.addressof(self._real), name, sync_directory)
        if code == OK:
            self.operations.insert(place, Operation(Kind.DELETE, name.decode()))
        return code

    def _open_directory(self, name: bytes, descriptor: int) -> int:
        result: int = self._really_open_directory(name, descriptor)
        self.operations.append(Operation(Kind.SYNC_DIRECTORY, os.path.dirname(name.decode())))
        return result

    def _close(self, file: int) -> int:
        code: int = _methods_of(file).close(_behind(file))
        del self._paths[_File.from_address(file).number]
        return code

    def _write(self, file: int, buffer: int, size: int, offset: int) -> int:
        data = ctypes.string_at(buffer, size)
        operation = Operation(Kind.WRITE, self._path(file), offset, data)
        code = self._fate(operation)
        if code != OK:
            half = size // 2
            _methods_of(file).write(_behind(file), buffer, half, offset)
            self._note(Operation(Kind.WRITE, operation.path, offset, data[:half], done=False))
            return code
        code = _methods_of(file).write(_behind(file), buffer, size, offset)
        self._note(operation)
        return code

    def _truncate(self, file: int, size: int) -> int:
        operation = Operation(Kind.TRUNCATE, self._path(file), size=size)
        code = self._fate(operation)
        if code == OK:
            code = _methods_of(file).truncate(_behind(file), size)
            self._note(operation)
        return code

    def _sync(self, file: int, flags: int) -> int:
        operation = Operation(Kind.SYNC, self._path(file))
        code = self._fate(operation)
        if code != OK:
            self._note(Operation(Kind.SYNC, operation.path, done=False))
            return code
        place = len(self.operations)
        code = _methods_of(file).sync(_behind(file), flags)
        if operation.path:
            self.operations.insert(place, operation)  # before the sync of the directory
        return code

    def _fate(self, operation: Operation) -> int:
        return self.inject(operation) if self.inject is not None and operation.path else OK

    def _note(self, operation: Operation) -> None:
        if operation.path:  # temporary files have none and matter to nobody after a crash
            self.operations.append(operation)


def _behind(file: int) -> int:
    return file + ctypes.sizeof(_File)


def _methods_of(file: int) -> _Methods:
    return _Methods.from_address(_File.from_address(_behind(file)).methods)


def _version_number(text: str) -> int:
    major, minor, patch = (int(part) for part in text.split("."))
    return major * 1_000_000 + minor * 1_000 + patch


class Nth:
    """Fails the `position`-th operation (from 1), or with `on` all from there; `hits` counts failures."""

    def __init__(self, position: int, code: Callable[[Operation], int], on: bool = False) -> None:
        self._position = position
        self._code = code
        self._on = on
        self._seen = 0
        self.hits = 0

    def __call__(self, operation: Operation) -> int:
        if operation.kind not in FAILING:
            return OK
        self._seen += 1
        if self._seen < self._position or (self.hits and not self._on):
            return OK
        self.hits += 1
        return self._code(operation)


def input_output_error(operation: Operation) -> int:
    """EIO, as SQLite reports it for each kind."""
    return {Kind.WRITE: IOERR_WRITE, Kind.SYNC: IOERR_FSYNC}.get(operation.kind, IOERR_TRUNCATE)


def no_space(operation: Operation) -> int:
    """ENOSPC: writes do not fit; a sync that finds no room for delayed blocks reports an I/O error."""
    return FULL if operation.kind is Kind.WRITE else input_output_error(operation)


__all__ = [
    "OK",
    "Injection",
    "Kind",
    "Nth",
    "Operation",
    "RecordingVfs",
    "input_output_error",
    "no_space",
]
