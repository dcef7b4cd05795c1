"""Recorded conversations with a real server that ran with its controllers, replayed against ours with ours.

The recorded server was 1.20, so what Kubernetes changed since (token secrets of service accounts, the label
of namespaces, null creation times) differs everywhere and is listed once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))

from api_server_under_test import TOKENS, Running, make_pki, running
from replay import Changes, Known, Replay, load, outdated, unexpected

from edgevirt.engine import controllers
from edgevirt.engine.apiserver.request import UserInfo

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set"),
]

SINCE_1_20 = (
    Known((), "*.managedFields*", "a status has an entry of its own since 1.22; keys hold unbound symbols"),
    Known((0,), ".metadata.labels", "namespaces carry their name as a label since 1.21"),
    Known((), ".secrets", "service accounts have no token secrets since 1.24"),
    Known((), "*.template.metadata.creationTimestamp", "not written since 1.34"),
)

_HASH = "no client computes the hash of a template"
_TOKENS = "pods have projected tokens since 1.22"
DIFFERENCES: dict[str, tuple[Known, ...]] = {
    "71-gc-background": (),
    "74-gc-foreground-blocked": (),
    "75-gc-dangling-owner": (),
    "77-quota-controller": (),
    "78-serviceaccount-recreate": (
        Known((2,), ".metadata.resourceVersion", "deletions have a version of their own since 1.30"),
    ),
    "79-deployment-controller": (
        Known((3,), ".status.conditions[1].message", _HASH),
        Known((4,), ".items[0].metadata.name", _HASH),
        Known((4,), ".items[0].metadata.generateName", _HASH),
        Known((4,), ".items[0].metadata.labels.pod-template-hash", _HASH),
        Known((4,), ".items[0].metadata.ownerReferences[0].name", _HASH),
        Known((4,), ".items[0].metadata.generation", "pods have generations since 1.33"),
        Known((4,), ".items[0].spec.volumes[0].*", _TOKENS),
        Known((4,), ".items[0].spec.containers[0].volumeMounts[0].name", _TOKENS),
        Known((4,), ".items[0].status.conditions", "no scheduler runs in this test"),
    ),
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    """A server with the controllers beside it."""
    manager = UserInfo("system:kube-controller-manager", groups=("system:authenticated",))
    settings = dataclasses.replace(make_pki(tmp_path), static_tokens={**TOKENS, "controllers": manager})
    async with running(settings) as api:
        config = tmp_path / "controllers.conf"
        config.write_text(json.dumps(kubeconfig(api)))
        ready = asyncio.Event()
        task = asyncio.create_task(controllers.run(controllers.Settings(config, api.ca), ready))
        try:
            async with asyncio.timeout(30):
                await ready.wait()
            yield api
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def kubeconfig(api: Running) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}],
        "users": [{"name": "u", "user": {"token": "controllers"}}],
    }


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_scenario_with_controllers_goes_as_in_kubernetes(api: Running, name: str) -> None:
    known = (*DIFFERENCES[name], *SINCE_1_20)
    replay = Replay(api.client, Changes(api.server.cluster), known)
    async with asyncio.timeout(90):
        await replay.run(load(Path(REFERENCE) / "kubernetes", name))
    differing = unexpected(replay.mismatches, replay.known)
    assert not differing, "\n".join(map(str, differing[:5]))
    assert not outdated(replay.mismatches, DIFFERENCES[name])
