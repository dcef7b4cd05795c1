"""Pulling with the real skopeo from a small registry on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from busybox_image import busybox_image
from edgevirt.storage.images.errors import (
    ImageNotFound,
    ImageUnauthorized,
    RegistryUnreachable,
    RegistryUntrusted,
)
from edgevirt.storage.images.store import ImageStore

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("skopeo"), reason="needs skopeo"),
]


class Registry:
    """Serves one image read-only under `app:v1`; counts the blobs it gives."""

    def __init__(self, layout: Path) -> None:
        self._blobs = layout / "blobs" / "sha256"
        index = json.loads((layout / "index.json").read_text())
        self._manifest = index["manifests"][0]["digest"].removeprefix("sha256:")
        self.given: list[str] = []
        self.locked = False
        self.address = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/v2/", self._ping)
        app.router.add_get("/v2/app/manifests/{name}", self._manifests)
        app.router.add_get("/v2/app/blobs/{digest}", self._blob)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _ping(self, request: web.Request) -> web.Response:
        if self.locked:
            return web.json_response(
                {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                status=401,
                headers={"WWW-Authenticate": 'Basic realm="test"'},
            )
        return web.json_response({})

    async def _manifests(self, request: web.Request) -> web.Response:
        if self.locked:
            return await self._ping(request)
        name = request.match_info["name"].removeprefix("sha256:")
        if name not in ("v1", self._manifest):
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            return web.json_response({"errors": [error]}, status=404)
        return web.Response(
            body=(self._blobs / self._manifest).read_bytes(),
            content_type="application/vnd.oci.image.manifest.v1+json",
            headers={"Docker-Content-Digest": f"sha256:{self._manifest}"},
        )

    async def _blob(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        self.given.append(digest)
        return web.Response(body=(self._blobs / digest.removeprefix("sha256:")).read_bytes())


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = Registry(busybox_image(tmp_path / "image"))
    runner = await registry.start()
    yield registry
    await runner.cleanup()


@pytest.fixture
async def store(tmp_path: Path, registry: Registry) -> AsyncIterator[ImageStore]:
    store = ImageStore(tmp_path / "images", insecure_registries=frozenset({registry.address}))
    yield store
    await store.close()


async def test_image_is_pulled_unpacked_and_its_layers_dropped(store: ImageStore, registry: Registry) -> None:
    lines: list[str] = []
    image = await store.pull(f"{registry.address}/app:v1", progress=lines.append)
    assert (image.tree / "bin" / "busybox").exists()
    assert dict(image.config.env) == {"FROM_IMAGE": "yes"}
    assert not image.local
    assert any("Copying blob" in line for line in lines)
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 3
    await store.collect()
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 2


async def test_second_pull_of_a_known_image_fetches_no_layer(store: ImageStore, registry: Registry) -> None:
    first = await store.pull(f"{registry.address}/app:v1")
    given = len(registry.given)
    second = await store.pull(f"{registry.address}/app:v1")
    assert first.tree == second.tree
    assert len(registry.given) == given


async def test_unknown_tag_is_not_found(store: ImageStore, registry: Registry) -> None:
    with pytest.raises(ImageNotFound):
        await store.pull(f"{registry.address}/app:v2")


async def test_missing_credentials_are_named(store: ImageStore, registry: Registry) -> None:
    registry.locked = True
    with pytest.raises(ImageUnauthorized):
        await store.pull(f"{registry.address}/app:v1")


async def test_registry_that_is_down_is_unreachable(store: ImageStore) -> None:
    with pytest.raises(RegistryUnreachable):
        await store.pull("127.0.0.1:1/app:v1")


async def test_plain_http_is_not_trusted_unless_configured(tmp_path: Path, registry: Registry) -> None:
    strict = ImageStore(tmp_path / "strict")
    with pytest.raises(RegistryUntrusted):
        await strict.pull(f"{registry.address}/app:v1")
    await strict.close()
