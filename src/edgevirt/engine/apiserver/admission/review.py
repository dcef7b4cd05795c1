"""AdmissionReview v1: the question put to a webhook and the reading of its answer. All pure.

The wording of refusals and failures is a real API server's; users search for it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from edgevirt.engine.apiserver.errors import Cause, Details, StatusError
from edgevirt.engine.apiserver.request import AdmissionAttributes

Json = dict[str, Any]
API_VERSION = "admission.k8s.io/v1"


class InvalidAnswer(Exception):
    """The webhook answered something that is no answer to the question."""


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    status: Mapping[str, Any]
    warnings: tuple[str, ...]
    patch: tuple[Json, ...]
    audit_annotations: Mapping[str, str]


def request_document(
    attributes: AdmissionAttributes, uid: str, version: str, document: Json | None, old: Json | None
) -> Json:
    """AdmissionReview.request for a webhook that wants to see the resource in `version`."""
    resource = attributes.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    shown = document or old
    if attributes.subresource and shown is not None and shown.get("kind"):
        group, _, kind_version = str(shown.get("apiVersion", "")).rpartition("/")
        kind = {"group": group, "version": kind_version, "kind": shown["kind"]}
    requested = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    wanted_kind = {**kind, "version": version} if kind["group"] == resource.group else kind
    request: Json = {
        "uid": uid,
        "kind": wanted_kind,
        "resource": {**requested, "version": version},
        "requestKind": kind,
        "requestResource": requested,
        "operation": attributes.operation,
        "userInfo": attributes.user.to_dict(),
        "object": document,
        "oldObject": old,
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    for key, value in (
        ("subResource", attributes.subresource),
        ("requestSubResource", attributes.subresource),
        ("name", attributes.name),
        ("namespace", attributes.namespace),
    ):
        if value:
            request[key] = value
    return request


def in_version(document: Json | None, group: str, version: str) -> Json | None:
    """`document` as an object of another version; versions share one schema (conversion None)."""
    if document is None:
        return None
    own_group = str(document.get("apiVersion", "")).rpartition("/")[0]
    wanted = f"{group}/{version}" if group else version
    if own_group != group or document.get("apiVersion") == wanted:
        return document
    return {**document, "apiVersion": wanted}


def read_answer(data: bytes, uid: str, mutating: bool) -> Answer:
    """The webhook's answer, checked. Raises InvalidAnswer."""
    try:
        review = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidAnswer(f"the response is not JSON: {error}") from error
    if not isinstance(review, dict):
        raise InvalidAnswer("the response is not an object")
    if (review.get("apiVersion"), review.get("kind")) != (API_VERSION, "AdmissionReview"):
        raise InvalidAnswer(
            f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, got "
            f"{review.get('apiVersion', '')}, Kind={review.get('kind', '')}"
        )
    response = review.get("response")
    if not isinstance(response, dict):
        raise InvalidAnswer("webhook response was absent")
    if response.get("uid") != uid:
        raise InvalidAnswer(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    status, warnings = response.get("status") or {}, response.get("warnings") or ()
    if not isinstance(status, dict) or not isinstance(warnings, list | tuple):
        raise InvalidAnswer("response.status must be an object and response.warnings a list")
    return Answer(
        allowed=response.get("allowed") is True,
        status=status,
        warnings=tuple(str(warning) for warning in warnings),
        patch=_patch(response) if mutating else (),
        audit_annotations=_texts(response.get("auditAnnotations")),
    )


def _texts(document: object) -> Mapping[str, str]:
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}


def _patch(response: Mapping[str, Any]) -> tuple[Json, ...]:
    encoded, kind = response.get("patch"), response.get("patchType")
    if not encoded:
        if kind:
            raise InvalidAnswer("webhook returned response.patchType but not response.patch")
        return ()
    if kind != "JSONPatch":
        raise InvalidAnswer(f'webhook returned response.patchType "{kind or ""}", only JSONPatch is allowed')
    try:
        operations = msgspec.json.decode(base64.b64decode(encoded, validate=True), type=list[dict[str, Any]])
    except (binascii.Error, msgspec.DecodeError, TypeError, ValueError) as error:
        raise InvalidAnswer(f"response.patch is not a base64 JSON patch: {error}") from error
    return tuple(operations)


def denial(webhook: str, status: Mapping[str, Any]) -> StatusError:
    """The refusal by a webhook, with the code, reason and details it chose."""
    by = f'admission webhook "{webhook}" denied the request'
    text, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    message = f"{by}: {text or reason}" if text or reason else f"{by} without explanation"
    code = status.get("code")
    number = code if isinstance(code, int) and 400 <= code <= 599 else 400
    return StatusError(number, reason, message, _details(status.get("details")))


def _details(document: object) -> Details | None:
    if not isinstance(document, dict):
        return None
    causes = tuple(
        Cause(str(cause.get("reason", "")), str(cause.get("message", "")), str(cause.get("field", "")))
        for cause in document.get("causes") or ()
        if isinstance(cause, dict)
    )
    retry = document.get("retryAfterSeconds")
    return Details(
        group=str(document.get("group", "")),
        kind=str(document.get("kind", "")),
        name=str(document.get("name", "")),
        uid=str(document.get("uid", "")),
        causes=causes,
        retry_after_seconds=retry if isinstance(retry, int) else None,
    )
