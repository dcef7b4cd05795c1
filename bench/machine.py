"""The virtual machine that is measured: examples/vm.yaml, stopped without a grace period."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from edgevirt.api.kubevirt import VIRTUAL_MACHINES
from edgevirt.api.resources import PODS
from edgevirt.kube.client import Client
from edgevirt.kube.errors import NotFound

NAMESPACE = "default"
_EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "vm.yaml"
_GONE_SECONDS = 120.0


def manifest(name: str) -> dict[str, Any]:
    """The VM as it is posted."""
    vm: dict[str, Any] = yaml.safe_load(_EXAMPLE.read_text())
    vm["metadata"]["name"] = name
    vm["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    return vm


async def remove(client: Client, names: list[str]) -> None:
    """Delete the VMs and return when they and their pods are gone."""
    for name in names:
        try:
            await client.delete(VIRTUAL_MACHINES, name, namespace=NAMESPACE)
        except NotFound:
            continue
    prefixes = tuple(f"virt-launcher-{name}-" for name in names)
    async with asyncio.timeout(_GONE_SECONDS):
        while True:
            pods = await client.list(PODS, namespace=NAMESPACE)
            machines = await client.list(VIRTUAL_MACHINES, namespace=NAMESPACE)
            left = [p for p in pods.items if p.metadata.name.startswith(prefixes)]
            left += [m for m in machines.items if m.metadata.name in names]  # type: ignore[misc]
            if not left:
                return
            await asyncio.sleep(0.1)
