"""A cluster as its user sees it: a kubeconfig, kubectl, the edgevirt command, and watches by kubectl."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from live_instance import EDGEVIRT, Instance

Object = dict[str, Any]


class Cluster:
    """`instance` is None for a cluster that somebody else runs."""

    def __init__(self, kubeconfig: Path, image: str, instance: Instance | None) -> None:
        self.kubeconfig = kubeconfig
        self.image = image
        self.instance = instance

    @contextlib.contextmanager
    def namespace(self) -> Iterator[Namespace]:
        """An empty namespace, deleted with everything in it afterwards."""
        name = f"test-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        try:
            yield Namespace(self, name)
        finally:
            if self.instance is not None:
                self.instance.up_if_down()
            self.kubectl("delete", "namespace", name, "--timeout=90s", timeout=120)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def run(
        self, *command: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=self.environment,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done

    def edgevirt(
        self, *arguments: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return self.run(str(EDGEVIRT), *arguments, check=check, timeout=timeout)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl", *arguments, stdin=stdin, check=check, timeout=timeout)


class Namespace:
    """One namespace of the cluster and the work in it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin, check=check, timeout=timeout)

    def edgevirt(
        self, command: str, name: str, *options: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        return self.cluster.edgevirt(command, name, "-n", self.name, *options, check=check, timeout=timeout)

    def apply(self, *objects: Object, check: bool = True) -> subprocess.CompletedProcess[str]:
        documents = "\n".join(map(json.dumps, objects))
        return self.kubectl("apply", "-f", "-", stdin=documents, check=check)

    def get(self, kind: str, name: str) -> Object:
        found: Object = json.loads(self.kubectl("get", kind, name, "-o", "json").stdout)
        return found

    def names(self, *kinds: str) -> list[str]:
        return self.kubectl("get", ",".join(kinds), "-o", "name").stdout.split()

    def delete(self, kind: str, name: str, *options: str) -> None:
        self.kubectl("delete", kind, name, "--wait", "--timeout=90s", *options)

    def until_ready(self, kind: str, name: str, seconds: float = 90.0) -> Object:
        """The object once it is Ready; it need not exist yet."""

        def ready(event: str, object: Object) -> bool:
            conditions = object.get("status", {}).get("conditions", ())
            return (
                event != "DELETED"
                and object["metadata"]["name"] == name
                and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            )

        with self.watching(kind) as watch:
            return watch.until(ready, seconds, f"{kind} {name} that is ready")

    def until_status(self, name: str, word: str, seconds: float = 90.0) -> Object:
        """The machine once `kubectl get vm` says `word`."""
        with self.watching("vm") as watch:
            return watch.until_word(name, word, seconds)

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """(type, reason, message) of what happened to the objects called `name`, oldest first."""
        shown = self.kubectl(
            "get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json"
        ).stdout
        items = sorted(json.loads(shown)["items"], key=lambda e: int(e["metadata"]["resourceVersion"]))
        return [(e["type"], e["reason"], e["message"]) for e in items]

    @contextlib.contextmanager
    def watching(self, kind: str) -> Iterator[Watch]:
        """What happens to the objects of `kind` from now on, as `kubectl get --watch` tells it."""
        process = subprocess.Popen(
            ["kubectl", "-n", self.name, "get", kind, "--watch", "--output-watch-events", "-o", "json"],
            env=self.cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Watch(process, f"{kind} in {self.name}")
        finally:
            process.kill()
            process.communicate()


class Watch:
    """Collects events in a thread; `until` waits for one. `seen` has all that were taken, in order."""

    def __init__(self, process: subprocess.Popen[str], what: str) -> None:
        self._process = process
        self._what = what
        self._news: queue.Queue[tuple[str, Object]] = queue.Queue()
        self.seen: list[tuple[str, Object]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def until(
        self, fits: Callable[[str, Object], bool], seconds: float = 90.0, what: str = "the event"
    ) -> Object:
        """The first object not taken yet that fits; a test fails if none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                kind, object = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                seen = [f"{kind} {_brief(object)}" for kind, object in self.seen[-6:]]
                raise AssertionError(
                    f"no {what} within {seconds:.0f} s watching {self._what}; seen last: {seen}"
                ) from None
            self.seen.append((kind, object))
            if fits(kind, object):
                return object

    def until_phase(self, name: str, phase: str, seconds: float = 90.0, *, not_uid: str = "") -> Object:
        """The instance `name` once it is in `phase`; with `not_uid` a newer one than that."""

        def fits(kind: str, object: Object) -> bool:
            return (
                kind != "DELETED"
                and object["metadata"]["name"] == name
                and object["metadata"]["uid"] != not_uid
                and object.get("status", {}).get("phase") == phase
            )

        return self.until(fits, seconds, f"{name} in phase {phase}")

    def until_word(self, name: str, word: str, seconds: float = 90.0) -> Object:
        """The machine `name` once its printable status is `word`."""

        def fits(kind: str, object: Object) -> bool:
            found = object.get("status", {}).get("printableStatus")
            return kind != "DELETED" and object["metadata"]["name"] == name and found == word

        return self.until(fits, seconds, f"{name} with status {word}")

    def until_gone(self, name: str, seconds: float = 90.0) -> None:
        self.until(
            lambda kind, object: kind == "DELETED" and object["metadata"]["name"] == name,
            seconds,
            f"end of {name}",
        )

    def values(self, name: str, pick: Callable[[Object], str]) -> list[str]:
        """The successive different values of a property of the object `name`, among what was seen."""
        result: list[str] = []
        for kind, object in self.seen:
            value = pick(object)
            if kind != "DELETED" and object["metadata"]["name"] == name and value not in result[-1:]:
                result.append(value)
        return result

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            event = json.loads(line)
            self._news.put((event["type"], event["object"]))


def _brief(object: Object) -> str:
    status = object.get("status", {})
    return (
        f"{object['metadata']['name']} {status.get('printableStatus') or status.get('phase') or ''}".strip()
    )
