"""Who we are to the API server, kept current while certificates and tokens are renewed on disk.

At most once a second the modification times of the kubeconfig and of the files it names are compared; on a
change everything is loaded again, and connections made from then on use it. A half-finished renewal (new
certificate beside the old key) fails to load: the previous identity stays in use and the next check retries.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from edgevirt.kube import exec_plugin, tls
from edgevirt.kube.clock import Clock
from edgevirt.kube.errors import ConfigError
from edgevirt.kube.exec_plugin import ExecCredential
from edgevirt.kube.kubeconfig import KubeConfig

log = logging.getLogger("edgevirt.kube.credentials")

CHECK_INTERVAL = 1.0
EXPIRY_MARGIN = 10.0

_Fingerprint = tuple[tuple[str, int, int, int], ...]


class Credentials:
    """`load` returns the present configuration; `path` is the file it comes from, if any."""

    def __init__(self, load: Callable[[], KubeConfig], path: Path | None, clock: Clock) -> None:
        self._load = load
        self._path = path
        self._clock = clock
        self.config = load()
        self._fingerprint = self._take_fingerprint()
        self._checked = clock.monotonic()
        self._context = self._build_context()
        self._token = self._read_token()
        self._exec: ExecCredential | None = None
        self._exec_lock = asyncio.Lock()

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """What aiohttp's `ssl` argument takes; the same object until the identity is renewed."""
        self._refresh()
        return True if self._context is None else self._context

    async def headers(self) -> list[tuple[str, str]]:
        """Headers that authenticate a request; a name may repeat.

        Runs the exec plug-in if its credential is missing or about to expire. Raises ConfigError if it fails.
        """
        self._refresh()
        config = self.config
        headers: list[tuple[str, str]] = []
        token = self._token
        if config.exec is not None:
            token = (await self._exec_credential()).token or token
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        elif config.username:
            pair = f"{config.username}:{config.password}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
        if config.impersonate_user:
            headers.append(("Impersonate-User", config.impersonate_user))
            headers.extend(("Impersonate-Group", group) for group in config.impersonate_groups)
        return headers

    def reject(self) -> bool:
        """The server answered 401: forget what can be obtained anew. True if a retry makes sense."""
        self._checked = float("-inf")
        had_exec, self._exec = self._exec is not None, None
        before = self._token
        self._refresh()
        return had_exec or before != self._token

    async def _exec_credential(self) -> ExecCredential:
        async with self._exec_lock:
            known = self._exec
            if known is not None and (
                known.expires is None or (known.expires - self._clock.now()).total_seconds() > EXPIRY_MARGIN
            ):
                return known
            fresh = await exec_plugin.obtain(self.config)
            if fresh.cert and (known is None or known.cert != fresh.cert):
                self._context = tls.client_context(self.config, fresh.cert, fresh.key)
            self._exec = fresh
            return fresh

    def _refresh(self) -> None:
        now = self._clock.monotonic()
        if now - self._checked < CHECK_INTERVAL:
            return
        self._checked = now
        fingerprint = self._take_fingerprint()
        if fingerprint == self._fingerprint:
            return
        previous = self.config
        try:
            self.config = self._load()
            context, token = self._build_context(), self._read_token()
        except ConfigError as error:
            self.config = previous
            log.warning(
                "renewed credentials cannot be used yet, keeping the old ones", extra={"error": str(error)}
            )
            return
        self._context, self._token = context, token
        self._fingerprint = fingerprint
        self._exec = None
        log.info("credentials reloaded", extra={"server": self.config.server})

    def _build_context(self) -> ssl.SSLContext | None:
        return tls.client_context(self.config) if self.config.server.startswith("https://") else None

    def _read_token(self) -> str:
        if self.config.token_file is None:
            return self.config.token
        try:
            return self.config.token_file.read_text().strip()
        except OSError as error:
            raise ConfigError(
                f"cannot read the token file {self.config.token_file}: {error.strerror}"
            ) from error

    def _take_fingerprint(self) -> _Fingerprint:
        paths = self.config.files if self._path is None else (self._path, *self.config.files)
        marks = []
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                marks.append((str(path), 0, 0, 0))
            else:
                marks.append((str(path), status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(marks)
