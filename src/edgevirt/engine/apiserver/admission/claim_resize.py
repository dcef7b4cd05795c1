"""PersistentVolumeClaimResize: only bound claims grow, and only where their class can do it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from edgevirt.api.quantity import parse
from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes


class ClaimResize:
    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "persistentvolumeclaims" and not subresource and operation == "UPDATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 for a claim that must not grow."""
        new, old = attributes.object, attributes.old_object
        if new is None or old is None or _size(new) <= _size(old):
            return
        resource = attributes.resource.group_resource
        if (old.get("status") or {}).get("phase") != "Bound":
            text = "Only bound persistent volume claims can be expanded"
            raise errors.forbidden(resource, attributes.name, text)
        name = (new.get("spec") or {}).get("storageClassName") or ""
        stored = self._reader.get("storage.k8s.io", "storageclasses", "", name) if name else None
        if stored is None or not stored.get("allowVolumeExpansion"):
            text = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions "
                "the pvc must support resize"
            )
            raise errors.forbidden(resource, attributes.name, text)


def _size(claim: dict[str, Any]) -> Fraction:
    resources = (claim.get("spec") or {}).get("resources") or {}
    return parse((resources.get("requests") or {}).get("storage") or "0")
