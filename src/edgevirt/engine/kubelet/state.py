"""What the kubelet remembers of a pod on disk, enough to take it over after being killed at any point.

One `state.json` per pod, replaced atomically. A container's process is recorded before the container
starts; its exit code is in the file the shim writes, not here. Records of another boot are void.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet.processes import Process

FILE = "state.json"


class ExitRecord(msgspec.Struct, omit_defaults=True):
    """How a run of a container ended. Times are Unix times."""

    code: int
    reason: str
    message: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    container_id: str = ""
    signal: int = 0


class ContainerRecord(msgspec.Struct, omit_defaults=True):
    """`attempt` counts runs from 1; 0 means never started. `exit` is set when the current run has ended."""

    attempt: int = 0
    container_id: str = ""
    shim_pid: int = 0
    shim_start: int = 0
    started_at: float = 0.0
    image: str = ""
    image_id: str = ""
    stop_signal: str = ""
    exit: ExitRecord | None = None
    last_exit: ExitRecord | None = None
    quick_failures: int = 0

    @property
    def shim(self) -> Process | None:
        return Process(self.shim_pid, self.shim_start) if self.shim_pid else None

    @property
    def running(self) -> bool:
        return self.attempt > 0 and self.exit is None


class PodRecord(msgspec.Struct, omit_defaults=True):
    """`pod` is the object as last seen, for a pod that vanishes from the API while no kubelet runs."""

    pod: Pod
    boot_id: str
    sandbox: bool = False
    addresses: tuple[str, ...] = ()
    started_at: float = 0.0
    containers: dict[str, ContainerRecord] = msgspec.field(default_factory=dict)
    failure: str = ""
    failure_message: str = ""

    def container(self, name: str) -> ContainerRecord:
        """The record of container `name`, made if there is none."""
        return self.containers.setdefault(name, ContainerRecord())


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PodRecord)


def save(directory: Path, record: PodRecord) -> None:
    """Replace the record in the pod's directory.

    Not synced: whoever could see an older record after a power loss finds no process of that boot either.
    """
    temporary = directory / f".{FILE}.tmp"
    temporary.write_bytes(_encoder.encode(record))
    os.replace(temporary, directory / FILE)


def load(directory: Path) -> PodRecord | None:
    """The record, or None when there is none that can be read (killed before the first, or power loss)."""
    try:
        return _decoder.decode((directory / FILE).read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
