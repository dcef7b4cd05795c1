"""Owner references: who a dependent belongs to, and which owner controls it."""

from __future__ import annotations

from typing import Any

from edgevirt.api.meta import KubeObject, OwnerReference, Resource
from edgevirt.kube import objects


def owner_reference(obj: object, resource: Resource[Any], controller: bool = True) -> OwnerReference:
    """A reference to `obj` for its dependents.

    A controlling reference also blocks foreground deletion of the owner, as Kubernetes' own controllers
    do. Raises ValueError if the object was never stored (it has no uid yet).
    """
    uid = objects.uid_of(obj)
    if not uid:
        raise ValueError(f"{resource.kind} {objects.key_text(obj)} has no uid yet and cannot be an owner")
    return OwnerReference(
        api_version=resource.api_version,
        kind=resource.kind,
        name=objects.name_of(obj),
        uid=uid,
        controller=True if controller else None,
        block_owner_deletion=True if controller else None,
    )


def controller_of(obj: object) -> OwnerReference | None:
    """The one owner that manages `obj`, or None."""
    owners = (
        obj.metadata.owner_references
        if isinstance(obj, KubeObject)
        else objects.metadata(obj).owner_references
    )
    return next((owner for owner in owners if owner.controller), None)


def is_controlled_by(obj: object, owner: object) -> bool:
    """Whether `owner` (by uid, so not a namesake) manages `obj`."""
    reference = controller_of(obj)
    return reference is not None and reference.uid == objects.uid_of(owner)
