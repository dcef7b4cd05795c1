"""Terminals: their size as clients send it, and setting it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
import termios
from dataclasses import dataclass

_MOST = 4096
_PTS_MAJORS = range(136, 144)


@dataclass(frozen=True, slots=True)
class Size:
    width: int
    height: int


class SizeReader:
    """JSON objects {"Width","Height"}, one after the other, out of any slices of the stream. Pure."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[Size]:
        """The sizes completed by `data`. What is no size is dropped: a terminal works without."""
        self._text += data.decode("utf-8", "replace")
        sizes: list[Size] = []
        while self._text:
            self._text = self._text.lstrip()
            try:
                value, end = json.JSONDecoder().raw_decode(self._text)
            except RecursionError:
                self._text = ""
                break
            except ValueError:
                if len(self._text) > _MOST or not self._text.startswith("{"):
                    self._text = ""
                break
            self._text = self._text[end:]
            size = _size(value)
            if size is not None:
                sizes.append(size)
        return sizes


def _size(value: object) -> Size | None:
    if not isinstance(value, dict):
        return None
    fields = {name.lower(): number for name, number in value.items()}
    width, height = fields.get("width"), fields.get("height")
    if isinstance(width, int) and isinstance(height, int) and 0 < width < 65536 and 0 < height < 65536:
        return Size(width, height)
    return None


def resize_of(pid: int, size: Size) -> bool:
    """Set the size of the terminal a process reads from or writes to; False if it has none.

    The runtime has a terminal of its own between ours and the process's, and may not hand sizes on.
    """
    for number in (0, 1, 2):
        try:
            if _resize(f"/proc/{pid}/fd/{number}", size):
                return True
        except OSError:
            continue
    return False


def _resize(path: str, size: Size) -> bool:
    """Whatever is behind `path` is only opened if it is a terminal: the container chose what to put there."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        device = os.fstat(fd)
        if not stat.S_ISCHR(device.st_mode) or os.major(device.st_rdev) not in _PTS_MAJORS:
            return False
        terminal = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size.height, size.width, 0, 0))
        finally:
            os.close(terminal)
    finally:
        os.close(fd)
    return True
