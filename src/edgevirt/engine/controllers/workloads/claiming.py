"""Which of the objects a selector finds belong to a controller, which it takes over, which it lets go.

The rules are those of Kubernetes' controller references: an object of another controller is left alone, an
orphan that matches is adopted unless one of the two is being deleted, and an object of ours that does not
match any more is released.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from edgevirt.api.meta import KubeObject, LabelSelector, Resource
from edgevirt.engine.selection import selects
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.informer import Informer
from edgevirt.kube.ownership import controller_of, owner_reference

K = TypeVar("K", bound=KubeObject)


@dataclasses.dataclass(frozen=True, slots=True)
class Claims(Generic[K]):
    owned: tuple[K, ...]
    adopt: tuple[K, ...] = ()
    release: tuple[K, ...] = ()


def plan(owner: KubeObject, selector: LabelSelector | None, candidates: Iterable[K]) -> Claims[K]:
    """`candidates` are objects of the owner's namespace."""
    owned: list[K] = []
    adopt: list[K] = []
    release: list[K] = []
    going = bool(owner.metadata.deletion_timestamp)
    for candidate in candidates:
        reference = controller_of(candidate)
        matches = selects(selector, candidate.metadata.labels)
        if reference is not None:
            if reference.uid != owner.metadata.uid:
                continue
            if matches or going:
                owned.append(candidate)
            else:
                release.append(candidate)
        elif matches and not going and not candidate.metadata.deletion_timestamp:
            adopt.append(candidate)
    return Claims(tuple(owned), tuple(adopt), tuple(release))


async def carry_out(
    client: Client,
    owner: KubeObject,
    owner_resource: Resource[Any],
    resource: Resource[K],
    informer: Informer[K],
    claims: Claims[K],
) -> tuple[K, ...]:
    """Adopt and release; returns what is owned afterwards."""
    owned = list(claims.owned)
    if claims.adopt and not await _still_there(client, owner, owner_resource):
        return tuple(owned)
    for one in claims.adopt:
        reference = msgspec.to_builtins(owner_reference(owner, owner_resource))
        others = [msgspec.to_builtins(other) for other in one.metadata.owner_references]
        patch = {
            "metadata": {
                "uid": one.metadata.uid,
                "resourceVersion": one.metadata.resource_version,
                "ownerReferences": [*others, reference],
            }
        }
        adopted = await _patched(client, resource, one, patch, informer)
        if adopted is not None:
            owned.append(adopted)
    for one in claims.release:
        kept = [
            msgspec.to_builtins(reference)
            for reference in one.metadata.owner_references
            if reference.uid != owner.metadata.uid
        ]
        metadata: dict[str, Any] = {"uid": one.metadata.uid, "ownerReferences": kept or None}
        await _patched(client, resource, one, {"metadata": metadata}, informer)
    return tuple(owned)


async def _still_there(client: Client, owner: KubeObject, resource: Resource[Any]) -> bool:
    """Ask the server itself before adopting: the cache may hold an owner that is gone or being deleted."""
    try:
        fresh = await client.get(resource, owner.metadata.name, namespace=owner.metadata.namespace)
    except errors.NotFound:
        return False
    meta = fresh.metadata
    return bool(meta.uid == owner.metadata.uid and not meta.deletion_timestamp)


async def _patched(
    client: Client, resource: Resource[K], one: K, patch: dict[str, Any], informer: Informer[K]
) -> K | None:
    try:
        changed = await client.patch(resource, one.metadata.name, patch, namespace=one.metadata.namespace)
    except (errors.NotFound, errors.Invalid):
        return None  # gone, or a namesake of another uid
    informer.put(changed)
    return changed
