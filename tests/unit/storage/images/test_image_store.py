"""The image store: what is imported is there, what nothing refers to goes, and nothing half-made shows."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgevirt.storage.images import skopeo
from edgevirt.storage.images.errors import (
    BrokenImage,
    ImageNotFound,
    ImageUnauthorized,
    PullFailed,
    RegistryUnreachable,
    RegistryUntrusted,
)
from edgevirt.storage.images.host import HostImage
from edgevirt.storage.images.store import ImageStore, PullPolicy

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img"),
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    store = ImageStore(tmp_path / "images", skopeo_program=str(tmp_path / "skopeo"))
    yield store
    await store.close()


def raw_disk(path: Path, text: bytes = b"disk") -> Path:
    path.write_bytes(text.ljust(1 << 20, b"\0"))
    return path


def fake_skopeo(tmp_path: Path, script: str) -> None:
    program = tmp_path / "skopeo"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_imported_disk_is_a_tree_with_one_readable_file(store: ImageStore, tmp_path: Path) -> None:
    source = raw_disk(tmp_path / "my.disk.img")
    source.chmod(0o600)
    image = await store.import_disk(source, "localhost/disk")
    assert image.local
    found = list(image.tree.rglob("*"))
    assert [p.relative_to(image.tree).as_posix() for p in found] == ["disk", "disk/my.disk.img"]
    assert found[1].stat().st_mode & 0o777 == 0o444
    assert store.resolve("localhost/disk") == image
    assert [i.name for i in store.list()] == ["localhost/disk:latest"]


async def test_qcow2_is_known_by_its_content(store: ImageStore, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "a.img"), "10M"
    )
    assert await process.wait() == 0
    image = await store.import_disk(tmp_path / "a.img", "localhost/q")
    assert (image.tree / "disk" / "a.qcow2").exists()


async def test_disk_with_a_backing_file_is_refused(store: ImageStore, tmp_path: Path) -> None:
    base = raw_disk(tmp_path / "base.img")
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(tmp_path / "top.qcow2")
    )
    assert await process.wait() == 0
    with pytest.raises(BrokenImage, match="backing file"):
        await store.import_disk(tmp_path / "top.qcow2", "localhost/x")
    assert store.list() == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"KDMV".ljust(4096, b"\0"), "VMDK"),
        (b"QFI\xfb" + struct.pack(">I", 3) + b"\xff" * 100, "not a"),
    ],
)
async def test_broken_disk_is_refused_with_its_reason(
    store: ImageStore, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(BrokenImage, match=says):
        await store.import_disk(path, "localhost/x")


async def test_name_can_move_and_the_old_image_goes(store: ImageStore, tmp_path: Path) -> None:
    first = await store.import_disk(raw_disk(tmp_path / "a", b"one"), "localhost/x")
    second = await store.import_disk(raw_disk(tmp_path / "b", b"two"), "localhost/x")
    assert first.id != second.id
    assert await store.collect() > 0
    assert not first.tree.exists()
    assert second.tree.exists()


async def test_held_image_outlives_its_name(store: ImageStore, tmp_path: Path) -> None:
    image = await store.import_disk(raw_disk(tmp_path / "a"), "localhost/x")
    store.hold(image, "pod-1")
    await store.remove("localhost/x")
    assert image.tree.exists()
    assert store.holders() == {"pod-1"}
    store.release("pod-1")
    await store.collect()
    assert not image.tree.exists()


async def test_same_content_is_stored_once(store: ImageStore, tmp_path: Path) -> None:
    one = await store.import_disk(raw_disk(tmp_path / "a"), "localhost/one")
    two = await store.import_disk(raw_disk(tmp_path / "b"), "localhost/two")
    assert one.id == two.id
    assert len(list((store.root / "trees").iterdir())) == 1


async def test_work_of_a_killed_process_is_swept(store: ImageStore) -> None:
    left = store.root / "tmp" / "999999999-abc"
    left.mkdir()
    ImageStore(store.root)
    assert not left.exists()


async def test_tree_without_a_record_does_not_exist(store: ImageStore, tmp_path: Path) -> None:
    image = await store.import_disk(raw_disk(tmp_path / "a"), "localhost/x")
    (store.root / "images" / f"{image.tree.name}.json").unlink()
    assert store.resolve("localhost/x") is None
    again = await store.import_disk(tmp_path / "a", "localhost/x")
    assert again.tree.exists()


async def test_removing_an_unknown_name_says_so(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound, match=r"docker\.io/library/nothing"):
        await store.remove("nothing")


async def test_local_image_satisfies_always_without_a_registry(store: ImageStore, tmp_path: Path) -> None:
    await store.import_disk(raw_disk(tmp_path / "a"), "quay.io/org/disk:v1")
    image, pulled = await store.ensure("quay.io/org/disk:v1", PullPolicy.ALWAYS)
    assert image.local
    assert not pulled


async def test_local_name_is_never_pulled(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound, match="local and not imported"):
        await store.ensure("localhost/x", PullPolicy.ALWAYS)


async def test_never_does_not_pull(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound, match="Never"):
        await store.ensure("busybox", PullPolicy.NEVER)


async def test_concurrent_pulls_share_one_transfer(store: ImageStore, tmp_path: Path) -> None:
    fake_skopeo(tmp_path, f"echo x >> {tmp_path}/calls; sleep 0.1; echo 'manifest unknown' >&2; exit 1")
    results = await asyncio.gather(*(store.pull("busybox") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, ImageNotFound) for result in results)
    assert (tmp_path / "calls").read_text().count("x") == 1
    assert list((store.root / "tmp").iterdir()) == []


async def test_credentials_are_not_on_the_command_line(store: ImageStore, tmp_path: Path) -> None:
    fake_skopeo(
        tmp_path,
        f'echo "$@" > {tmp_path}/argv; while [ "$1" != --authfile ]; do shift; done;'
        f" cat $2 > {tmp_path}/auth; exit 1",
    )
    with pytest.raises(PullFailed):
        await store.pull("busybox", [{"auths": {"docker.io": {"auth": "c2VjcmV0"}}}])
    assert "c2VjcmV0" not in (tmp_path / "argv").read_text()
    assert "c2VjcmV0" in (tmp_path / "auth").read_text()


async def test_pull_that_hangs_ends_at_its_deadline(tmp_path: Path) -> None:
    fake_skopeo(tmp_path, "sleep 100")
    store = ImageStore(tmp_path / "images", skopeo_program=str(tmp_path / "skopeo"), pull_timeout=0.2)
    with pytest.raises(RegistryUnreachable, match="no answer"):
        await store.pull("busybox")
    await store.close()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("reading manifest v9 in docker.io/library/busybox: manifest unknown", ImageNotFound),
        ("requested access to the resource is denied", ImageUnauthorized),
        ("unauthorized: authentication required", ImageUnauthorized),
        ("dial tcp: lookup nowhere.invalid: no such host", RegistryUnreachable),
        ("dial tcp 127.0.0.1:1: connect: connection refused", RegistryUnreachable),
        ("x509: certificate signed by unknown authority", RegistryUntrusted),
        ("http: server gave HTTP response to HTTPS client", RegistryUntrusted),
        ("the moon is full", PullFailed),
    ],
)
def test_failure_is_explained(line: str, kind: type[Exception]) -> None:
    error = skopeo.explain("busybox", [f'time="x" level=fatal msg="{line}"'])
    assert type(error) is kind
    assert line in str(error)


async def test_host_image_is_resolved_and_local(store: ImageStore, tmp_path: Path) -> None:
    host = HostImage(tmp_path)
    store.register("edgevirt.host/root:latest", host)
    image, pulled = await store.ensure("edgevirt.host/root", PullPolicy.ALWAYS)
    assert image.host == host
    assert not pulled


@pytest.mark.parametrize("size", [5, 511, 100_000])
async def test_file_that_is_no_disk_by_its_size_is_refused(
    store: ImageStore, tmp_path: Path, size: int
) -> None:
    (tmp_path / "words").write_bytes(b"x" * size)
    with pytest.raises(BrokenImage, match="would be a multiple of 512"):
        await store.import_disk(tmp_path / "words", "localhost/x")


@pytest.mark.parametrize("kept", [300, 100_000, 700_000])
async def test_qcow2_that_was_not_copied_completely_is_refused(
    store: ImageStore, tmp_path: Path, kept: int
) -> None:
    raw, whole = tmp_path / "raw", tmp_path / "whole.qcow2"
    raw.write_bytes(os.urandom(1 << 20))
    process = await asyncio.create_subprocess_exec("qemu-img", "convert", "-O", "qcow2", raw, whole)
    assert await process.wait() == 0
    await store.import_disk(whole, "localhost/whole")
    cut = tmp_path / "cut.qcow2"
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(BrokenImage, match=r"damaged|ends too early|not a valid"):
        await store.import_disk(cut, "localhost/cut")
    assert store.resolve("localhost/cut") is None
