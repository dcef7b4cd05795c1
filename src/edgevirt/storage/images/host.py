"""The host image: a container image that is this machine's own root file system.

Nothing is copied: the root is a read-only overlay of a small layer above `/`. Only the root file system
itself is visible that way, no mount below it, so whatever a container needs from another mount is named in
`binds`, and what a container must never see on the root is named in `masks` (an empty read-only tmpfs).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class HostImage:
    """`layer` lies above `/`; `masks` and `binds` are absolute paths in the container.

    `binds` maps a path of the host to the path in the container where it appears, read-only. `user` is the
    only user and group that may run on it, and must own nothing on the machine; None lets everybody.
    """

    layer: Path
    masks: tuple[str, ...] = ("/root", "/home")
    binds: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    user: int | None = None
