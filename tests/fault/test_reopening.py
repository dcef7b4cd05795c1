"""A store is opened again after a kill: soon, also when large; what cannot be opened says what to do."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from server_process import Options, ServerProcess, call, started

from edgevirt.engine.apiserver.cluster import storage_prefix
from edgevirt.engine.store.database import FORMAT
from edgevirt.engine.store.store import Store

pytestmark = pytest.mark.fault

MAPS = "/api/v1/namespaces/default/configmaps"
OBJECTS = 10_000
START_SECONDS = 8.0
"""To ready, with everything else the machine does during the tests."""


async def fill(path: Path, template: bytes) -> None:
    """Ten thousand objects and a full log, left behind as a kill leaves it: with a write-ahead log."""
    path.parent.mkdir(exist_ok=True)
    store = await Store.open(path)
    collection = store.collection(storage_prefix("", "configmaps"))

    def encode(number: int, text: str) -> bytes:
        return template.replace(b"template", b"n%05d" % number).replace(b"xxxx", text.encode())

    async def write(number: int) -> None:
        key = f"default/n{number:05d}"
        record = await store.create(collection, key, lambda _: encode(number, "first"))
        await store.update(collection, key, record.revision, lambda _: encode(number, "again"))

    for begin in range(0, OBJECTS, 250):
        await asyncio.gather(*(write(number) for number in range(begin, begin + 250)))
    left = path.parent.with_name("left")
    shutil.copytree(path.parent, left)
    await store.close()
    shutil.rmtree(path.parent)
    left.rename(path.parent)
    (path.parent / "store.db.lock").unlink()


async def template_of(server: ServerProcess) -> bytes:
    """A stored object of about a kilobyte, as the server writes it."""
    async with server.session() as session:
        document = {"metadata": {"name": "template"}, "data": {"k": "xxxx" + "y" * 600}}
        status, stored = await call(session, "POST", MAPS, document)
        assert status == 201
    return json.dumps(stored, separators=(",", ":")).encode()


async def test_server_with_ten_thousand_objects_is_soon_ready_after_a_kill(tmp_path: Path) -> None:
    async with started(tmp_path, Options()) as server:
        template = await template_of(server)
        await server.kill()
        shutil.rmtree(tmp_path / "data")
        await fill(tmp_path / "data" / "store.db", template)
        assert (tmp_path / "data" / "store.db-wal").stat().st_size > 0
        begun = time.monotonic()
        await server.start()
        taken = time.monotonic() - begun
        async with server.session() as session:
            status, listed = await call(session, "GET", f"{MAPS}?limit=10000&resourceVersion=0")
            assert status == 200
            assert len(listed["items"]) >= OBJECTS
            assert all(
                item["data"]["k"].startswith("again") for item in listed["items"] if "k" in item["data"]
            )
            version = int(listed["items"][-1]["metadata"]["resourceVersion"])
        print(f"ready after {taken:.2f} s, {server.resident_bytes() >> 20} MiB, revision {version}")
        assert taken < START_SECONDS


async def refused(directory: Path) -> str:
    """What a server says that cannot open its store."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from edgevirt.engine.store.store import Store\n"
        "from edgevirt.engine.store.errors import StoreError\n"
        "try:\n    asyncio.run(Store.open(Path(sys.argv[1])))\n"
        "except StoreError as error:\n    print(error)\n",
        str(directory / "data" / "store.db"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_second_server_on_the_same_store_is_told_so(tmp_path: Path) -> None:
    async with started(tmp_path, Options()) as server, server.session() as session:
        said = await refused(tmp_path)
        assert "is in use by another server; stop that one first" in said
        status, _ = await call(session, "GET", MAPS)
        assert status == 200


async def test_store_open_in_another_program_is_told_so(tmp_path: Path) -> None:
    async with started(tmp_path, Options()):
        pass
    other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    said = await refused(tmp_path)
    other.close()
    assert "cannot be opened" in said
    assert "that no other program has the file open" in said


async def killed_with_objects(server: ServerProcess) -> Path:
    """Fifty objects, the last of them in the log file only. Returns the store's directory."""
    async with server.session() as session:
        for number in range(50):
            document = {"metadata": {"name": f"n{number}"}, "data": {"k": "y" * 2000}}
            status, _ = await call(session, "POST", MAPS, document)
            assert status == 201
    await server.kill()
    return server.directory / "data"


def damage(path: Path) -> bytes:
    """Overwrites a block in the middle; returns the content now."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 8192 * 8192
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    return bytes(content)


async def test_damaged_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with started(tmp_path, Options()) as server:
        path = await killed_with_objects(server) / "store.db"
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        content = damage(path)
        said = await refused(tmp_path)
        assert "is damaged" in said
        assert "Restore it from a backup, or move it away to start empty" in said
        assert path.read_bytes() == content


async def test_damaged_log_file_is_not_cut_off_in_silence(tmp_path: Path) -> None:
    """SQLite opened it up to the damage: acknowledged writes were gone, and nobody was told."""
    async with started(tmp_path, Options()) as server:
        directory = await killed_with_objects(server)
        log = directory / "store.db-wal"
        content = damage(log)
        said = await refused(tmp_path)
        assert "transactions in store.db-wal lie behind a part of it that cannot be read" in said
        assert f"or move {log} away to go on without them" in said
        assert log.read_bytes() == content
        log.rename(tmp_path / "aside")
        await server.start()
        async with server.session() as session:
            status, _ = await call(session, "GET", MAPS)
        assert status == 200


async def test_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    async with started(tmp_path, Options()):
        pass
    path = tmp_path / "data" / "store.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    content = path.read_bytes()
    said = await refused(tmp_path)
    assert f"has format {FORMAT + 1}, this version reads up to {FORMAT}; run the newer version" in said
    assert path.read_bytes() == content
