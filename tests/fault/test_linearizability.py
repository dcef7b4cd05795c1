"""Single objects are linearizable under concurrent writers, over SIGKILLs of the server.

Clients create, read, update, patch and delete a few objects over TLS, with preconditions on
resourceVersion and uid, while the server process is killed at moments of no client's choice and started
again. What they were answered is judged afterwards, offline.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from linearizability import Operation, explain
from nightly import length, seed
from server_process import Options, ServerProcess, call, started

pytestmark = pytest.mark.fault

# Service accounts: their deletion answers with the object, and so with the revision of the deletion.
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
MERGE = "application/merge-patch+json"
PLAIN = "application/json"
CLIENTS = 10
Json = dict[str, Any]


@dataclass
class Clients:
    """The histories by object, and what the clients know of each: the object as they last saw it."""

    server: ServerProcess
    chance: random.Random
    histories: dict[str, list[Operation]] = field(default_factory=dict)
    seen: dict[str, list[Json]] = field(default_factory=dict)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    ticks: Any = field(default_factory=itertools.count)
    values: Any = field(default_factory=itertools.count)
    lost: list[tuple[str, int]] = field(default_factory=list)
    done: int = 0

    async def work(self, names: list[str], operations: int, kill_at: int, killing: asyncio.Event) -> None:
        """One client. Whoever does the operation number `kill_at` has the server killed."""
        async with self.server.session() as session:
            while self.done < operations:
                await self.up.wait()
                await self.one(session, self.chance.choice(names))
                self.done += 1
                if self.done == kill_at:
                    killing.set()

    async def one(self, session: aiohttp.ClientSession, name: str) -> None:
        operation, method, path, document, media = self._chosen(name)
        called = next(self.ticks)
        history = self.histories.setdefault(name, [])
        try:
            status, answer = await call(session, method, path, document, media)
        except (aiohttp.ClientError, ConnectionError):
            status, answer = 599, {}
        made = replace(operation, called=called, answered=next(self.ticks))
        if status >= 500:
            if operation.kind != "read":
                self.lost.append((name, len(history)))
                history.append(replace(made, answer="lost"))
            return
        answered = _answered(made, status, answer)
        if answered.answer == "conflict" and operation.expected is None and not operation.uid:
            return  # the server gave up trying again among so many: nothing was done
        history.append(answered)
        if status < 300 and operation.kind != "delete":
            self.seen.setdefault(name, []).append(answer)

    def _chosen(self, name: str) -> tuple[Operation, str, str, Json | None, str]:
        chance, path = self.chance, f"{ACCOUNTS}/{name}"
        known = self.seen.get(name, ())[-4:]
        kind = chance.choice(("read", "update", "update", "patch", "delete", "create"))
        value = f"v{next(self.values)}"
        annotations = {"value": value}
        base = Operation(kind, 0, 0, "", value)
        if kind == "create" or (kind != "read" and not known):
            document: Json = {"metadata": {"name": name, "annotations": annotations}}
            return replace(base, kind="create"), "POST", ACCOUNTS, document, PLAIN
        if kind == "read":
            return base, "GET", path, None, ""
        metadata = chance.choice(known)["metadata"]
        version, uid = metadata["resourceVersion"], metadata["uid"]
        expected = replace(base, expected=int(version))
        if kind == "update":
            body = {"metadata": {"name": name, "resourceVersion": version, "annotations": annotations}}
            return expected, "PUT", path, body, PLAIN
        if kind == "patch":
            body = {"metadata": {"annotations": annotations}}
            if chance.random() < 0.5:
                return replace(base, kind="update"), "PATCH", path, body, MERGE
            body["metadata"]["resourceVersion"] = version  # type: ignore[assignment]
            return replace(expected, kind="update"), "PATCH", path, body, MERGE
        if chance.random() < 0.5:
            return (
                expected,
                "DELETE",
                path,
                {"preconditions": {"resourceVersion": version}},
                PLAIN,
            )
        return replace(base, uid=uid), "DELETE", path, {"preconditions": {"uid": uid}}, PLAIN

    def server_is_dead(self) -> None:
        """Lost operations take effect before now or never."""
        for name, index in self.lost:
            history = self.histories[name]
            history[index] = replace(history[index], answered=next(self.ticks))
        self.lost.clear()


def _answered(operation: Operation, status: int, answer: Json) -> Operation:
    if status == 404:
        return replace(operation, answer="absent")
    if status == 409:
        exists = answer["reason"] == "AlreadyExists"
        return replace(operation, answer="exists" if exists else "conflict")
    assert status < 300, answer
    metadata = answer["metadata"]
    found = replace(
        operation, answer="ok", revision=int(metadata["resourceVersion"]), found_uid=metadata["uid"]
    )
    return replace(found, value=metadata["annotations"]["value"]) if operation.kind == "read" else found


async def round_with_a_kill(clients: Clients, names: list[str], operations: int, kill_at: int) -> None:
    killing = asyncio.Event()
    clients.done = 0
    clients.up.set()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(clients.work(names, operations, kill_at, killing))
        await killing.wait()
        clients.up.clear()
        await clients.server.kill()
        clients.server_is_dead()
        await clients.server.start()
        clients.up.set()


async def test_objects_are_linearizable_over_kills(tmp_path: Path) -> None:
    number = seed()
    async with started(tmp_path, Options(limits={"log_rows": 300, "wal_pages": 100})) as server:
        clients = Clients(server, random.Random(number))
        for turn in range(length(6, 90)):
            names = [f"o{turn // 3}-{n}" for n in range(3)]
            await round_with_a_kill(clients, names, 400, clients.chance.randrange(100, 300))
        assert sum(len(history) for history in clients.histories.values()) > 800
    outcomes = {(o.kind, o.answer) for history in clients.histories.values() for o in history}
    assert {("update", "ok"), ("update", "conflict"), ("delete", "ok"), ("create", "exists")} <= outcomes
    assert any(answer == "lost" for _, answer in outcomes)
    for name, history in clients.histories.items():
        assert explain(history) is not None, f"no order explains {name}: {history}"
