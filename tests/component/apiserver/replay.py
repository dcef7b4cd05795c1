"""Replays recorded conversations with a real Kubernetes API server against ours and compares the answers.

The format is the one of the recordings' README: symbols such as ${uid1} are bound at their first appearance
in a response and substituted in later requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

_SYMBOL = re.compile(r"\$\{(\w+)\}")
_IGNORED = ("<time>", "<suffix>", "<rv>", "<hash>", "<PEM>", "<trimmed>")
_WILDCARD = re.compile("|".join([*map(re.escape, _IGNORED), r"\$\{\w+\}"]))
_HEADERS = ("Content-Type", "Warning", "Retry-After", "Allow", "Location")
_BIG = re.compile(r"^<(\d+) bytes>$")


@dataclass
class Mismatch:
    step: str
    where: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return (
            f"{self.step}\n    at {self.where}\n    expected {self.expected!r}\n    actual   {self.actual!r}"
        )


@dataclass
class Replay:
    """One scenario. `mismatches` says what differed, `steps` how many steps were compared."""

    client: aiohttp.ClientSession
    symbols: dict[str, str] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    failed_steps: set[int] = field(default_factory=set)
    steps: int = 0

    async def run(self, scenario: dict[str, Any]) -> None:
        for number, step in enumerate([*scenario.get("setup", []), *scenario["steps"]]):
            self.steps += 1
            before = len(self.mismatches)
            await self._step(step)
            if len(self.mismatches) > before:
                self.failed_steps.add(number)
        for request in scenario.get("teardown", []):
            await self._send(request)

    async def _step(self, step: dict[str, Any]) -> None:
        request, expected = step["request"], step["response"]
        label = f"{request['method']} {request['path']}"
        if request.get("stream"):
            await self._stream(step, label)
            return
        known = dict(self.symbols)
        # A recorder waited here for what a server does after it answered; a GET may be repeated instead.
        attempts = 20 if "poll" in step else 4 if request["method"] == "GET" else 1
        for attempt in range(attempts):
            self.symbols = dict(known)
            status, headers, body = await self._send(request)
            self._remember_token(request["path"], status, body)
            found = self._compare_answer(label, expected, status, headers, body)
            if not found:
                return
            if attempt < attempts - 1:
                await asyncio.sleep(0.1)
        self.mismatches.extend(found)

    def _remember_token(self, path: str, status: int, body: bytes) -> None:
        issued = re.search(r"/serviceaccounts/([^/]+)/token$", path)
        if issued and status == 201:
            self.symbols[f"account:serviceaccount:{issued[1]}"] = json.loads(body)["status"]["token"]

    def _bind(self, text: str) -> str:
        return _SYMBOL.sub(lambda match: self.symbols.get(match[1], match[0]), text)

    async def _send(self, request: dict[str, Any]) -> tuple[int, Any, bytes]:
        async with self._open(request) as response:
            return response.status, response.headers, await response.read()

    def _open(self, request: dict[str, Any]) -> Any:
        headers = dict(request.get("headers", {}))
        who = request.get("as", "admin")
        if who.startswith("serviceaccount:"):
            who = self.symbols.get(f"account:{who}", who)
        headers["Authorization"] = f"Bearer {who}"
        if who == "anonymous":
            headers["Authorization"] = ""
        headers.setdefault("Accept", "application/json")
        body: Any = None
        if "body" in request:
            body = self._bind(json.dumps(request["body"])).encode()
        elif "bodyText" in request:
            text = self._bind(request["bodyText"])
            big = _BIG.match(text)
            body = io.BytesIO(_big_body(int(big[1]))) if big else text.encode()
        url = URL(self._bind(request["path"]).replace(" ", "%20"), encoded=True)
        return self.client.request(
            request["method"], url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=20)
        )

    async def _stream(self, step: dict[str, Any], label: str) -> None:
        request, expected = step["request"], step["response"]
        events: list[Any] = []
        during = asyncio.create_task(self._during(step.get("during", [])))
        try:
            async with self._open(request) as response:
                if response.status != 200 or "events" not in expected:
                    body = await response.read()
                    self.mismatches.extend(
                        self._compare_answer(label, expected, response.status, response.headers, body)
                    )
                    return
                wanted = len(_without_last_bookmarks(expected["events"]))
                with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                    async with asyncio.timeout(4):
                        async for line in response.content:
                            events.append(json.loads(line))
                            if len(events) == wanted and not expected.get("closedByServer"):
                                break
        finally:
            await during
        wanted_events = _without_last_bookmarks(expected["events"])
        self.mismatches.extend(self._compare(label, "events", wanted_events, _without_last_bookmarks(events)))

    async def _during(self, steps: list[dict[str, Any]]) -> None:
        if steps:
            await asyncio.sleep(0.3)
        for step in steps:
            await self._step(step)

    def _compare_answer(
        self, label: str, expected: dict[str, Any], status: int, headers: Any, body: bytes
    ) -> list[Mismatch]:
        found: list[Mismatch] = []
        if expected["status"] != status:
            found.append(Mismatch(label, "status", expected["status"], f"{status} {body[:300]!r}"))
            return found
        for name in _HEADERS:
            wanted = expected.get("headers", {}).get(name)
            actual = headers.getall(name, [])
            listed = wanted if isinstance(wanted, list) else [wanted]
            if actual != listed if wanted is not None else name == "Warning" and actual:
                found.append(Mismatch(label, f"header {name}", wanted, actual))
        if "body" in expected:
            wanted = expected["body"]
            if isinstance(wanted, dict) and wanted.get("note") == "body trimmed":
                return found
            try:
                document = json.loads(body)
            except ValueError:
                return [*found, Mismatch(label, "body", wanted, body[:300])]
            if isinstance(wanted, dict) and wanted.get("note") == "items reduced to their names":
                names = [item["metadata"]["name"] for item in document.get("items") or ()]
                if names != wanted["names"] or document.get("kind") != wanted.get("kind"):
                    found.append(Mismatch(label, "names", wanted["names"], names))
                return found
            found.extend(self._compare(label, "", wanted, document))
        elif expected.get("bodyText"):
            found.extend(self._compare(label, "text", expected["bodyText"], body.decode()))
        return found

    def _compare(self, label: str, where: str, expected: Any, actual: Any) -> list[Mismatch]:
        if isinstance(expected, dict) and isinstance(actual, dict):
            found: list[Mismatch] = []
            for key in expected.keys() | actual.keys():
                wanted_key = next((k for k in (key,) if k in expected), None)
                if wanted_key is None:
                    found.append(Mismatch(label, f"{where}.{key}", "absent", actual[key]))
                elif key not in actual:
                    found.append(Mismatch(label, f"{where}.{key}", expected[key], "absent"))
                else:
                    found.extend(self._compare(label, f"{where}.{key}", expected[key], actual[key]))
            return found
        if isinstance(expected, list) and isinstance(actual, list):
            if len(expected) != len(actual):
                return [Mismatch(label, f"{where} length", expected, actual)]
            return [
                mismatch
                for index, pair in enumerate(zip(expected, actual, strict=True))
                for mismatch in self._compare(label, f"{where}[{index}]", *pair)
            ]
        if isinstance(expected, str) and isinstance(actual, str) and _WILDCARD.search(expected):
            return (
                []
                if self._match_text(expected, actual)
                else [Mismatch(label, where, self._bind(expected), actual)]
            )
        if expected in _IGNORED:
            return []
        return (
            []
            if expected == actual and type(expected) is type(actual)
            else [Mismatch(label, where, expected, actual)]
        )

    def _match_text(self, expected: str, actual: str) -> bool:
        """Matches text with symbols and wildcards, binding symbols that are new."""
        pattern, new, position = "", [], 0
        for match in _WILDCARD.finditer(expected):
            pattern += re.escape(expected[position : match.start()])
            symbol = _SYMBOL.fullmatch(match[0])
            if symbol is None:
                pattern += ".*?"
            elif symbol[1] in self.symbols:
                pattern += re.escape(self.symbols[symbol[1]])
            elif symbol[1] in new:
                pattern += f"(?P={symbol[1]})"
            else:
                new.append(symbol[1])
                pattern += f"(?P<{symbol[1]}>.+?)"
            position = match.end()
        pattern += re.escape(expected[position:])
        matched = re.fullmatch(pattern, actual, re.DOTALL)
        if matched is None:
            return False
        self.symbols.update(matched.groupdict())
        return True


def _without_last_bookmarks(events: list[Any]) -> list[Any]:
    """Plain bookmarks near the timeout come or not, as it happens."""
    end = len(events)
    while end and events[end - 1]["type"] == "BOOKMARK":
        obj = events[end - 1]["object"]
        if "rows" in obj or obj["metadata"].get("annotations"):
            break
        end -= 1
    return events[:end]


def _big_body(size: int) -> bytes:
    head = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"k":"'
    return head + b"x" * (size - len(head) - 3) + b'"}}'


def load(directory: Path, name: str) -> dict[str, Any]:
    scenario: dict[str, Any] = json.loads((directory / "recordings" / f"{name}.json").read_text())
    return scenario
