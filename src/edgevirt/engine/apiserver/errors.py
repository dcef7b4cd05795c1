"""Errors of the API as Kubernetes words them: one exception, a constructor per reason.

Clients match on code, reason, details and, more often than they should, on the message; the shapes here
follow what a real API server answers. Everything that refuses a request raises `StatusError`; the HTTP
layer turns it into a `Status` object, so no other module needs to know about HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal: `reason` is a Kubernetes cause type such as FieldValueRequired.

    `field` is the path ("spec.containers[0].name"); `message` stands without the path.
    """

    reason: str
    message: str
    field: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    """`Status.details`: which object, and why in machine-readable form."""

    group: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        texts = {"name": self.name, "group": self.group, "kind": self.kind, "uid": self.uid}
        document: dict[str, Any] = {wire: value for wire, value in texts.items() if value}
        if self.causes:
            document["causes"] = [cause_to_dict(cause) for cause in self.causes]
        if self.retry_after_seconds:
            document["retryAfterSeconds"] = self.retry_after_seconds
        return document


def cause_to_dict(cause: Cause) -> dict[str, str]:
    document: dict[str, str] = {}
    if cause.reason:
        document["reason"] = cause.reason
    if cause.message:
        document["message"] = cause.message
    if cause.field:
        document["field"] = cause.field
    return document


class StatusError(Exception):
    """A refusal of a request, carrying everything a `Status` object says."""

    def __init__(self, code: int, reason: str, message: str, details: Details | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.list_continue = ""
        """A continue token the client may go on with, in the answer to an expired list."""

    def to_status(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.list_continue} if self.list_continue else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            document["reason"] = self.reason
        if self.details is not None:
            document["details"] = self.details.to_dict()
        document["code"] = self.code
        return document


def split_group_resource(group_resource: str) -> tuple[str, str]:
    """ "deployments.apps" -> ("deployments", "apps"); the core group is ""."""
    resource, _, group = group_resource.partition(".")
    return resource, group


def success(group_resource: str, name: str, uid: str) -> dict[str, Any]:
    """The `Status` that answers a finished deletion."""
    resource, group = split_group_resource(group_resource)
    details = Details(group=group, kind=resource, name=name, uid=uid)
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details.to_dict(),
    }


def not_found(group_resource: str, name: str) -> StatusError:
    resource, group = split_group_resource(group_resource)
    return StatusError(
        404,
        "NotFound",
        f'{group_resource} "{name}" not found',
        Details(group=group, kind=resource, name=name),
    )


def no_such_path() -> StatusError:
    """The path names nothing that is served."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", Details())


def already_exists(group_resource: str, name: str) -> StatusError:
    resource, group = split_group_resource(group_resource)
    return StatusError(
        409,
        "AlreadyExists",
        f'{group_resource} "{name}" already exists',
        Details(group=group, kind=resource, name=name),
    )


def conflict(group_resource: str, name: str, why: str, causes: Iterable[Cause] = ()) -> StatusError:
    """A failed precondition. `group_resource` appears in the message as given, kind or plural."""
    resource, group = split_group_resource(group_resource)
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {group_resource} "{name}": {why}',
        Details(group=group, kind=resource, name=name, causes=tuple(causes)),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def modified(group_resource: str, name: str) -> StatusError:
    """The optimistic lock failed: the resourceVersion sent is not the stored one."""
    return conflict(group_resource, name, MODIFIED)


def apply_conflict(causes: Iterable[Cause], message: str) -> StatusError:
    """Server-side apply without force met fields of another manager."""
    return StatusError(409, "Conflict", message, Details(causes=tuple(causes)))


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> StatusError:
    """422; several causes are joined in brackets as field.ErrorList does."""
    listed = tuple(causes)
    texts: list[str] = []
    for cause in listed:
        text = f"{cause.field}: {cause.message}" if cause.field else cause.message
        if text not in texts:
            texts.append(text)
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{kind}.{group}" if group else kind
    return StatusError(
        422,
        "Invalid",
        f'{qualified} "{name}" is invalid: {joined}' if listed else f'{qualified} "{name}" is invalid',
        Details(group=group, kind=kind, name=name, causes=listed),
    )


def forbidden(group_resource: str, name: str, why: str) -> StatusError:
    """403; `why` is the whole rest of the sentence, e.g. 'User "bob" cannot get resource ...'."""
    resource, group = split_group_resource(group_resource)
    if not resource:
        return StatusError(403, "Forbidden", f"forbidden: {why}", Details())
    subject = f'{group_resource} "{name}"' if name else group_resource
    return StatusError(
        403, "Forbidden", f"{subject} is forbidden: {why}", Details(group=group, kind=resource, name=name)
    )


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return StatusError(401, "Unauthorized", message)


def method_not_allowed() -> StatusError:
    """The path exists, the HTTP method does not belong to it."""
    return StatusError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", Details()
    )


def method_not_supported(group_resource: str, verb: str) -> StatusError:
    """The resource is served, but not with this verb."""
    resource, group = split_group_resource(group_resource)
    return StatusError(
        405,
        "MethodNotAllowed",
        f'{verb} is not supported on resources of kind "{group_resource}"',
        Details(group=group, kind=resource),
    )


def gone(message: str) -> StatusError:
    return StatusError(410, "Gone", message)


def expired(message: str) -> StatusError:
    """410: the revision or continue token asked for lies before the compaction point."""
    return StatusError(410, "Expired", message)


def too_large_resource_version(requested: int, current: int) -> StatusError:
    """504: the client is ahead of this server; it shall retry after a second."""
    return StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {requested}, current: {current}",
        Details(
            causes=(Cause("ResourceVersionTooLarge", "Too large resource version"),), retry_after_seconds=1
        ),
    )


def timeout(message: str, retry_after_seconds: int = 0) -> StatusError:
    return StatusError(504, "Timeout", message, Details(retry_after_seconds=retry_after_seconds or None))


def too_many_requests(message: str, retry_after_seconds: int, causes: Iterable[Cause] = ()) -> StatusError:
    return StatusError(
        429,
        "TooManyRequests",
        message,
        Details(causes=tuple(causes), retry_after_seconds=retry_after_seconds or None),
    )


def unsupported_patch_type(custom: bool = False) -> StatusError:
    """`custom` resources answer by another code path, which lists what they take."""
    if custom:
        return unsupported_media_type(
            ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
        )
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", Details())


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    listed = ", ".join(accepted)
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {listed}",
    )


def not_acceptable(available: Iterable[str]) -> StatusError:
    listed = ", ".join(available)
    return StatusError(
        406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {listed}", Details()
    )


def request_entity_too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def internal(message: str, causes: Iterable[Cause] = ()) -> StatusError:
    """500 with Kubernetes' prefix; `message` also becomes a cause."""
    listed = tuple(causes) or (Cause("", message),)
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", Details(causes=listed))


def unclassified(message: str, code: int = 500) -> StatusError:
    """An error Kubernetes reports without a reason, such as a malformed resourceVersion in a body."""
    return StatusError(code, "", message)


def service_unavailable(message: str, retry_after_seconds: int | None = None) -> StatusError:
    details = Details(retry_after_seconds=retry_after_seconds) if retry_after_seconds else None
    return StatusError(503, "ServiceUnavailable", message, details)


def insufficient_storage(message: str) -> StatusError:
    """507: the disk under the store is full; nothing of the request was stored."""
    return StatusError(507, "InternalError", message, Details(causes=(Cause("", message),)))
