"""Was a container killed for lack of memory? Asked of the kernel while its control group still exists.

The runtime removes the group when the container ends, so on v1 an eventfd is armed at start: the kernel
signals it at every out-of-memory event and once more when the group goes away. On v2 the pod's group counts
for its children and is simply read.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgevirt.engine.kubelet.cgroups import Hierarchies, PodCgroup


class OomWatch:
    """For one run of a container in group `child` of `group`."""

    def __init__(self, hierarchies: Hierarchies, group: PodCgroup, child: str) -> None:
        self._group = group
        self._child = child
        self._v2 = hierarchies.v2
        self._before = group.oom_kills("") if self._v2 else 0
        self._fd: int | None = None
        memory = hierarchies.controllers.get("memory")
        if memory is not None:
            self._arm(memory / group.container_path(child).lstrip("/"))

    def _arm(self, directory: Path) -> None:
        with contextlib.suppress(OSError):  # the container has ended already
            control = os.open(directory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            try:
                (directory / "cgroup.event_control").write_text(f"{self._fd} {control}")
            except OSError:
                os.close(self._fd)
                self._fd = None
                raise
            finally:
                os.close(control)

    def killed(self) -> bool:
        """Ask once, when the container has ended; releases the watch."""
        if self._v2:
            return self._group.oom_kills("") > self._before
        if self._fd is None:
            return False
        fd, self._fd = self._fd, None
        gone = self._group.oom_kills(self._child)
        try:
            signals = os.eventfd_read(fd)
        except BlockingIOError:
            signals = 0
        finally:
            os.close(fd)
        return gone > 0 or signals > 1
