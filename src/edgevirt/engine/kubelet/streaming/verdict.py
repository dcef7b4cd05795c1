"""How a remote command ended, as the bytes of the error stream. Pure.

From version 4 of the protocol on, a Status object is sent, with the exit code as a cause; before, the text of
an error, and nothing for success. Reasons and wording are those kubectl and the client libraries look for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """`failure` is why there was no command to have an exit code; "" if there was."""

    code: int = 0
    command: tuple[str, ...] = ()
    failure: str = ""


def encode(verdict: Verdict, version: int) -> bytes:
    """The error stream's content for that version of the protocol."""
    status = _status(verdict)
    if version >= 4:
        return json.dumps(status, separators=(",", ":")).encode()
    return str(status.get("message", "")).encode()


def _status(verdict: Verdict) -> dict[str, Any]:
    if verdict.failure:
        text = f"error executing command in container: {verdict.failure}"
        return {
            "metadata": {},
            "status": "Failure",
            "message": f"Internal error occurred: {text}",
            "reason": "InternalError",
            "details": {"causes": [{"message": text}]},
            "code": 500,
        }
    if verdict.code:
        shown = f"[{' '.join(verdict.command)}]"
        return {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: error executing command "
            f"{shown}, exit code {verdict.code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(verdict.code)}]},
        }
    return {"metadata": {}, "status": "Success"}
