"""The node agent of the embedded engine: pods of this node as OCI containers.

`Settings`, `DeviceRegistry` and `run` are all that a composition needs.
"""

import asyncio

from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.settings import CniSettings, Settings

__all__ = ["CniSettings", "DeviceRegistry", "Settings", "run"]


async def run(settings: Settings, started: asyncio.Event, devices: DeviceRegistry | None = None) -> None:
    """Be the node until cancelled; see `edgevirt.engine.kubelet.kubelet.run`."""
    from edgevirt.engine.kubelet import kubelet

    await kubelet.run(settings, started, devices or DeviceRegistry())
