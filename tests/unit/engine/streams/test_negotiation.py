from __future__ import annotations

import pytest
from multidict import CIMultiDict

from edgevirt.engine.streams.negotiation import (
    NoCommonProtocol,
    spdy_protocol,
    upgrade_wanted,
    websocket_protocol,
)

pytestmark = pytest.mark.unit
KNOWN = ("v4.channel.k8s.io", "channel.k8s.io")


def spdy(*values: str) -> CIMultiDict[str]:
    return CIMultiDict(("X-Stream-Protocol-Version", value) for value in values)


def websocket(*values: str) -> CIMultiDict[str]:
    return CIMultiDict(("Sec-WebSocket-Protocol", value) for value in values)


def test_the_first_wish_that_is_known_is_taken() -> None:
    assert spdy_protocol(spdy("v9.x", "v4.channel.k8s.io", "channel.k8s.io"), KNOWN) == "v4.channel.k8s.io"
    assert spdy_protocol(spdy("channel.k8s.io, v4.channel.k8s.io"), KNOWN) == "channel.k8s.io"
    assert websocket_protocol(websocket("v5.x, v4.channel.k8s.io"), KNOWN) == "v4.channel.k8s.io"


def test_spdy_needs_a_wish_and_a_websocket_does_not() -> None:
    with pytest.raises(ValueError, match="X-Stream-Protocol-Version is required"):
        spdy_protocol(spdy(), KNOWN)
    assert websocket_protocol(websocket(), KNOWN) == ""


def test_nothing_in_common_names_both_sides() -> None:
    with pytest.raises(NoCommonProtocol, match=r"client supports \[v9\], server accepts \[v4.channel.k8s.io"):
        spdy_protocol(spdy("v9"), KNOWN)
    with pytest.raises(NoCommonProtocol, match=r"not supported: \[v9\]"):
        websocket_protocol(websocket("v9"), KNOWN)


@pytest.mark.parametrize(
    ("connection", "upgrade", "wanted"),
    [
        ("Upgrade", "SPDY/3.1", "spdy/3.1"),
        ("keep-alive, upgrade", "websocket", "websocket"),
        ("keep-alive", "websocket", ""),
        ("Upgrade", "", ""),
    ],
)
def test_an_upgrade_is_wanted_only_if_the_connection_header_says_so(
    connection: str, upgrade: str, wanted: str
) -> None:
    assert upgrade_wanted(CIMultiDict({"Connection": connection, "Upgrade": upgrade})) == wanted
