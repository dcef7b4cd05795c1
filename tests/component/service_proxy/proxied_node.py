"""Run inside a network namespace: an API server on its loopback, controllers, and the service proxy.

Arguments: a directory and a name for the bridge. Prints `ready` when the rules are loaded and `loaded N` with
every later rule set. Each line on its input is an object (JSON) to create, or `delete NAME` for a service.
Ends, and tears down, at the end of its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from edgevirt.api.resources import ENDPOINT_SLICES, SERVICES
from edgevirt.engine import service_proxy
from edgevirt.engine.apiserver import server as api_server
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.engine.service_proxy.proxy import ServiceProxy
from edgevirt.kube import kubeconfig
from edgevirt.kube.client import Client

PORT = 6443
ADVERTISED = "10.199.8.1"
RESOURCES = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}


class Watched(ServiceProxy):
    """Tells when a rule set was loaded."""

    loads = 0

    async def _load(self) -> None:
        await super()._load()
        type(self).loads += 1
        say(f"loaded {self.loads}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(base: Path, bridge: str) -> None:
    pki = base / "pki"
    ca = Authority.load_or_create(pki)
    (pki / "ca.pem").write_bytes(ca.cert_pem)
    serving = write_leaf(pki, "api", ca.issue("api", ips=["127.0.0.1"], server=True))
    settings = api_server.Settings(
        data_dir=base / "data",
        address="127.0.0.1",
        port=PORT,
        certificate=serving[0],
        key=serving[1],
        client_ca=pki / "ca.pem",
        token_key_dir=pki,
        advertise_address=ADVERTISED,
    )
    for name, leaf in (
        ("admin", ca.issue("admin", groups=["system:masters"], client=True)),
        ("proxy", ca.issue("system:kube-proxy", client=True)),
    ):
        server = f"https://127.0.0.1:{PORT}"
        kubeconfig.write(base / f"{name}.conf", server, ca.cert_pem, leaf.cert_pem, leaf.key_pem)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving_task = group.create_task(api_server.run(settings, started))
        await started.wait()
        async with (
            Client.from_kubeconfig(base / "admin.conf", user_agent="test") as admin,
            Client.from_kubeconfig(base / "proxy.conf", user_agent="kube-proxy") as client,
        ):
            ready = asyncio.Event()
            place = service_proxy.Settings(
                kubeconfig=base / "proxy.conf",
                bridge=bridge,
                pod_subnet="10.199.7.0/24",
                service_subnet="10.96.0.0/12",
                node="box",
                api_server=("127.0.0.1", PORT),
            )
            proxy = group.create_task(Watched(client, place).run(ready))
            await ready.wait()
            say("ready")
            await obey(admin)
            proxy.cancel()
            await asyncio.gather(proxy, return_exceptions=True)
        serving_task.cancel()
    service_proxy.tear_down(bridge)


async def obey(admin: Client) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        if line.startswith("delete "):
            await admin.delete(SERVICES, line.split()[1], namespace="default")
        else:
            document: dict[str, Any] = json.loads(line)
            resource: Any = RESOURCES[document["kind"]]
            await admin.create(resource, document, namespace="default")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
