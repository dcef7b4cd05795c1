"""A guest that counts seconds, on its console and to a listener on the host, whatever happens around it."""

from __future__ import annotations

import http.server
import queue
import socket
import threading
import time
from types import TracebackType

from live_machines import Object, script

_IP_FREEBIND = 15  # linux/in.h; Python has no name for it


def count_script(url: str) -> Object:
    """User data of a guest that asks `url`/N/UPTIME every second and prints the same on its console."""
    return script(
        "(n=0; while :; do n=$((n+1)); read up rest < /proc/uptime\n"
        'echo "COUNT $n $up" > /dev/console\n'
        f"wget -q -O /dev/null {url}/$n/$up\n"
        "sleep 1; done) < /dev/null > /dev/null 2>&1 &"
    )


class Listener:
    """Counts that arrive at the host, independent of every process of edgevirt."""

    def __init__(self, address: str) -> None:
        self._arrived: queue.Queue[tuple[int, float]] = queue.Queue()
        self.counts: list[tuple[int, float]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, number, uptime = self.path.split("/")
                self.send_response(200)
                self.end_headers()
                outer._arrived.put((int(number), float(uptime)))

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler, bind_and_activate=False)
        # The address is the bridge's, which comes with the first pod.
        self._server.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://{address}:{self._server.server_port}"

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def until(self, more: int, seconds: float = 60.0) -> None:
        """Wait for `more` counts from now on. Fails unless they go on where the last ones ended: a guest that
        was started anew begins at 1, one that stood still has an uptime that does not match."""
        while not self._arrived.empty():
            self._take(0)
        deadline = time.monotonic() + seconds
        for _ in range(more):
            self._take(max(0.0, deadline - time.monotonic()))

    def _take(self, seconds: float) -> None:
        try:
            number, uptime = self._arrived.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"the guest does not count any more; last: {self.counts[-3:]}") from None
        if self.counts:
            before, was = self.counts[-1]
            assert number == before + 1, f"the guest counted {number} after {before}"
            assert uptime > was, f"the guest was up {uptime} s after {was} s"
        self.counts.append((number, uptime))
