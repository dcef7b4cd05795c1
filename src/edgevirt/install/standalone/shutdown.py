"""Emptying the node before `edgevirt down`: cordon it, end its pods gracefully, wait until they are gone.

Machines keep their objects, so those with run strategy Always come back with the next `edgevirt up`, which
lifts the cordon that was set here (and no other).
"""

from __future__ import annotations

import asyncio

from edgevirt.api.resources import NODES, PODS
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.watch import EventType

CORDONED_BY_DOWN = "edgevirt.io/cordoned-by-down"


async def drain(client: Client, node: str, timeout: float) -> list[str]:
    """End all pods of `node`. Returns the names of those still there after `timeout` seconds.

    Every pod gets its own termination grace period; guests are shut down by ACPI within it.
    """
    await _cordon(client, node)
    selector = f"spec.nodeName={node}"
    listed = await client.list(PODS, field_selector=selector)
    left = {pod.metadata.uid: f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in listed.items}
    for pod in listed.items:
        try:
            await client.delete(
                PODS, pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid
            )
        except (errors.NotFound, errors.Conflict):
            left.pop(pod.metadata.uid, None)
    try:
        async with asyncio.timeout(timeout):
            await _until_gone(client, selector, listed.resource_version, left)
    except TimeoutError:
        pass
    return sorted(left.values())


async def _until_gone(client: Client, selector: str, version: str, left: dict[str, str]) -> None:
    while left:
        async for event in client.watch(PODS, resource_version=version, field_selector=selector):
            version = event.resource_version or version
            if event.type is EventType.DELETED and event.object is not None:
                left.pop(event.object.metadata.uid, None)
            if not left:
                return


async def _cordon(client: Client, node: str) -> None:
    try:
        seen = await client.get(NODES, node)
    except errors.NotFound:
        return
    if seen.spec is not None and seen.spec.unschedulable:
        return
    patch = {"metadata": {"annotations": {CORDONED_BY_DOWN: "true"}}, "spec": {"unschedulable": True}}
    await client.patch(NODES, node, patch)


async def uncordon(client: Client, node: str) -> None:
    """Lift the cordon that `drain` set; one that somebody else set stays."""
    try:
        seen = await client.get(NODES, node)
    except errors.NotFound:
        return
    if CORDONED_BY_DOWN in seen.metadata.annotations:
        patch = {"metadata": {"annotations": {CORDONED_BY_DOWN: None}}, "spec": {"unschedulable": None}}
        await client.patch(NODES, node, patch)
