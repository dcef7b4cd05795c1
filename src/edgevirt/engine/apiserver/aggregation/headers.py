"""The headers between API server and aggregated API. All pure.

The caller's credentials end here: the aggregated server learns who asks from X-Remote-* headers, which it
believes because the connection carries the front proxy's client certificate. So whatever the caller sent
under those names, and its own token, must never get through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from multidict import CIMultiDict, MultiMapping

from edgevirt.engine.apiserver.auth.authenticator import WEBSOCKET_BEARER
from edgevirt.engine.apiserver.request import UserInfo

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS_ONLY = ("x-remote-", "impersonate-")
_DROPPED = frozenset({"authorization", "host", "x-forwarded-for", "expect"})
_HEADER_KEY_SAFE = "!#$&'*+-.^_`|~"
"""Characters that may stand in a header name as they are; "%" itself must be escaped."""


def forwarded(
    headers: MultiMapping[str], user: UserInfo, remote: str, upgrade: bool = False
) -> CIMultiDict[str]:
    """The headers of the forwarded request. `upgrade` keeps the wish to switch protocols."""
    named = {token.strip().lower() for line in headers.getall("Connection", []) for token in line.split(",")}
    result: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in named or lower in _DROPPED or lower.startswith(_OURS_ONLY):
            continue
        if lower == "sec-websocket-protocol":
            value = without_bearer(value)
            if not value:
                continue
        result.add(name, value)
    if upgrade:
        result.add("Connection", "Upgrade")
        result.add("Upgrade", headers.get("Upgrade", ""))
    for name, value in identity(user):
        result.add(name, value)
    if remote:
        result.add("X-Forwarded-For", remote)
    return result


def identity(user: UserInfo) -> Iterator[tuple[str, str]]:
    """The X-Remote-* headers that say who asks."""
    yield "X-Remote-User", user.name
    if user.uid:
        yield "X-Remote-Uid", user.uid
    for group in user.groups:
        yield "X-Remote-Group", group
    for key, values in user.extra.items():
        for value in values:
            yield f"X-Remote-Extra-{quote(key, safe=_HEADER_KEY_SAFE)}", value


def returned(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of the answer to hand on."""
    multi = headers if isinstance(headers, MultiMapping) else CIMultiDict(headers)
    named = {token.strip().lower() for line in multi.getall("Connection", []) for token in line.split(",")}
    return CIMultiDict(
        (name, value)
        for name, value in multi.items()
        if name.lower() not in HOP_BY_HOP and name.lower() not in named
    )


def without_bearer(line: str) -> str:
    """A Sec-WebSocket-Protocol value without the token a browser put there."""
    kept = [
        protocol
        for protocol in (entry.strip() for entry in line.split(","))
        if not protocol.startswith(WEBSOCKET_BEARER)
    ]
    return ", ".join(protocol for protocol in kept if protocol)
