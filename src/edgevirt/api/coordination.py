"""Kubernetes coordination types."""

from __future__ import annotations

from edgevirt.api.meta import KubeObject, Struct, Time


class LeaseSpec(Struct):
    acquire_time: Time = ""
    holder_identity: str = ""
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    preferred_holder: str = ""
    renew_time: Time = ""
    strategy: str = ""


class Lease(KubeObject):
    spec: LeaseSpec | None = None
