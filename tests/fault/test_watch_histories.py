"""A thousand watchers see everything, in order, once, over kills, compaction and their own slowness.

A real server process over TLS on a real file. Some watchers select, some ask for bookmarks, some end after a
second or two by timeoutSeconds, some read in bursts, some come back only after so many changes that their
place in history may be gone. Writers create, change (labels too) and delete all the time. The server is
killed again and again. What everybody saw is judged afterwards by `watch_history`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nightly import length, seed
from server_process import Options, ServerProcess, call, started
from watch_history import Bookmark, Change, Session, Truth, Watcher, check

from edgevirt.engine.store.database import Database, Limits

pytestmark = pytest.mark.fault

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
MERGE = "application/merge-patch+json"
RED = ("color", "red")
WRITERS = 6
LAST = "last"
"""The object created when all else is done."""
LOG_ROWS = 150
OPTIONS = Options(
    limits={"log_rows": LOG_ROWS, "wal_pages": 200},
    store={"history_events": 60, "watch_events": 400},
    bookmark_seconds=0.3,
)
Json = dict[str, Any]


@dataclass(frozen=True)
class Habits:
    """`late`: how many changes it lets pass before it comes back."""

    selects: bool
    bookmarks: bool
    timeout: int
    bursts: bool
    late: int


@dataclass
class World:
    """What writers and watchers share."""

    server: ServerProcess
    chance: random.Random
    up: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    acknowledged: list[Change] = field(default_factory=list)
    known: dict[str, Json] = field(default_factory=dict)
    values: Any = field(default_factory=itertools.count)
    last: int = 0
    """The revision every watcher must reach; 0 while writers write."""

    @property
    def changes(self) -> int:
        return len(self.acknowledged)

    async def acknowledge(self, change: Change) -> None:
        self.acknowledged.append(change)
        async with self.changed:
            self.changed.notify_all()

    async def until_changes(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.changes >= count or self.last > 0)


def change_of(kind: str, obj: Json) -> Change:
    metadata = obj["metadata"]
    return Change(
        int(metadata["resourceVersion"]),
        metadata["name"],
        kind,
        tuple(sorted((metadata.get("labels") or {}).items())),
        (metadata.get("annotations") or {}).get("value", ""),
    )


async def write(world: World, session: aiohttp.ClientSession, names: list[str]) -> None:
    """One write to one of the writer's own objects."""
    await world.up.wait()
    name = world.chance.choice(names)
    known = world.known.get(name)
    metadata: Json = {
        "labels": {"color": world.chance.choice(("red", "blue"))},
        "annotations": {"value": f"v{next(world.values)}"},
    }
    try:
        if known is None:
            document = {"metadata": {"name": name, **metadata}}
            status, answer = await call(session, "POST", ACCOUNTS, document)
            kind = "ADDED"
        elif world.chance.random() < 0.25:
            status, answer = await call(session, "DELETE", f"{ACCOUNTS}/{name}")
            kind = "DELETED"
        else:
            if world.chance.random() < 0.5:
                del metadata["labels"]
            status, answer = await call(session, "PATCH", f"{ACCOUNTS}/{name}", {"metadata": metadata}, MERGE)
            kind = "MODIFIED"
    except (aiohttp.ClientError, ConnectionError):
        status, answer = 599, {}
    if status >= 300:
        # Lost in a kill, or the consequence of a lost one: look again what there is.
        assert status in (404, 409, 599), answer
        await look(world, session, name)
        return
    if kind == "DELETED":
        world.known.pop(name)
    else:
        world.known[name] = answer
    await world.acknowledge(change_of(kind, answer))


async def look(world: World, session: aiohttp.ClientSession, name: str) -> None:
    await world.up.wait()
    try:
        status, answer = await call(session, "GET", f"{ACCOUNTS}/{name}")
    except (aiohttp.ClientError, ConnectionError):
        return
    world.known.pop(name, None)
    if status == 200:
        world.known[name] = answer


