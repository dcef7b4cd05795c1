from __future__ import annotations

import pytest
from multidict import CIMultiDict

from edgevirt.engine.apiserver.nodes.kubelet import handshake

pytestmark = pytest.mark.unit


def test_credentials_do_not_reach_the_kubelet() -> None:
    sent = CIMultiDict(
        [
            ("Authorization", "Bearer secret"),
            ("Cookie", "secret"),
            ("X-Remote-User", "root"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "key"),
            ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io"),
        ]
    )
    assert list(handshake(sent).items()) == [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "key"),
        ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
    ]


def test_every_version_of_a_spdy_client_is_told() -> None:
    versions = [("X-Stream-Protocol-Version", "v4.channel.k8s.io"), ("X-Stream-Protocol-Version", "v3")]
    assert list(handshake(CIMultiDict(versions)).items()) == versions
