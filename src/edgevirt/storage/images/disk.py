"""Is this file a disk image that a guest may be given?

`qemu-img` reads header and tables under CPU, memory and time limits: a crafted image must not hurt the node.
Backing files and external data files are refused, because they would let an image name any file of the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

from edgevirt.storage.images.errors import BrokenImage

_CPU_SECONDS = 30
_MEMORY_BYTES = 1 << 30
_MAX_OUTPUT = 1 << 20
_SECTOR = 512
_ANSWERS = {"info": (0,), "check": (0, 2, 3)}
"""Exit codes with which qemu-img has answered; those of `check` also say "corrupt" and "leaks space"."""
FORMATS = ("qcow2", "raw")
_OTHER_FORMATS = (
    (b"KDMV", 0, "VMDK"),
    (b"vhdxfile", 0, "VHDX"),
    (b"conectix", 0, "VHD"),
    (b"\x7f\x10\xda\xbe", 64, "VDI"),
    (b"QED\0", 0, "QED"),
    (b"\x1f\x8b", 0, "gzip-compressed"),
    (b"\xfd7zXZ", 0, "xz-compressed"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd-compressed"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class DiskFormat:
    """What the header says. `virtual_size` in bytes."""

    name: str
    virtual_size: int


async def probe(path: Path, fmt: str, *, program: str = "qemu-img", timeout: float = 30.0) -> DiskFormat:
    """Validate `path` as `fmt` ("auto" finds out); BrokenImage says what is wrong."""
    if fmt not in ("auto", *FORMATS):
        raise BrokenImage(f"disk format {fmt!r} is not supported; use one of auto, {', '.join(FORMATS)}")
    if not path.is_file():
        raise BrokenImage(f"{path} is not a regular file")
    if path.stat().st_size == 0:
        raise BrokenImage(f"{path} is empty")
    wanted = _guess(path) if fmt == "auto" else fmt
    if wanted == "raw" and path.stat().st_size % _SECTOR:
        raise BrokenImage(
            f"{path} is no disk: it is not qcow2, and as a raw disk its size would be a multiple of "
            f"{_SECTOR} bytes; perhaps it was not copied completely"
        )
    info = await _ask(program, ["info", "-U"], path, wanted, timeout)
    for key, what in (("backing-filename", "a backing file"), ("full-backing-filename", "a backing file")):
        if info.get(key):
            raise BrokenImage(
                f"{path} refers to {what} ({info[key]!r}); flatten it first: qemu-img convert -O qcow2"
            )
    specific = info.get("format-specific", {}).get("data", {})
    if specific.get("data-file"):
        raise BrokenImage(
            f"{path} keeps its data in another file ({specific['data-file']!r}); convert it first"
        )
    if specific.get("corrupt"):
        raise BrokenImage(f"{path} is marked corrupt; repair it with qemu-img check -r all")
    if specific.get("encrypt"):
        raise BrokenImage(f"{path} is encrypted; encrypted disks are not supported")
    size = info.get("virtual-size")
    if info.get("format") != wanted or not isinstance(size, int) or size <= 0:
        raise BrokenImage(f"{path} is not a usable {wanted} image")
    if wanted == "qcow2":
        await _check(path, int(info.get("cluster-size", 1)), program, timeout)
    return DiskFormat(wanted, size)


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(72)
    if head.startswith(b"QFI\xfb"):
        return "qcow2"
    for magic, offset, name in _OTHER_FORMATS:
        if head[offset : offset + len(magic)] == magic:
            raise BrokenImage(f"{path} is a {name} image; convert it first: qemu-img convert -O qcow2")
    return "raw"


async def _check(path: Path, cluster: int, program: str, timeout: float) -> None:
    """Refuse what a guest would stumble over later: damaged tables, or a file that ends too early."""
    found = await _ask(program, ["check", "-U"], path, "qcow2", timeout)
    if found.get("corruptions") or found.get("check-errors"):
        raise BrokenImage(f"{path} is damaged; copy it again, or repair it with qemu-img check -r all")
    end = found.get("image-end-offset")
    # The last cluster need not be there completely: what is missing of it reads as zeros.
    if not isinstance(end, int) or end >= path.stat().st_size + cluster:
        raise BrokenImage(f"{path} ends too early; it was not copied completely")


async def _ask(program: str, question: list[str], path: Path, fmt: str, timeout: float) -> dict[str, Any]:
    """qemu-img's answer, for `check` also when it found faults."""
    argv = [program, *question, "--output=json", "-f", fmt, str(path)]
    limited = ["prlimit", f"--cpu={_CPU_SECONDS}", f"--as={_MEMORY_BYTES}", "--", *argv]
    try:
        process = await asyncio.create_subprocess_exec(
            *limited,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise BrokenImage(f"{path} cannot be examined: {error.filename} is not installed") from error
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise BrokenImage(
            f"{path} cannot be examined within {timeout:.0f} s; it is damaged or hostile"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
    if process.returncode not in _ANSWERS[question[0]] or len(out) > _MAX_OUTPUT:
        said = err.decode(errors="replace").strip().splitlines()
        raise BrokenImage(
            f"{path} is not a valid {fmt} image: {said[-1][:300] if said else 'no reason given'}"
        )
    try:
        info = json.loads(out)
    except ValueError as error:
        raise BrokenImage(f"{path}: qemu-img {question[0]} gave no JSON") from error
    if not isinstance(info, dict):
        raise BrokenImage(f"{path}: qemu-img {question[0]} gave no object")
    return info
