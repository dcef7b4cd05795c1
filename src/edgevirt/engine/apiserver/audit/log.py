"""The file the audit log is written to: by one thread, turned over by size, a number of old files kept.

`offer` never blocks. What waits for the thread is bounded in bytes; beyond that, and while the disk takes
nothing, events are dropped and counted, because a server that stops serving when its audit log is full would
be at the mercy of whoever can fill it. Old files get the time of their turn in the name, as with a
kube-apiserver. Lines are handed to the kernel, not synced: losing power may lose the last ones.
"""

from __future__ import annotations

import datetime
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgevirt.engine.apiserver.audit.events import Exchange, line

_log = logging.getLogger("edgevirt.engine.apiserver")

MAX_WAITING_BYTES = 16 * 1024 * 1024
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`max_bytes` of one file before it is turned over; `backups` old files are kept."""

    path: Path
    max_bytes: int = 100 * 1024 * 1024
    backups: int = 5


class AuditLog:
    """`start` it once, `offer` events from the event loop, in the end `close`."""

    def __init__(self, settings: LogSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._waiting: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._file = -1
        self._size = 0
        self._failing = False
        self.written = 0
        self.dropped = 0

    def start(self) -> None:
        """Opens the file and starts the thread. Raises OSError."""
        self._settings.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open()
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    def offer(self, exchange: Exchange) -> bool:
        """Hands an event to the thread. False if it was dropped because too much waits."""
        size = exchange.size
        with self._lock:
            if self._waiting_bytes + size > MAX_WAITING_BYTES:
                self.dropped += 1
                return False
            self._waiting_bytes += size
        self._waiting.put(exchange)
        return True

    def close(self) -> None:
        """Writes what waits, within a deadline, and closes the file. Blocks; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while (exchange := self._waiting.get()) is not None:
            with self._lock:
                self._waiting_bytes -= exchange.size
            self._write(exchange)
        os.close(self._file)

    def _write(self, exchange: Exchange) -> None:
        try:
            data = line(exchange)
            if self._size and self._size + len(data) > self._settings.max_bytes:
                self._turn_over()
            while data:
                written = os.write(self._file, data)
                self._size += written
                data = data[written:]
        except (
            Exception
        ) as error:  # whatever it is, the thread must live: without it nothing is written any more
            self.dropped += 1
            if not self._failing:
                _log.error("the audit log cannot be written: %s", error, extra={"path": self._settings.path})
            self._failing = True
        else:
            self.written += 1
            self._failing = False

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._settings.path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def _turn_over(self) -> None:
        path = self._settings.path
        moment = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        stamp = moment.strftime("%Y-%m-%dT%H-%M-%S.%f")
        path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        os.close(self._file)
        self._open()
        old = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
        for outdated in old[: max(0, len(old) - self._settings.backups)]:
            outdated.unlink(missing_ok=True)
