"""Recorded answers of a real API server on webhooks, RBAC, authentication and APIServices, replayed.

Needs the reference folder (EDGEVIRT_REFERENCE). Known differences are listed with their reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_webhook_calls import Hooks

from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.apiserver.server import Settings, run
from edgevirt.engine.pki.authority import write_leaf

sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))
from replay import Replay

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
    "64-rbac-forbidden",
    "65-rbac-authn",
    "68-apiservice-down",
    "70-authn-configmap",
)
DIFFERENCES = {
    "52-webhook-warn": ("DELETE /api/v1/namespaces/webhook-warn-n/configmaps\n    at header Warning",),
    "62-webhook-config-errors": ("webhooks[0].failurePolicy",),  # the schema finds it as well, and first
    "68-apiservice-down": (
        "columnDefinitions",  # descriptions in our own words
        ".rows[0].cells[3]",  # the age
    ),
    "70-authn-configmap": (
        "GET /api/v1/namespaces\n",  # the recording is trimmed
        "services/kubernetes",  # the service of the server itself is made by who installs it
        "header Warning",
    ),
}
"""Parts of mismatches that are known, by scenario."""

TOKENS = {
    "admin": UserInfo("admin", "admin", ("system:masters",)),
    "alice": UserInfo("alice", "alice-uid", ("dev",)),
    "bob": UserInfo("bob"),
}


class TokenReplay(Replay):
    """Speaks for a service account with the token it was given in the conversation."""

    def _open(self, request: dict[str, Any]) -> Any:
        if request.get("as", "").startswith("serviceaccount:"):
            request = {**request, "as": self.symbols["token1"]}
        return super()._open(request)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def api_server(pki: Any) -> AsyncIterator[str]:
    """The whole server, secured, with authorities of this test."""
    port = free_port()
    leaf = pki.serving.issue("apiserver", dns=("localhost",), ips=("127.0.0.1",), server=True)
    certificate, key = write_leaf(pki.directory, "apiserver", leaf)
    proxy_certificate, proxy_key = pki.client_files("front-proxy-client", pki.front_proxy)
    settings = Settings(
        data_dir=pki.directory / "data",
        address="127.0.0.1",
        port=port,
        certificate=certificate,
        key=key,
        client_ca=pki.directory / "serving-ca.crt",
        front_proxy_ca=pki.directory / "front-proxy-ca.crt",
        front_proxy_certificate=proxy_certificate,
        front_proxy_key=proxy_key,
        static_tokens=TOKENS,
    )
    started = asyncio.Event()
    task = asyncio.create_task(run(settings, started))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert started.is_set(), task
    yield f"https://127.0.0.1:{port}"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_recorded_conversation_goes_the_same_way(
    name: str, pki: Any, serve: Callable[..., Any]
) -> None:
    text = (RECORDINGS / f"{name}.json").read_text()
    hooks = Hooks()
    trust = ssl.create_default_context(cadata=pki.serving.cert_pem.decode())
    async with (
        serve(hooks, pki.server_context("localhost")) as hook_port,
        api_server(pki) as url,
        aiohttp.ClientSession(
            url, connector=aiohttp.TCPConnector(ssl=trust), skip_auto_headers=("User-Agent",)
        ) as client,
    ):
        text = text.replace("127.0.0.1:38443", f"127.0.0.1:{hook_port}").replace(
            "127.0.0.1:38999", f"127.0.0.1:{free_port()}"
        )
        replay = TokenReplay(client)
        replay.symbols["caBundle"] = pki.bundle
        await replay.run(json.loads(text))
        hooks.stalled.set()
    # Field ownership is compared by the tests of the REST layer.
    found = [str(mismatch) for mismatch in replay.mismatches if "managedFields" not in mismatch.where]
    known = DIFFERENCES.get(name, ())
    unknown = [text for text in found if not any(part in text for part in known)]
    assert not unknown, "\n".join(unknown)
