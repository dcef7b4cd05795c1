"""Questions about rights, answered as virtual create-only resources.

SubjectAccessReview and its kin ask the authorizer, TokenReview the authenticator, SelfSubjectReview
echoes the caller. Nothing is stored. Whether the caller may ask at all is decided before, by authorising
"create" on the review's resource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.auth.authenticator import RequestAuthenticator
from edgevirt.engine.apiserver.auth.rules import Rule
from edgevirt.engine.apiserver.auth.tokens import InvalidToken, rfc3339
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.extension import Authorizer, ReviewHandler
from edgevirt.engine.apiserver.request import Attributes, UserInfo
from edgevirt.engine.pki.authority import utc_now

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


class RuleSource(Protocol):
    def rules_for(self, user: UserInfo, namespace: str) -> Iterable[Rule]:
        """All rules that apply to a user in a namespace."""


Answer = Callable[[dict[str, Any], UserInfo], dict[str, Any]]
"""(posted document, caller) -> status"""


def handlers(
    authenticator: RequestAuthenticator,
    authorizer: Authorizer,
    rules: RuleSource,
    clock: Callable[[], datetime] = utc_now,
) -> dict[tuple[str, str], ReviewHandler]:
    """(group, plural) -> handler for every review; mount them as create-only resources."""

    def subject(document: dict[str, Any], _caller: UserInfo) -> dict[str, Any]:
        spec = _spec(document)
        _check(document, _attribute_faults(spec) + _subject_faults(spec))
        return access(authorizer, _subject(spec), spec)

    def local_subject(document: dict[str, Any], _caller: UserInfo) -> dict[str, Any]:
        spec = _spec(document)
        _check(document, _attribute_faults(spec) + _subject_faults(spec) + _locality_faults(document))
        return access(authorizer, _subject(spec), spec)

    def self_subject(document: dict[str, Any], caller: UserInfo) -> dict[str, Any]:
        spec = _spec(document)
        _check(document, _attribute_faults(spec))
        return access(authorizer, caller, spec)

    def self_rules(document: dict[str, Any], caller: UserInfo) -> dict[str, Any]:
        namespace = _spec(document).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        return rules_status(rules.rules_for(caller, namespace))

    def token(document: dict[str, Any], _caller: UserInfo) -> dict[str, Any]:
        spec = _spec(document)
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        return token_status(authenticator, spec)

    def whoami(document: dict[str, Any], caller: UserInfo) -> dict[str, Any]:
        metadata = {**(document.get("metadata") or {}), "creationTimestamp": rfc3339(clock())}
        document["metadata"] = metadata
        return {"userInfo": caller.to_dict()}

    return {
        (AUTHORIZATION, "subjectaccessreviews"): _answering(subject),
        (AUTHORIZATION, "localsubjectaccessreviews"): _answering(local_subject),
        (AUTHORIZATION, "selfsubjectaccessreviews"): _answering(self_subject),
        (AUTHORIZATION, "selfsubjectrulesreviews"): _answering(self_rules),
        (AUTHENTICATION, "tokenreviews"): _answering(token),
        (AUTHENTICATION, "selfsubjectreviews"): _answering(whoami),
    }


def _answering(answer: Answer) -> ReviewHandler:
    async def handle(document: dict[str, Any], caller: UserInfo) -> dict[str, Any]:
        answered = {"metadata": {}, **document}
        status = answer(answered, caller)
        return {**answered, "status": status}

    return handle


def access(authorizer: Authorizer, user: UserInfo, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The status of an access review: may `user` do what `spec` describes?"""
    decision = authorizer.authorize(attributes_of(user, spec))
    status: dict[str, Any] = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def attributes_of(user: UserInfo, spec: Mapping[str, Any]) -> Attributes:
    """The request a review asks about."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        url = spec.get("nonResourceAttributes") or {}
        return Attributes(user, url.get("verb", ""), path=url.get("path", ""))
    return Attributes(
        user,
        resource.get("verb", ""),
        resource.get("group", ""),
        resource.get("version", ""),
        resource.get("resource", ""),
        resource.get("subresource", ""),
        resource.get("namespace", ""),
        resource.get("name", ""),
    )


def rules_status(rules: Iterable[Rule]) -> dict[str, Any]:
    """The status of a SelfSubjectRulesReview."""
    unique = tuple(dict.fromkeys(rules))
    return {
        "resourceRules": [rule.to_dict() for rule in unique if rule.resources],
        "nonResourceRules": [rule.to_dict() for rule in unique if rule.urls],
        "incomplete": False,
    }


def token_status(authenticator: RequestAuthenticator, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a TokenReview; a bad token is an answer, not an error."""
    audiences = spec.get("audiences") or ()
    try:
        verified = authenticator.verify_token(spec["token"], audiences)
    except InvalidToken:
        return {"user": {}, "error": "invalid bearer token"}
    status: dict[str, Any] = {"authenticated": True, "user": verified.user.to_dict()}
    if verified.audiences:
        status["audiences"] = list(verified.audiences)
    return status


def _spec(document: Mapping[str, Any]) -> dict[str, Any]:
    return document.get("spec") or {}


def _subject(spec: Mapping[str, Any]) -> UserInfo:
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _attribute_faults(spec: Mapping[str, Any]) -> list[Cause]:
    resource, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and url is not None:
        text = "Invalid value: cannot be specified in combination with resourceAttributes"
        return [Cause("FieldValueInvalid", text, "spec.nonResourceAttributes")]
    if resource is None and url is None:
        need = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        text = f"Invalid value: null: {need}"
        return [Cause("FieldValueInvalid", text, "spec.resourceAttributes")]
    return []


def _subject_faults(spec: Mapping[str, Any]) -> list[Cause]:
    if spec.get("user") or spec.get("groups"):
        return []
    text = 'Invalid value: "": at least one of user or group must be specified'
    return [Cause("FieldValueInvalid", text, "spec.user")]


def _locality_faults(document: Mapping[str, Any]) -> list[Cause]:
    spec = _spec(document)
    if spec.get("nonResourceAttributes") is not None:
        text = "Invalid value: disallowed on this kind of request"
        return [Cause("FieldValueInvalid", text, "spec.nonResourceAttributes")]
    asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if asked != (document.get("metadata") or {}).get("namespace", ""):
        text = f'Invalid value: "{asked}": must match metadata.namespace'
        return [Cause("FieldValueInvalid", text, "spec.resourceAttributes.namespace")]
    return []


def _check(document: Mapping[str, Any], faults: list[Cause]) -> None:
    if faults:
        raise errors.invalid(document.get("kind", ""), AUTHORIZATION, "", faults)
