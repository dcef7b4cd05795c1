"""What a piece of load costs: processor time of the server's processes and of the client, memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import process
from bench.metric import Metric


class Cost:
    """Counts from its making on. Without pids the server's lines are left out: it may run elsewhere."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._server = self._server_seconds()
        self._client = time.process_time()
        self._begun = time.perf_counter()

    def _server_seconds(self) -> float:
        return sum(process.cpu_seconds(pid) for pid in self._pids)

    def metrics(self, name: str, requests: int) -> Iterator[Metric]:
        """Processor milliseconds per request, and how much of a core the client took itself."""
        elapsed = time.perf_counter() - self._begun
        if self._pids and requests:
            spent = self._server_seconds() - self._server
            yield Metric(f"{name}.server-cpu", 1000 * spent / requests, "ms")
        yield Metric(f"{name}.client-cpu", 100 * (time.process_time() - self._client) / elapsed, "%")


def memory(name: str, pids: tuple[int, ...]) -> Iterator[Metric]:
    """PSS of the server's processes together."""
    if pids:
        yield Metric(name, sum(process.pss_mib(pid) for pid in pids), "MiB")