class Watching:
    """One watcher at work."""

    def __init__(self, world: World, session: aiohttp.ClientSession, name: str, habits: Habits) -> None:
        self._world = world
        self._session = session
        self._habits = habits
        self._query = "labelSelector=color%3Dred&" if habits.selects else ""
        self.watcher = Watcher(name, RED if habits.selects else None)
        self.listed = asyncio.Event()
        self._finished = False

    async def run(self) -> None:
        """Until it has seen the last change."""
        world, sessions = self._world, self.watcher.sessions
        while not self._finished:
            await world.up.wait()
            try:
                if not sessions or sessions[-1].expired:
                    sessions.append(await self._list())
                    self.listed.set()
                elif sessions[-1].received:
                    sessions.append(Session(sessions[-1].position))
                if not self._finished:
                    await self._watch(sessions[-1])
            except (aiohttp.ClientError, ConnectionError):
                continue
            if self._habits.late:
                await world.until_changes(world.changes + self._habits.late)

    async def _list(self) -> Session:
        status, answer = await call(self._session, "GET", f"{ACCOUNTS}?{self._query}")
        assert status == 200, answer
        shown = (change_of("ADDED", item) for item in answer["items"])
        listed = {change.key: (change.revision, change.value) for change in shown}
        self._finished = LAST in listed
        return Session(int(answer["metadata"]["resourceVersion"]), listed)

    async def _watch(self, session: Session) -> None:
        query = f"{self._query}watch=1&resourceVersion={session.start}"
        query += f"&allowWatchBookmarks={str(self._habits.bookmarks).lower()}"
        if self._habits.timeout:
            query += f"&timeoutSeconds={self._habits.timeout}"
        async with self._session.get(f"{ACCOUNTS}?{query}") as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                self._take(session, json.loads(line))
                if self._finished:
                    return
                if self._habits.bursts:
                    await self._world.until_changes(self._world.changes + 5)

    def _take(self, session: Session, event: Json) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            assert obj["code"] == 410, obj
            session.expired = True
        elif kind == "BOOKMARK":
            session.received.append(Bookmark(int(obj["metadata"]["resourceVersion"])))
        else:
            session.received.append(change_of(kind, obj))
            self._finished = obj["metadata"]["name"] == LAST


def habits(number: int) -> Habits:
    return Habits(
        selects=number % 5 in (1, 3),
        bookmarks=number % 2 == 0,
        timeout=1 + number % 3 if number % 7 == 0 else 0,
        bursts=number % 11 == 0,
        late=LOG_ROWS + 50 if number % 21 == 0 else 0,
    )


async def disturb(world: World, kills: int, between: int) -> None:
    """Kills the server whenever that many changes were made."""
    for _ in range(kills):
        await world.until_changes(world.changes + between)
        world.up.clear()
        await world.server.kill()
        await world.server.start()
        world.up.set()


async def write_all(world: World, session: aiohttp.ClientSession, changes: int) -> None:
    async def writer(number: int) -> None:
        names = [f"w{number}-{n}" for n in range(5)]
        while world.changes < changes:
            await write(world, session, names)

    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(writer(number))


async def test_watchers_see_everything_once_in_order_over_kills_and_compaction(tmp_path: Path) -> None:
    number = seed()
    count, changes, kills = length(200, 1000), length(600, 5_000), length(2, 10)
    async with started(tmp_path, OPTIONS) as server, server.session() as session:
        world = World(server, random.Random(number))
        world.up.set()
        watching = [Watching(world, session, f"watcher {n} {habits(n)}", habits(n)) for n in range(count)]
        async with asyncio.timeout(length(120, 3600)), asyncio.TaskGroup() as group:
            for one in watching:
                group.create_task(one.run())
            for one in watching:
                await one.listed.wait()
            disturbing = group.create_task(disturb(world, kills, changes // (kills + 1)))
            await write_all(world, session, changes)
            await disturbing
            status, marker = await call(
                session, "POST", ACCOUNTS, {"metadata": {"name": LAST, "labels": {"color": "red"}}}
            )
            assert status == 201
            world.last = int(marker["metadata"]["resourceVersion"])
            await world.acknowledge(change_of("ADDED", marker))
    compacted = compacted_in(tmp_path / "data" / "store.db")
    watchers = [one.watcher for one in watching]
    seen = [
        item
        for watcher in watchers
        if watcher.selector is None
        for session_ in watcher.sessions
        for item in session_.received
        if isinstance(item, Change)
    ]
    problems = check(Truth([*world.acknowledged, *seen]), watchers, compacted, world.last)
    assert not problems, "\n".join([f"{len(problems)} problems", *problems[:20]])
    sessions = [session_ for watcher in watchers for session_ in watcher.sessions]
    assert compacted > 0
    assert sum(session_.expired for session_ in sessions) >= 3
    assert any(isinstance(item, Bookmark) for session_ in sessions for item in session_.received)


def compacted_in(path: Path) -> int:
    database = Database(path, Limits())
    try:
        return database.value("compacted")
    finally:
        database.close()
