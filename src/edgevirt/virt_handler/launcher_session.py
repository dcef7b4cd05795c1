"""The lasting relation to the launcher of one pod: connect, subscribe, keep the newest status, reconnect.

The socket may not be there yet; its appearance is awaited, not polled. A session knows since when it has been
without connection, so that whoever decides can give up; it never gives up by itself. It touches the guest in
no way: a node agent that ends and starts again finds everything as it left it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from edgevirt.api.launcher import SOCKET_NAME, DomainStatus, Event
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.clock import Clock
from edgevirt.virt_handler import guest_data
from edgevirt.virt_handler.appearance import once_present
from edgevirt.virt_handler.launcher_client import (
    IncompatibleLauncher,
    LauncherClient,
    LauncherRefused,
    LauncherUnavailable,
    ProtocolViolation,
)
from edgevirt.virt_handler.safe_open import UnsafePath, connect

EMPTY_DIRS = "volumes/kubernetes.io~empty-dir"
_RETRY = BackoffPolicy(base=0.1, factor=2.0, cap=5.0, jitter=0.2)

_log = logging.getLogger("edgevirt.virt_handler")


@dataclass(frozen=True, slots=True)
class Target:
    """Whose launcher: the pod, and the VMI that owns it."""

    pods_dir: str
    pod_uid: str
    vmi_uid: str
    vmi: str  # namespace/name, for logs

    @property
    def socket(self) -> str:
        """Path of the launcher's socket below `pods_dir`."""
        return f"{self.pod_uid}/{EMPTY_DIRS}/sockets/{SOCKET_NAME}"


class LauncherSession:
    """Keeps one launcher connected while `run` runs.

    `changed` is called, on the loop, whenever `status`, `connected` or `fault` has changed; `event` gets the
    Kubernetes events the launcher wants recorded on its VMI.
    """

    def __init__(
        self,
        target: Target,
        clock: Clock,
        changed: Callable[[], None],
        event: Callable[[Event], None],
        request_timeout: float = 10.0,
    ) -> None:
        self.target = target
        self.status: DomainStatus | None = None
        self.lost_since: float | None = clock.monotonic()
        self.fault = ""
        self.incompatible = False
        self._clock = clock
        self._changed = changed
        self._event = event
        self._timeout = request_timeout
        self._client: LauncherClient | None = None
        self._backoff = Backoff(_RETRY)

    @property
    def client(self) -> LauncherClient:
        """The connection. Raises LauncherUnavailable while there is none."""
        if self._client is None:
            raise LauncherUnavailable(self.fault or "the launcher has not been reached yet")
        return self._client

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                await self._converse(await self._dial())
            except (LauncherUnavailable, LauncherRefused, UnsafePath, OSError) as error:
                self._lose(error)
            except Exception as error:
                # Whatever a launcher sends must not end more than its own session.
                _log.exception("A launcher session failed unexpectedly", extra={"vmi": self.target.vmi})
                self._lose(error)
            await self._clock.sleep(self._backoff.next())

    async def _dial(self) -> socket.socket:
        target = self.target
        return await once_present(
            target.pods_dir, target.socket, lambda: connect(target.pods_dir, target.socket)
        )

    async def _converse(self, connection: socket.socket) -> None:
        client = LauncherClient(connection, self._take, self._hand_on)
        await client.open()
        receiving = asyncio.create_task(client.run(), name=f"launcher-{self.target.pod_uid}")
        try:
            await client.hello(self._timeout)
            await client.subscribe(self._timeout)
            self._client, self.lost_since, self.fault, self.incompatible = client, None, "", False
            self._backoff.reset()
            _log.info("Connected to launcher", extra={"vmi": self.target.vmi, "pod_uid": self.target.pod_uid})
            self._changed()
            await receiving
        finally:
            self._client = None
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    def _lose(self, error: Exception) -> None:
        if self.lost_since is None:
            self.lost_since = self._clock.monotonic()
        self.incompatible = isinstance(error, IncompatibleLauncher)
        fault = str(error)
        if fault != self.fault:
            about = {"vmi": self.target.vmi, "pod_uid": self.target.pod_uid, "error": fault}
            _log.warning("No connection to launcher", extra=about)
        self.fault = fault
        self._changed()

    def _take(self, status: DomainStatus) -> None:
        if status.uid and status.uid != self.target.vmi_uid:
            raise ProtocolViolation("the launcher reports about another VM")
        bounded = guest_data.bounded(status)
        if bounded != self.status:
            self.status = bounded
            if self._client is not None:
                self._changed()

    def _hand_on(self, event: Event) -> None:
        if event.kind == "KubeEvent":
            self._event(guest_data.bounded_event(event))
