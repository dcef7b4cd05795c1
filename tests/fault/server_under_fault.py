"""The API server (and, if wanted, the controllers) as a process of its own, to be killed. Run by
`ServerProcess`.

The one argument is a JSON document, see `Options` in `server_process`. Says "ready <port>" on standard
output; a failpoint given is armed from then on. Everything is as in production (uvloop, TLS, SQLite file)
but for the limits the options set.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import sys
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "component" / "apiserver"))

from api_server_under_test import TOKENS

from edgevirt.engine import controllers, failpoints
from edgevirt.engine.apiserver import server as apiserver
from edgevirt.engine.apiserver.durability import VOLATILE_COLLECTIONS
from edgevirt.engine.apiserver.http import request_body
from edgevirt.engine.apiserver.http.connections import ConnectionLimits
from edgevirt.engine.apiserver.reading import watch
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.store.database import Limits
from edgevirt.engine.store.store import StoreSettings

_CONTROLLERS = UserInfo("system:kube-controller-manager", groups=("system:masters", "system:authenticated"))


def settings(options: dict[str, Any]) -> apiserver.Settings:
    directory = Path(options["directory"])
    certificate, key, authority = (directory / name for name in ("tls.crt", "tls.key", "ca.crt"))
    return apiserver.Settings(
        data_dir=directory / "data",
        address="127.0.0.1",
        port=options["port"],
        certificate=certificate,
        key=key,
        client_ca=authority,
        front_proxy_ca=authority,
        front_proxy_certificate=certificate,
        front_proxy_key=key,
        static_tokens={**TOKENS, "controllers": _CONTROLLERS},
        store=StoreSettings(
            limits=Limits(**options["limits"]),
            volatile_collections=VOLATILE_COLLECTIONS,
            **options["store"],
        ),
        connections=ConnectionLimits(**options["connections"]),
    )


def kubeconfig(directory: Path, port: int) -> Path:
    """For the controllers."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority": str(directory / "ca.crt"),
                },
            }
        ],
        "users": [{"name": "c", "user": {"token": "controllers"}}],
    }
    path = directory / "controllers.kubeconfig"
    path.write_text(json.dumps(document))
    return path


async def main(options: dict[str, Any]) -> None:
    directory = Path(options["directory"])
    watch.BOOKMARK_SECONDS = options["bookmark_seconds"]
    request_body._BODY_SECONDS = options["body_seconds"]
    server = apiserver.ApiServer(settings(options))
    await server.open()
    try:
        await server.listen()
        async with asyncio.TaskGroup() as tasks:
            server.work(tasks)
            # Armed before the controllers start: some points lie in what they do first after a crash.
            if options["failpoint"]:
                failpoints.arm(options["failpoint"], options["times"])
            if options["controllers"]:
                config = controllers.Settings(kubeconfig(directory, server.port), directory / "ca.crt")
                started = asyncio.Event()
                tasks.create_task(controllers.run(config, started))
                await started.wait()
            gc.freeze()
            print(f"ready {server.port}", flush=True)
    finally:
        await server.close()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    logging.basicConfig(filename=Path(given["directory"]) / "server.log", level=logging.WARNING)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(main(given))
