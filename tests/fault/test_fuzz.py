"""Whatever a client sends, it gets an answer that says what is wrong with it, and the server lives on
unharmed.

A real server process over TLS. Some thousands of generated requests (the seed is printed); none may be
answered with an error the server did not expect, none may go unanswered, and memory must not grow with
their number.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest
import yarl
from nightly import length, seed
from request_generator import COLLECTIONS, META, Generator, Request
from server_process import Options, ServerProcess, call, started

pytestmark = pytest.mark.fault

CLIENTS = 4
UNEXPECTED = "an unexpected error"
SECONDS = 20.0


async def ask(session: aiohttp.ClientSession, server: ServerProcess, request: Request) -> str:
    """What is wrong with the answer; "" if nothing."""
    url = yarl.URL(server.url + request.path, encoded=True)
    try:
        async with (
            asyncio.timeout(SECONDS),
            session.request(
                request.method, url, headers=request.headers, data=request.body or None, allow_redirects=False
            ) as response,
        ):
            text = (await response.read()).decode("utf-8", "replace")
    except TimeoutError:
        return "no answer"
    except aiohttp.ClientError as error:
        return f"no answer: {error!r}"
    if response.status >= 500:
        return judged(response.status, text)
    if response.status >= 400 and response.headers.get("Content-Type", "").startswith("application/json"):
        answer = json.loads(text)
        if answer.get("code") != response.status or not answer.get("message"):
            return f"{response.status} that does not say what is wrong: {text[:300]}"
    return ""


def judged(status: int, text: str) -> str:
    """A real API server answers some bad input with 500, but it knows what it says."""
    if status == 500 and UNEXPECTED not in text and text.startswith("{"):
        return ""
    if status == 504 and "Too large resource version" in text:
        return ""
    if status in (502, 503) and "unexpected" not in text:
        return ""  # an aggregated or kubelet's path leads nowhere
    return f"{status}: {text[:300]}"


async def make_account(session: aiohttp.ClientSession) -> None:
    """The service account without which no pod is admitted; no controller runs here to make it."""
    path = "/api/v1/namespaces/default/serviceaccounts"
    status, _ = await call(session, "POST", path, {"metadata": {"name": "default"}})
    assert status in (201, 409)


async def bombard(server: ServerProcess, chance: random.Random, count: int) -> list[str]:
    generator = Generator(chance)
    faults: list[str] = []
    left = count

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            request = generator.next()
            fault = await ask(session, server, request)
            if fault:
                faults.append(f"{fault}\n    {request}"[:1500])

    async with server.session() as session, asyncio.TaskGroup() as group:
        await make_account(session)
        for _ in range(CLIENTS):
            group.create_task(client(session))
    return faults


async def test_bad_input_is_answered_and_costs_no_memory(tmp_path: Path) -> None:
    chance = random.Random(seed())
    count = length(2_500, 100_000)
    async with started(tmp_path, Options(store={"history_events": 200}, limits={"log_rows": 500})) as server:
        faults = await bombard(server, chance, count)
        warm = server.resident_bytes()
        faults += await bombard(server, chance, count)
        grown = server.resident_bytes() - warm
        assert not faults, "\n".join([f"{len(faults)} faults", *faults[:15], server.log()])
        assert grown < 12 * 1024 * 1024, f"{grown >> 20} MiB more after {count} further requests"
        assert "Traceback" not in server.log()


async def test_what_is_sent_would_be_accepted_unchanged(tmp_path: Path) -> None:
    """Else the fuzzer would only ever see the first check of a kind."""
    async with started(tmp_path, Options()) as server, server.session() as session:
        await make_account(session)
        for collection, parts in COLLECTIONS:
            document = {"metadata": dict(META), **parts}
            status, answer = await call(session, "POST", collection, document)
            assert status == 201, (collection, answer)
