"""Replays recorded conversations with a real Kubernetes API server against ours and compares the answers.

The format is the one of the recordings' README: symbols such as ${uid1} are bound at their first appearance
in a response and substituted in later requests. Every step is numbered, from 0 through setup and steps, and
every difference has a place in its answer, so that a test can name exactly which ones are expected (`Known`).

Nothing sleeps. Where the recorder waited for something a server does after it answered, the request is
repeated when the server under test has committed a change (`Changes`), until the answer is as recorded or a
deadline has passed. Steps `during` a watch begin when its answer has begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import io
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from edgevirt.engine.apiserver.cluster import Cluster

_SYMBOL = re.compile(r"\$\{(\w+)\}")
_IGNORED = ("<time>", "<suffix>", "<rv>", "<hash>", "<PEM>", "<trimmed>")
_WILDCARD = re.compile("|".join([*map(re.escape, _IGNORED), r"\$\{\w+\}"]))
_HEADERS = ("Content-Type", "Warning", "Retry-After", "Allow", "Location")
_BIG = re.compile(r"^<(\d+) bytes>$")
_AGE = re.compile(r"(\d+[smhdy])+")
_SENT_TIME = "2020-02-02T02:02:02Z"
"""What is sent where a recorded request held a time."""

POLL_SECONDS = 10.0
"""How long a request is repeated that the recorder repeated."""
SETTLE_SECONDS = 2.0
"""How long another GET is repeated: a recorder waited a second after changes that take effect later."""


@dataclass(frozen=True)
class Mismatch:
    number: int
    step: str
    where: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return (
            f"step {self.number}: {self.step}\n    at {self.where}\n    expected {self.expected!r}\n"
            f"    actual   {self.actual!r}"
        )


@dataclass(frozen=True)
class Known:
    """A difference that is expected: a place (with `*` for any text) in some steps' answers; () means all."""

    steps: tuple[int, ...]
    place: str
    why: str

    def covers(self, mismatch: Mismatch) -> bool:
        place = self.place.replace("[", "[[]")
        return (not self.steps or mismatch.number in self.steps) and fnmatch.fnmatchcase(
            mismatch.where, place
        )


def unexpected(mismatches: list[Mismatch], known: tuple[Known, ...]) -> list[Mismatch]:
    """The mismatches that are not known."""
    return [found for found in mismatches if not any(entry.covers(found) for entry in known)]


def outdated(mismatches: list[Mismatch], known: tuple[Known, ...]) -> list[Known]:
    """What is listed as known for a step that does not differ (any more)."""
    return [
        Known((number,), entry.place, entry.why)
        for entry in known
        for number in entry.steps
        if not any(found.number == number and entry.covers(found) for found in mismatches)
    ]


