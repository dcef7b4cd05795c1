"""The box's certificates while it runs: written at the start, and again long before they end.

Whoever uses them notices by itself: clients and virt-api, virt-handler and the kubelet by the files, the API
server because it is told. A disk that is full when the time has come costs nothing for another ten days; it
is tried again every ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from edgevirt.engine.pki.authority import LEAF_LIFETIME, utc_now
from edgevirt.engine.pki.renewal import keep_fresh, until_wall_time_or_clock_set
from edgevirt.install.standalone.config import Config
from edgevirt.install.standalone.identities import Issued, issuer
from edgevirt.install.standalone.layout import Layout
from edgevirt.kube.clock import Clock, SystemClock

RETRY_SECONDS = 600.0

log = logging.getLogger("edgevirt.control_plane")


async def keep_identities_fresh(
    layout: Layout,
    config: Config,
    written: asyncio.Event,
    renewed: asyncio.Event,
    *,
    lifetime: timedelta = LEAF_LIFETIME,
    wait: Callable[[datetime], Awaitable[None]] = until_wall_time_or_clock_set,
    now: Callable[[], datetime] = utc_now,
    clock: Clock | None = None,
) -> None:
    """Issue and write everything, set `written`; then do so again in time, setting `renewed` each time.

    Never returns. Raises PkiError and OSError for the first issue only.
    """
    pause = clock or SystemClock()

    async def put(issued: Issued) -> None:
        while True:
            try:
                await asyncio.to_thread(issued.write, layout)
                break
            except OSError as error:
                if not written.is_set():
                    raise
                log.error(
                    "renewed certificates cannot be written, trying again",
                    extra={"error": str(error), "valid_until": issued.not_after.isoformat()},
                )
            await pause.sleep(RETRY_SECONDS)
        if written.is_set():
            log.info("certificates renewed", extra={"valid_until": issued.not_after.isoformat()})
            renewed.set()
        written.set()

    await keep_fresh(issuer(layout, config, lifetime), put, clock=now, wait=wait)
