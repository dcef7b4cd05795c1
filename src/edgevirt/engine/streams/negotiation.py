"""Which protocol both sides speak: SPDY's X-Stream-Protocol-Version, the subprotocols of websockets. Pure.

The first of the client's wishes that the server knows is taken, as Kubernetes does; clients name the newest
first. A websocket client that names none gets the oldest protocol, which had no name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multidict import MultiMapping

PROTOCOL_VERSION = "X-Stream-Protocol-Version"
ACCEPTED_VERSIONS = "X-Accepted-Stream-Protocol-Versions"


class NoCommonProtocol(Exception):
    """`str()` is for the client."""


def upgrade_wanted(headers: Mapping[str, str]) -> str:
    """The protocol a request asks to switch to, in lower case; "" for an ordinary request."""
    tokens = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    return headers.get("Upgrade", "").strip().lower() if "upgrade" in tokens else ""


def spdy_protocol(headers: MultiMapping[str], known: Sequence[str]) -> str:
    """The stream protocol of a SPDY connection. Raises ValueError without a wish, and NoCommonProtocol."""
    wishes = _listed(headers, PROTOCOL_VERSION)
    if not wishes:
        raise ValueError(f"unable to upgrade: {PROTOCOL_VERSION} is required")
    return _choose(wishes, known, "unable to upgrade: unable to negotiate protocol: client supports")


def websocket_protocol(headers: MultiMapping[str], known: Sequence[str]) -> str:
    """The subprotocol of a websocket, "" for a client that names none. Raises NoCommonProtocol."""
    wishes = _listed(headers, "Sec-WebSocket-Protocol")
    return _choose(wishes, known, "requested protocol(s) are not supported:") if wishes else ""


def _listed(headers: MultiMapping[str], name: str) -> list[str]:
    return [part for line in headers.getall(name, []) for part in map(str.strip, line.split(",")) if part]


def _choose(wishes: Sequence[str], known: Sequence[str], complaint: str) -> str:
    for wish in wishes:
        if wish in known:
            return wish
    raise NoCommonProtocol(f"{complaint} [{' '.join(wishes)}], server accepts [{' '.join(known)}]")
