"""Kubernetes storage types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct


class TopologySelectorLabelRequirement(Struct):
    key: str = ""
    values: tuple[str, ...] = ()


class TopologySelectorTerm(Struct):
    match_label_expressions: tuple[TopologySelectorLabelRequirement, ...] = ()


class StorageClass(KubeObject):
    allow_volume_expansion: bool | None = None
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()
    mount_options: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    provisioner: str = ""
    reclaim_policy: str = ""
    volume_binding_mode: str = ""
