"""Log lines of the two processes: time, level, logger, constant message, then key=value pairs."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """One line per record; what was given as `extra` follows the message as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        pairs = "".join(
            f" {key}={_quoted(value)}" for key, value in record.__dict__.items() if key not in _STANDARD
        )
        line = f"{moment}Z {record.levelname:<7} {record.name}: {record.getMessage()}{pairs}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def configure(level: int = logging.INFO) -> None:
    """Send all records of this process to stderr in that form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line per request is an audit log, and that is the API server's own.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
