"""What a built-in admission plugin is.

A plugin gets the attributes of one write and either returns (admitted, perhaps with `attributes.object`
changed in place) or raises `StatusError`. Plugins answer from memory and never block.
"""

from __future__ import annotations

from typing import Protocol

from edgevirt.engine.apiserver.request import AdmissionAttributes


class Plugin(Protocol):
    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        """False if the plugin never has an interest in such writes."""

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Admits or raises StatusError. May run twice on one request, so it must be idempotent."""


def group_resource(attributes: AdmissionAttributes) -> str:
    """The resource as error messages name it."""
    return attributes.resource.group_resource
