"""The service proxy: cluster addresses and node ports that really answer, by nftables on the node.

Services and EndpointSlices are followed; every change becomes one new rule set, loaded in one transaction.
Pods, guests and the node itself reach a service the same way. The rules outlive the process, so connections
do not notice its restart, and `tear_down` removes them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path

log = logging.getLogger("edgevirt.engine.service_proxy")

__all__ = ["Settings", "run", "tear_down"]


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """`kubeconfig` identifies us as `system:kube-proxy`.

    bridge: the bridge the pods are connected to; it names our table, so instances do not meet.
    pod_subnet, service_subnet: IPv4 networks of pods and of cluster addresses.
    node: name of the node, for services that keep traffic on it.
    api_server: address and port where the API server of this box listens, if that is a loopback address:
        what is sent to its published endpoint goes there instead.
    pods_dir: the kubelet's directory of pods. A proxy that ends when it is empty takes its rules with it;
        otherwise they stay, for connections that outlive the process.
    """

    kubeconfig: Path
    bridge: str
    pod_subnet: str
    service_subnet: str
    node: str
    api_server: tuple[str, int] | None = None
    pods_dir: Path | None = None


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Work until cancelled; `started` is set when the rules are loaded for the first time."""
    from edgevirt.engine.service_proxy.proxy import ServiceProxy
    from edgevirt.kube.client import Client

    async with Client.from_kubeconfig(settings.kubeconfig, user_agent="kube-proxy") as client:
        try:
            await ServiceProxy(client, settings).run(started)
        finally:
            if settings.pods_dir is not None and not any(settings.pods_dir.glob("*")):
                _leave(settings.bridge)


def _leave(bridge: str) -> None:
    from edgevirt.linux.nft import NftError

    try:
        tear_down(bridge)
    except NftError as error:
        log.warning("the rules of services could not be removed", extra={"error": str(error)})


def tear_down(bridge: str) -> None:
    """Remove everything from the node. Blocks; raises `edgevirt.linux.nft.NftError`."""
    from edgevirt.engine.service_proxy import rules
    from edgevirt.linux import nft

    nft.load(rules.removal(bridge))
