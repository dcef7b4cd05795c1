"""SQLite's write-ahead log file as a file: is what lies in it a crash's remains, or is it damaged?

SQLite reads the log up to the first frame whose checksum fails and forgets the rest without a word. After a
crash the rest is at most the one transaction that was being written, because each is synced before the next
begins, and leftovers of transactions that failed. Each frame's checksum carries on that of the frame before:
two complete transactions in a row behind a bad frame can only be acknowledged writes that a bad disk has cut
off. The layout is documented in SQLite's file format, section 4.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
"""Plus one if checksums are made of big-endian words."""
_WORD = 0xFFFFFFFF


def transactions_cut_off(path: Path) -> int:
    """How many complete transactions in a row lie behind a bad frame; 0 for what a crash may leave."""
    try:
        with path.open("rb") as file:
            return _cut_off(file)
    except FileNotFoundError:
        return 0


def _cut_off(file: BinaryIO) -> int:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return 0
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack(header)
    words = struct.Struct(">II" if magic & 1 else "<II")
    sums = _add((0, 0), header[:24], words)
    if magic & ~1 != _MAGIC or sums != (first, second):
        return 0  # the log was about to be started over: nothing in it counts
    behind, commits, most = False, 0, 0
    while len(frame := file.read(_FRAME.size + page_size)) == _FRAME.size + page_size:
        _, size_after_commit, *frame_salts, first, second = _FRAME.unpack_from(frame)
        sums = _add(_add(sums, frame[:8], words), frame[_FRAME.size :], words)
        if frame_salts != salts or sums != (first, second):
            behind, commits = True, 0
        if behind and frame_salts == salts:
            commits += size_after_commit > 0
            most = max(most, commits)
        sums = first, second
    return most if most > 1 else 0


def _add(sums: tuple[int, int], data: bytes, words: struct.Struct) -> tuple[int, int]:
    """SQLite's checksum of a log, carried on over `data`."""
    one, other = sums
    for left, right in words.iter_unpack(data):
        one = (one + left + other) & _WORD
        other = (other + right + one) & _WORD
    return one, other
