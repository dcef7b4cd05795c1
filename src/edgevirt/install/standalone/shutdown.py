"""Emptying the node before `edgevirt down`: cordon it, end its pods gracefully, wait until they are gone.

Machines keep their objects, so those with run strategy Always come back with the next `edgevirt up`, which
lifts the cordon that was set here (and no other).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from edgevirt.api.core import Pod
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
    told: set[str] = set()
    left: dict[str, str] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while True:
                # Listed again after each watch: a pod may have been bound just before the cordon was seen.
                listed = await client.list(PODS, field_selector=selector)
                left = {each.metadata.uid: _full_name(each) for each in listed.items}
                if not left:
                    break
                await _delete(client, [pod for pod in listed.items if pod.metadata.uid not in told])
                told |= left.keys()
                with contextlib.suppress(errors.Expired):
                    await _until_gone(client, selector, listed.resource_version, left)
    return sorted(left.values())


def _full_name(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


async def _delete(client: Client, pods: Iterable[Pod]) -> None:
    for pod in pods:
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await client.delete(
                PODS, pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid
            )


async def _until_gone(client: Client, selector: str, version: str, left: dict[str, str]) -> None:
    """Take out of `left` what is deleted, until it is empty or the watch ends."""
    async with contextlib.aclosing(
        client.watch(PODS, resource_version=version, field_selector=selector)
    ) as watch:
        async for event in watch:
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
