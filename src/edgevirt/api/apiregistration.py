"""Kubernetes apiregistration types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct, Time


class ServiceReference(Struct):
    name: str = ""
    namespace: str = ""
    port: int | None = None


class APIServiceSpec(Struct):
    ca_bundle: bytes | None = None
    group: str = ""
    group_priority_minimum: int | None = None
    insecure_skip_tls_verify: bool | None = field(default=None, name="insecureSkipTLSVerify")
    service: ServiceReference | None = None
    version: str = ""
    version_priority: int | None = None


class APIServiceCondition(Struct):
    last_transition_time: Time = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class APIServiceStatus(Struct):
    conditions: tuple[APIServiceCondition, ...] = ()


class APIService(KubeObject):
    spec: APIServiceSpec | None = None
    status: APIServiceStatus | None = None
