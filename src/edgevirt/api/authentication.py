"""Kubernetes authentication types."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import KubeObject, Struct, Time


class TokenReviewSpec(Struct):
    audiences: tuple[str, ...] = ()
    token: str = ""


class UserInfo(Struct):
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    uid: str = ""
    username: str = ""


class TokenReviewStatus(Struct):
    audiences: tuple[str, ...] = ()
    authenticated: bool | None = None
    error: str = ""
    user: UserInfo | None = None


class TokenReview(KubeObject):
    spec: TokenReviewSpec | None = None
    status: TokenReviewStatus | None = None


class BoundObjectReference(Struct):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(Struct):
    attestations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    audiences: tuple[str, ...] = ()
    bound_object_ref: BoundObjectReference | None = None
    expiration_seconds: int | None = None


class TokenRequestStatus(Struct):
    expiration_timestamp: Time = ""
    token: str = ""


class TokenRequest(KubeObject):
    spec: TokenRequestSpec | None = None
    status: TokenRequestStatus | None = None


class SelfSubjectReviewStatus(Struct):
    user_info: UserInfo | None = None


class SelfSubjectReview(KubeObject):
    status: SelfSubjectReviewStatus | None = None
