"""Acting as somebody else: the Impersonate-* headers, allowed only to who may.

Two ways to hold the right, tried in this order. Constrained (Kubernetes 1.35 and later): the verb
"impersonate:user-info" (or ":serviceaccount", ":arbitrary-node") on the identity, together with
"impersonate-on:<mode>:<verb>" on what the request wants to do. Classic: the verb "impersonate" on users,
groups, serviceaccounts, uids and userextras. A refusal speaks of the constrained way, as a real API
server's does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from urllib.parse import unquote

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.auth.authenticator import AUTHENTICATED, UNAUTHENTICATED, values_of, with_group
from edgevirt.engine.apiserver.auth.refusal import refusal
from edgevirt.engine.apiserver.auth.rules import go_list
from edgevirt.engine.apiserver.auth.tokens import groups_of
from edgevirt.engine.apiserver.extension import Authorizer
from edgevirt.engine.apiserver.request import Attributes, UserInfo

USER = "Impersonate-User"
GROUP = "Impersonate-Group"
UID = "Impersonate-Uid"
EXTRA_PREFIX = "impersonate-extra-"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_NODE = "system:node:"
_AUTHENTICATION = "authentication.k8s.io"


def is_requested(headers: Mapping[str, str]) -> bool:
    """Whether any Impersonate-* header is present."""
    for name in headers:  # noqa: SIM110 - asked at every request, and a generator costs more than the question
        if name[:1] in "iI" and name.lower().startswith("impersonate-"):
            return True
    return False


def impersonate(headers: Mapping[str, str], attributes: Attributes, authorizer: Authorizer) -> UserInfo:
    """The user to go on with: `attributes.user` itself without Impersonate-* headers.

    `attributes` describe the request as sent by the real caller. Raises StatusError 400 for headers that
    make no sense and 403 if the caller may not.
    """
    if not is_requested(headers):
        return attributes.user
    wanted = requested_user(headers)
    on = f"impersonate-on:{_mode(wanted)}:{attributes.verb}"
    on_target = dataclasses.replace(attributes, verb=on)
    if authorizer.authorize(on_target).allowed:
        first = _first_refused(attributes.user, wanted, authorizer, constrained=True)
        if first is None:
            return _completed(wanted)
    else:
        first = on_target
    if _first_refused(attributes.user, wanted, authorizer, constrained=False) is None:
        return _completed(wanted)
    raise refusal(first)


def requested_user(headers: Mapping[str, str]) -> UserInfo:
    """The identity the headers ask for, as written. Raises StatusError 400."""
    extra: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(name.lower() for name in headers):
        if name.startswith(EXTRA_PREFIX):
            key = unquote(name.removeprefix(EXTRA_PREFIX))
            extra[key] = tuple(values_of(headers, name))
    wanted = UserInfo(headers.get(USER, ""), headers.get(UID, ""), tuple(values_of(headers, GROUP)), extra)
    if not wanted.name:
        raise errors.bad_request(f"requested {_go_user(wanted)} without impersonating a user name")
    return wanted


def _mode(wanted: UserInfo) -> str:
    if _service_account(wanted.name):
        return "serviceaccount"
    return "arbitrary-node" if wanted.name.startswith(_NODE) else "user-info"


def _service_account(name: str) -> tuple[str, str] | None:
    namespace, _, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_SERVICE_ACCOUNT) and namespace and account else None


def _first_refused(
    caller: UserInfo, wanted: UserInfo, authorizer: Authorizer, constrained: bool
) -> Attributes | None:
    """The first right that is missing, None if the caller has all of them."""
    verb = f"impersonate:{_mode(wanted)}" if constrained else "impersonate"
    group = _AUTHENTICATION if constrained else ""

    def question(
        resource: str, name: str, namespace: str = "", sub: str = "", api: str = group
    ) -> Attributes:
        return Attributes(caller, verb, api, "v1", resource, sub, namespace, name)

    questions: list[Attributes] = []
    account = _service_account(wanted.name)
    if account:
        questions.append(question("serviceaccounts", account[1], account[0]))
    elif constrained and wanted.name.startswith(_NODE):
        questions.append(question("nodes", wanted.name.removeprefix(_NODE)))
    else:
        questions.append(question("users", wanted.name))
    questions += [question("groups", name) for name in wanted.groups]
    questions += [
        question("userextras", value, sub=key, api=_AUTHENTICATION)
        for key, values in wanted.extra.items()
        for value in values
    ]
    if wanted.uid:
        questions.append(question("uids", wanted.uid, api=_AUTHENTICATION))
    return next((asked for asked in questions if not authorizer.authorize(asked).allowed), None)


def _completed(wanted: UserInfo) -> UserInfo:
    """Adds the groups the identity would have had if it had logged in itself."""
    account = _service_account(wanted.name)
    if account and not wanted.groups:
        wanted = dataclasses.replace(wanted, groups=groups_of(account[0]))
    if wanted.name == "system:anonymous":
        return with_group(wanted, UNAUTHENTICATED)
    return wanted if UNAUTHENTICATED in wanted.groups else with_group(wanted, AUTHENTICATED)


def _go_user(user: UserInfo) -> str:
    groups = (
        "[]string{" + go_list(user.groups)[1:-1].replace('" "', '", "') + "}"
        if user.groups
        else "[]string(nil)"
    )
    extra = "map[string][]string(nil)"
    if user.extra:
        listed = ", ".join(
            f"{json.dumps(key)}:[]string{{" + ", ".join(json.dumps(value) for value in values) + "}"
            for key, values in sorted(user.extra.items())
        )
        extra = f"map[string][]string{{{listed}}}"
    return (
        f"&user.DefaultInfo{{Name:{json.dumps(user.name)}, UID:{json.dumps(user.uid)}, "
        f"Groups:{groups}, Extra:{extra}}}"
    )
