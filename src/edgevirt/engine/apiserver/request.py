"""What is known about a request while it travels through the server: who, what, with which object.

These values are what authentication, authorisation, admission and aggregation exchange with the REST
layer. They are immutable except where a stage is meant to write: `AdmissionAttributes.object` is replaced
by mutating admission, `warnings` collects texts for the client's Warning headers and `audit_annotations` what
the audit log is to say beside the request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.registry import ServedResource


@dataclasses.dataclass(frozen=True, slots=True)
class UserInfo:
    """An authenticated caller; anonymous callers are a user as well ("system:anonymous")."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As it appears in AdmissionReview.request.userInfo and TokenReview.status.user."""
        document: dict[str, Any] = {"username": self.name}
        if self.uid:
            document["uid"] = self.uid
        if self.groups:
            document["groups"] = list(self.groups)
        if self.extra:
            document["extra"] = {key: list(values) for key, values in self.extra.items()}
        return document


ADMIN = UserInfo("system:admin", groups=("system:masters", "system:authenticated"))
"""Who the server itself is when it acts on its own behalf."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attributes:
    """What authorisation decides on. Non-resource requests have `resource` "" and a `path`.

    `verb` is a Kubernetes verb (get, list, watch, create, update, patch, delete, deletecollection) or, for
    non-resource requests, the lower-case HTTP method.
    """

    user: UserInfo
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    """Of a list or watch, as the request writes it."""

    @property
    def group_resource(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is for the client; it is appended to the message of a refusal when not empty."""

    allowed: bool
    reason: str = ""


@dataclasses.dataclass(slots=True)
class AdmissionAttributes:
    """One object on its way into the store.

    `operation` is CREATE, UPDATE, DELETE or CONNECT. `object` is None on DELETE, `old_object` on CREATE.
    `old_object` is read-only: it may be shared. `options` is the CreateOptions/UpdateOptions/PatchOptions/
    DeleteOptions document of the request.
    """

    operation: str
    resource: ServedResource
    subresource: str
    name: str
    namespace: str
    object: dict[str, Any] | None
    old_object: dict[str, Any] | None
    user: UserInfo
    dry_run: bool
    options: dict[str, Any]
    warnings: list[str]
    audit_annotations: dict[str, str] = dataclasses.field(default_factory=dict)
