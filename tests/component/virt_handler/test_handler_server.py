"""The whole component against a small API over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from handler_pki import Authority

from edgevirt.virt_handler import server
from edgevirt.virt_handler.settings import Settings

pytestmark = pytest.mark.component

NODE = "/api/v1/nodes/n1"


class Api:
    """Lists, watches that stay open, and merge patches of one node."""

    def __init__(self) -> None:
        self.node: dict[str, Any] | None = {"metadata": {"name": "n1", "uid": "n", "resourceVersion": "1"}}
        self.patches: list[tuple[str, str, dict[str, Any]]] = []
        self.lists: list[tuple[str, dict[str, str]]] = []
        self._watchers: list[asyncio.Queue[dict[str, Any]]] = []
        self.changed = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH":
            return self._patch(request, json.loads(await request.read()))
        if "watch" in request.query:
            return await self._watch(request)
        self.lists.append((request.path, dict(request.query)))
        items = [self.node] if request.path.endswith("/nodes") and self.node else []
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    def _patch(self, request: web.Request, patch: dict[str, Any]) -> web.Response:
        self.patches.append((request.path, request.content_type, patch))
        if not request.path.startswith(NODE) or self.node is None:
            return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
        for part in ("labels", "annotations"):
            changes = patch.get("metadata", {}).get(part, {})
            self.node["metadata"].setdefault(part, {}).update(changes)
        if "status" in patch:
            self.node["status"] = patch["status"]
        self.tell()
        return web.json_response(self.node)

    def tell(self) -> None:
        assert self.node is not None
        self.node["metadata"]["resourceVersion"] = str(int(self.node["metadata"]["resourceVersion"]) + 1)
        for queue in self._watchers:
            queue.put_nowait({"type": "MODIFIED", "object": json.loads(json.dumps(self.node))})
        self.changed.set()

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if request.path.endswith("/nodes"):
            self._watchers.append(queue)
        while True:
            await response.write(msgspec.json.encode(await queue.get()) + b"\n")

    async def until_patched(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.patches) < times:
                await self.changed.wait()
                self.changed.clear()


class Register:
    def __init__(self) -> None:
        self.announced: dict[str, int] = {}

    def register(self, resource_name: str, count: int, device_paths: Sequence[str]) -> None:
        self.announced[resource_name] = count


@pytest.fixture
async def api() -> AsyncIterator[tuple[Api, str]]:
    api = Api()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield api, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def settings_for(directory: Path, url: str) -> Settings:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    authority = Authority(directory, "ca")
    certificate, key = authority.issue("node", x509.DNSName("localhost"))
    return Settings(
        kubeconfig=kubeconfig,
        node_name="n1",
        pods_dir=directory / "pods",
        state_dir=directory / "state",
        host_address="192.0.2.7",
        tls_cert=certificate,
        tls_key=key,
        tls_ca=authority.path,
        address="127.0.0.1",
        port=0,
        kvm_probe_timeout=0.2,
    )


async def test_the_agent_describes_its_node_and_says_goodbye(api: tuple[Api, str], tmp_path: Path) -> None:
    served, url = api
    started, register = asyncio.Event(), Register()
    task = asyncio.create_task(server.run(settings_for(tmp_path, url), started, register))
    await asyncio.wait_for(started.wait(), 15)
    assert served.node is not None
    assert served.node["metadata"]["labels"]["kubevirt.io/schedulable"] == "true"
    address = served.node["metadata"]["annotations"]["edgevirt.io/virt-handler-address"]
    assert address.startswith("192.0.2.7:")
    assert not address.endswith(":0")
    (condition,) = served.node["status"]["conditions"]
    assert condition["type"] == "KVMAvailable"
    assert [path for path, *_ in served.patches] == [NODE, f"{NODE}/status"]
    assert served.patches[1][1] == "application/strategic-merge-patch+json"
    selectors = dict(served.lists)
    vmis = selectors["/apis/kubevirt.io/v1/virtualmachineinstances"]
    assert vmis["labelSelector"] == "kubevirt.io/nodeName=n1"
    assert selectors["/api/v1/pods"]["fieldSelector"] == "spec.nodeName=n1"
    assert register.announced.get("devices.kubevirt.io/tun") == 1000
    del served.node["metadata"]["labels"]["kubevirt.io/schedulable"]  # as if the node had been made anew
    served.tell()
    await served.until_patched(3)
    assert served.node["metadata"]["labels"]["kubevirt.io/schedulable"] == "true"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert served.node["metadata"]["labels"]["kubevirt.io/schedulable"] == "false"


async def test_the_agent_is_not_started_before_its_node_exists(api: tuple[Api, str], tmp_path: Path) -> None:
    served, url = api
    node, served.node = served.node, None
    started = asyncio.Event()
    task = asyncio.create_task(server.run(settings_for(tmp_path, url), started, Register()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(started.wait(), 1)
    served.node = node
    served.tell()
    await asyncio.wait_for(started.wait(), 15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
