"""Kubernetes apps types."""

from __future__ import annotations

from typing import Any

from edgevirt.api.meta import KubeObject


class ControllerRevision(KubeObject):
    data: Any = None
    revision: int | None = None
