"""What holds for every ring: no test leaves a mount behind in its temporary directory.

Some tests mount overlays of the machine's own root. Whoever cleans temporary directories later would walk
into such a mount, so what a test left (a killed process, a failed assertion) is unmounted when it ends.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_MNT_DETACH = 2


@pytest.fixture(autouse=True)
def _nothing_stays_mounted(request: pytest.FixtureRequest) -> Iterator[None]:
    directory = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if directory is not None:
        unmount_below(directory)


def pytest_unconfigure(config: pytest.Config) -> None:
    factory = getattr(config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if base is not None:
        unmount_below(base)


def unmount_below(directory: Path) -> None:
    """Detach every mount at or below `directory`, the newest first."""
    prefix = os.path.realpath(directory)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    libc = ctypes.CDLL(None, use_errno=True)
    for point in reversed(points):
        if point == prefix or point.startswith(prefix + "/"):
            libc.umount2(point.encode(), _MNT_DETACH)
