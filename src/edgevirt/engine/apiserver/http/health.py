"""/healthz, /livez and /readyz: named checks, all at once or one by one, as probes and people read them.

`livez` asks whether the process should be restarted, `readyz` whether it should get requests, `healthz` is
the older name for all of it. What failed is in the server's log, not in the answer, which anybody may read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from aiohttp import web

from edgevirt.engine.apiserver.errors import no_such_path

_log = logging.getLogger("edgevirt.engine.apiserver")

KINDS = ("healthz", "livez", "readyz")

Check = Callable[[], str]
"""A health check: "" when healthy, else what is wrong."""

_HEADERS = {"Cache-Control": "no-cache, private", "X-Content-Type-Options": "nosniff"}


def fine() -> str:
    return ""


class Health:
    """`live` decide whether the process works, `ready` are further checks before it wants requests."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        alive = {"ping": fine, **live}
        self._checks = {"healthz": {**alive, **ready}, "livez": alive, "readyz": {**alive, **ready}}

    def paths(self) -> list[str]:
        found = [f"/{kind}" for kind in KINDS]
        return [*found, *(f"/{kind}/{name}" for kind in KINDS for name in self._checks[kind])]

    def answer(self, raw: web.BaseRequest, kind: str, only: str) -> web.Response:
        """`only` names one check, "" asks for all. Raises `StatusError` 404 for a check there is not."""
        checks = self._checks[kind]
        if only:
            if only not in checks:
                raise no_such_path()
            checks = {only: checks[only]}
        excluded = [name for name in raw.query.getall("exclude", []) if name]
        lines, failed = [], False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            fault = check()
            if fault:
                failed = True
                _log.warning("health check failed", extra={"check": name, "kind": kind, "fault": fault})
            lines.append(f"[-]{name} failed: reason withheld" if fault else f"[+]{name} ok")
        unknown = [name for name in excluded if name not in checks]
        if unknown:
            listed = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        if only and not failed:
            return _text("ok", 200)
        if not failed and "verbose" not in raw.query:
            return _text("ok", 200)
        lines.append(f"{kind} check {'failed' if failed else 'passed'}")
        return _text("\n".join(lines) + "\n", 500 if failed else 200)


def _text(text: str, status: int) -> web.Response:
    return web.Response(
        status=status, text=text, content_type="text/plain", charset="utf-8", headers=_HEADERS
    )
