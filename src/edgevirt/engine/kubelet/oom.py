"""Was a container killed for lack of memory? The kernel is asked in a way that survives its control group.

The runtime removes the container's group when the container ends. On v1 an eventfd therefore watches the
level above, which is ours and the one that has the limit; on v2 the pod's group counts for all below it.
"""

from __future__ import annotations

import contextlib
import os

from edgevirt.engine.kubelet.cgroups import PodCgroup


class OomWatch:
    """For one run of a container in `child` of `group`, whose group has been created."""

    def __init__(self, group: PodCgroup, child: str) -> None:
        self._group = group
        self._before = group.oom_kills()
        self._fd: int | None = None
        directory = group.memory_directory(child)
        if directory is None:
            return
        with contextlib.suppress(OSError):  # no limit, no group
            control = os.open(directory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            try:
                (directory / "cgroup.event_control").write_text(f"{fd} {control}")
                self._fd = fd
            except OSError:
                os.close(fd)
                raise
            finally:
                os.close(control)

    def killed(self) -> bool:
        """Whether it happened; to be asked when the container has ended. Releases the watch."""
        if self._group.oom_kills() > self._before:
            self.close()
            return True
        if self._fd is None:
            return False
        fd, self._fd = self._fd, None
        try:
            return os.eventfd_read(fd) > 0
        except BlockingIOError:
            return False
        finally:
            os.close(fd)

    def close(self) -> None:
        """Release the watch without asking. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
