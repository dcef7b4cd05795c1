"""Kubernetes core/v1: Secret, ConfigMap and ServiceAccount."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.core.references import LocalObjectReference, ObjectReference
from edgevirt.api.meta import KubeObject


class Secret(KubeObject):
    data: dict[str, bytes] = field(default_factory=dict)
    immutable: bool | None = None
    string_data: dict[str, str] = field(default_factory=dict)
    type: str = ""


class ConfigMap(KubeObject):
    binary_data: dict[str, bytes] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


class ServiceAccount(KubeObject):
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    secrets: tuple[ObjectReference, ...] = ()
