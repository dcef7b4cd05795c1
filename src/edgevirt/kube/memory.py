"""What a process does about its heap beyond allocating and freeing.

After the first sync nearly everything on the heap stays for the life of the process; a full collection would
walk all of it again and again (80 ms per 2,000 objects). A process calls `freeze_heap` once, when its
informers have synced. Objects frozen are still freed by reference count.

The C library keeps what was freed amid memory still in use: after a burst of writes tens of megabytes of
whole free pages. Only `malloc_trim` gives those back. It takes some milliseconds and the pages have to be
faulted in again when they are needed, so it follows a burst (`Trim`) instead of accompanying it.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

from edgevirt.kube.clock import Clock, SystemClock, Timer

AFTER_SECONDS = 5.0


def freeze_heap() -> int:
    """Collect what is garbage now and exempt the rest from later collections; returns how many objects."""
    gc.collect()
    gc.freeze()
    trim_heap()
    return gc.get_freeze_count()


def _find_trim() -> Callable[[int], object]:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # not glibc: its allocator is nothing we know about
        return lambda pad: None
    return found


_malloc_trim = _find_trim()


def trim_heap() -> None:
    """Return whole free pages of the C heap to the system."""
    _malloc_trim(0)


class Trim:
    """Trims the heap once, some time after `ask`; asking again meanwhile changes nothing."""

    def __init__(self, clock: Clock | None = None, trim: Callable[[], None] = trim_heap) -> None:
        self._clock = clock or SystemClock()
        self._trim = trim
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Much was freed just now. Called on the event loop."""
        if self._timer is None:
            self._timer = self._clock.call_later(AFTER_SECONDS, self._run)

    def _run(self) -> None:
        self._timer = None
        self._trim()

    def close(self) -> None:
        """Nothing is trimmed any more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