class Changes:
    """Tells when the server under test has committed something or serves other resources than before."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._changed = asyncio.Event()
        cluster.registry.on_change(self._changed.set)

    @contextlib.contextmanager
    def observed(self) -> Iterator[Callable[[], Awaitable[object]]]:
        """Within, the function given waits for the next change since it was called last."""
        store = self._cluster.store
        ends = [store.collection(name).observe(lambda _: self._changed.set()) for name in store.collections()]
        self._changed.clear()

        async def next_change() -> None:
            await self._changed.wait()
            self._changed.clear()

        try:
            yield next_change
        finally:
            for end in ends:
                end()


@dataclass
class Replay:
    """One scenario. `mismatches` says what differed, `steps` how many steps were compared."""

    client: aiohttp.ClientSession
    changes: Changes
    known: tuple[Known, ...] = ()
    symbols: dict[str, str] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    steps: int = 0
    order: tuple[str, ...] = ()

    async def run(self, scenario: dict[str, Any]) -> None:
        self.order = tuple(scenario.get("rvOrder", ()))
        for number, step in enumerate([*scenario.get("setup", []), *scenario["steps"]]):
            self.steps += 1
            await self._step(step, number)
        for request in scenario.get("teardown", []):
            await self._send(request)

    async def _step(self, step: dict[str, Any], number: int) -> None:
        request = step["request"]
        if request.get("stream"):
            await self._stream(step, number)
        elif request["method"] == "GET":
            await self._settled(step, number)
        else:
            self.mismatches.extend(await self._ask(step, number))

    async def _settled(self, step: dict[str, Any], number: int) -> None:
        """Asks again after each change of the server until the answer is the recorded one, or time is up."""
        before = dict(self.symbols)
        found: list[Mismatch] = []
        with self.changes.observed() as next_change, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS if "poll" in step else SETTLE_SECONDS):
                while True:
                    self.symbols = dict(before)
                    found = await self._ask(step, number)
                    if not unexpected(found, self.known):
                        break
                    await next_change()
        self.mismatches.extend(found)

    async def _ask(self, step: dict[str, Any], number: int) -> list[Mismatch]:
        request = step["request"]
        status, headers, body = await self._send(request)
        self._remember_token(request["path"], status, body)
        compared = Comparison(self, number, _label(request), request["path"].startswith("/openapi/"))
        return compared.answer(step["response"], status, headers, body)

    def _remember_token(self, path: str, status: int, body: bytes) -> None:
        issued = re.search(r"/serviceaccounts/([^/]+)/token$", path)
        if issued and status == 201:
            self.symbols[f"account:serviceaccount:{issued[1]}"] = json.loads(body)["status"]["token"]

    def bind(self, text: str) -> str:
        """`text` with the values of symbols in it; unknown symbols stay."""
        return _SYMBOL.sub(lambda match: self.symbols.get(match[1], match[0]), text)

    def _bind_request(self, text: str) -> str:
        """As `bind`; a revision that no response showed is one beside its neighbour in order."""
        for name in _SYMBOL.findall(text):
            if name in self.symbols or name not in self.order:
                continue
            later = self.order[self.order.index(name) + 1 :]
            following = next((self.symbols[other] for other in later if other in self.symbols), None)
            if following is not None:
                self.symbols[name] = str(int(following) - 1)
        return self.bind(text).replace("<time>", _SENT_TIME)

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
            body = self._bind_request(json.dumps(request["body"])).encode()
        elif "bodyText" in request:
            text = self._bind_request(request["bodyText"])
            big = _BIG.match(text)
            body = io.BytesIO(_big_body(int(big[1]))) if big else text.encode()
        url = URL(self._bind_request(request["path"]).replace(" ", "%20"), encoded=True)
        return self.client.request(
            request["method"], url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=20)
        )

    async def _stream(self, step: dict[str, Any], number: int) -> None:
        request, expected = step["request"], step["response"]
        compared = Comparison(self, number, _label(request))
        async with self._open(request) as response:
            if response.status != 200 or "events" not in expected:
                body = await response.read()
                self.mismatches.extend(compared.answer(expected, response.status, response.headers, body))
                return
            for other in step.get("during", []):
                await self._step(other, number)
            wanted = _without_last_bookmarks(expected["events"])
            events = await self._events(response, len(wanted), bool(expected.get("closedByServer")))
        self.mismatches.extend(compared.values("events", wanted, _without_last_bookmarks(events)))

    async def _events(self, response: aiohttp.ClientResponse, wanted: int, to_end: bool) -> list[Any]:
        events: list[Any] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                while to_end or len(events) < wanted:
                    line = await response.content.readline()
                    if not line:
                        break
                    events.append(json.loads(line))
        return events


@dataclass(frozen=True)
class Comparison:
    """Compares the answer of one step; binds the replay's symbols on the way."""

    replay: Replay
    number: int
    label: str
    trimmed: bool = False
    """The recorder kept only a part of the body: what it lacks is not compared."""

    def _found(self, where: str, expected: Any, actual: Any) -> Mismatch:
        return Mismatch(self.number, self.label, where, expected, actual)

    def answer(self, expected: dict[str, Any], status: int, headers: Any, body: bytes) -> list[Mismatch]:
        found: list[Mismatch] = []
        if expected["status"] != status:
            return [self._found("status", expected["status"], f"{status} {body[:300]!r}")]
        for name in _HEADERS:
            wanted = expected.get("headers", {}).get(name)
            actual = headers.getall(name, [])
            listed = wanted if isinstance(wanted, list) else [wanted]
            if actual != listed if wanted is not None else name == "Warning" and actual:
                found.append(self._found(f"header {name}", wanted, actual))
        if "body" in expected:
            found.extend(self._body(expected["body"], body))
        elif expected.get("bodyText"):
            found.extend(self.values("text", expected["bodyText"], body.decode()))
        return found

    def _body(self, wanted: Any, body: bytes) -> list[Mismatch]:
        if isinstance(wanted, dict) and wanted.get("note") == "body trimmed":
            return []
        try:
            document = json.loads(body)
        except ValueError:
            return [self._found("body", wanted, body[:300])]
        if isinstance(wanted, dict) and wanted.get("note") == "items reduced to their names":
            names = [item["metadata"]["name"] for item in document.get("items") or ()]
            same = names == wanted["names"] and document.get("kind") == wanted.get("kind")
            return [] if same else [self._found("names", wanted["names"], names)]
        return self.values("", wanted, document)

    def values(self, where: str, expected: Any, actual: Any) -> list[Mismatch]:
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._maps(where, expected, actual)
        if isinstance(expected, list) and isinstance(actual, list):
            return self._lists(where, expected, actual)
        if isinstance(expected, str) and isinstance(actual, str):
            matched = self._match_text(expected, actual) if _WILDCARD.search(expected) else expected == actual
            return [] if matched else [self._found(where, self.replay.bind(expected), actual)]
        if expected in _IGNORED:
            return []
        same = expected == actual and type(expected) is type(actual)
        return [] if same else [self._found(where, expected, actual)]

    def _maps(self, where: str, expected: dict[str, Any], actual: dict[str, Any]) -> list[Mismatch]:
        found: list[Mismatch] = []
        for key in [*expected, *(key for key in actual if key not in expected)]:
            if key not in expected:
                if not self.trimmed:
                    found.append(self._found(f"{where}.{key}", "absent", actual[key]))
            elif key not in actual:
                found.append(self._found(f"{where}.{key}", expected[key], "absent"))
            else:
                found.extend(self.values(f"{where}.{key}", expected[key], actual[key]))
        return found

    def _lists(self, where: str, expected: list[Any], actual: list[Any]) -> list[Mismatch]:
        if len(expected) != len(actual):
            return [self._found(f"{where} length", expected, actual)]
        if where.endswith(".managedFields"):
            # By the second in which each manager wrote, which a replay need not share with the recording.
            expected, actual = sorted(expected, key=_owner), sorted(actual, key=_owner)
        found: list[Mismatch] = []
        for index, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
            # Cells that are ages depend on how long the recorder waited.
            age = where.endswith(".cells") and isinstance(wanted, str) and _AGE.fullmatch(wanted)
            if not (age and isinstance(got, str) and _AGE.fullmatch(got)):
                found.extend(self.values(f"{where}[{index}]", wanted, got))
        return found

    def _match_text(self, expected: str, actual: str) -> bool:
        """Matches text with symbols and wildcards, binding symbols that are new."""
        symbols = self.replay.symbols
        pattern, new, position = "", [], 0
        for match in _WILDCARD.finditer(expected):
            pattern += re.escape(expected[position : match.start()])
            symbol = _SYMBOL.fullmatch(match[0])
            if symbol is None:
                pattern += ".*?"
            elif symbol[1] in symbols:
                pattern += re.escape(symbols[symbol[1]])
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
        symbols.update(matched.groupdict())
        return True


def _label(request: dict[str, Any]) -> str:
    return f"{request['method']} {request['path']}"


def _owner(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(entry.get(name, "") for name in ("manager", "operation", "apiVersion", "subresource"))


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
    """A scenario, without what only the recorded server's distribution does."""
    scenario: dict[str, Any] = json.loads((directory / "recordings" / f"{name}.json").read_text())
    for step in [*scenario.get("setup", []), *scenario["steps"]]:
        response = step["response"]
        _without_service_ca(response.get("body"))
        if "bodyText" in response:
            response["bodyText"] = _UNBOUND_REVISION.sub('resourceVersion: "<rv>"', response["bodyText"])
    return scenario


_UNBOUND_REVISION = re.compile(r'resourceVersion: "\d+"')


def _without_service_ca(value: Any) -> None:
    """Removes what OpenShift alone adds to the token volume of pods: the CA of its service certificates."""
    if isinstance(value, dict):
        if isinstance(value.get("sources"), list):
            value["sources"] = [
                source
                for source in value["sources"]
                if (source.get("configMap") or {}).get("name") != "openshift-service-ca.crt"
            ]
        for below in value.values():
            _without_service_ca(below)
    elif isinstance(value, list):
        for below in value:
            _without_service_ca(below)
