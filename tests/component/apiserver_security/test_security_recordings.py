"""Recorded answers of a real API server on webhooks, RBAC, authentication and APIServices, replayed.

Needs the reference folder (EDGEVIRT_REFERENCE). Known differences are listed with their reasons.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_webhook_calls import Hooks

from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.apiserver.server import Settings
from edgevirt.engine.pki.authority import write_leaf

sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))
from api_server_under_test import running
from replay import Changes, Known, Replay, outdated, unexpected

pytestmark = pytest.mark.component

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")
RECORDINGS = Path(REFERENCE) / "kubernetes" / "recordings"
SCENARIOS = (
    "50-webhook-deny-code",
    "52-webhook-warn",
    "53-webhook-down-fail",
    "55-webhook-500",
    "56-webhook-slow",
    "57-webhook-bad-uid",
    "58-webhook-mutate",
    "59-webhook-mutate-reinvoke",
    "61-webhook-matchconditions",
    "62-webhook-config-errors",
    "63-policy-vap",
    "64-rbac-forbidden",
    "65-rbac-authn",
    "68-apiservice-down",
    "70-authn-configmap",
)
DIFFERENCES: dict[str, tuple[Known, ...]] = {
    "70-authn-configmap": (
        Known((1,), ".*", "the recorder kept the items of this list only"),
        Known((2,), ".spec.ports[0].targetPort", "another network and port than the recorder's"),
        Known((2,), ".spec.clusterIP", "another network and port than the recorder's"),
        Known((2,), ".spec.clusterIPs[0]", "another network and port than the recorder's"),
    ),
}
ANYWHERE = (
    Known((), "*columnDefinitions[*].description", "descriptions of columns are in our own words"),
    # Field ownership is compared by the tests of the REST layer.
    Known((), "*managedFields*", "field ownership is compared by the tests of the REST layer"),
)

TOKENS = {
    "admin": UserInfo("admin", "admin", ("system:masters",)),
    "alice": UserInfo("alice", "alice-uid", ("dev",)),
    "bob": UserInfo("bob"),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_settings(pki: Any) -> Settings:
    """The whole server, secured, with authorities of this test."""
    leaf = pki.serving.issue("apiserver", dns=("localhost",), ips=("127.0.0.1",), server=True)
    certificate, key = write_leaf(pki.directory, "apiserver", leaf)
    proxy_certificate, proxy_key = pki.client_files("front-proxy-client", pki.front_proxy)
    return Settings(
        data_dir=pki.directory / "data",
        address="127.0.0.1",
        port=0,
        certificate=certificate,
        key=key,
        client_ca=pki.directory / "serving-ca.crt",
        front_proxy_ca=pki.directory / "front-proxy-ca.crt",
        front_proxy_certificate=proxy_certificate,
        front_proxy_key=proxy_key,
        static_tokens=TOKENS,
    )


@pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_recorded_conversation_goes_the_same_way(
    name: str, pki: Any, serve: Callable[..., Any]
) -> None:
    text = (RECORDINGS / f"{name}.json").read_text()
    hooks = Hooks()
    async with (
        serve(hooks, pki.server_context("localhost")) as hook_port,
        running(server_settings(pki)) as api,
    ):
        text = text.replace("127.0.0.1:38443", f"127.0.0.1:{hook_port}").replace(
            "127.0.0.1:38999", f"127.0.0.1:{free_port()}"
        )
        known = (*DIFFERENCES.get(name, ()), *ANYWHERE)
        replay = Replay(api.client, Changes(api.server.cluster), known)
        replay.symbols["caBundle"] = pki.bundle
        await replay.run(json.loads(text))
        hooks.stalled.set()
    differing = unexpected(replay.mismatches, known)
    assert not differing, "\n".join(map(str, differing[:5]))
    assert not outdated(replay.mismatches, DIFFERENCES.get(name, ()))
