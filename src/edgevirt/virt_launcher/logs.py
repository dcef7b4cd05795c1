"""The pod's log: one line per event, a constant message and its details as key=value pairs."""

from __future__ import annotations

import logging
from typing import Final

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """`time level message key=value ...`"""

    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={value!r}" for key, value in record.__dict__.items() if key not in _STANDARD)
        return f"{super().format(record)}{pairs}"


def set_up() -> None:
    """Log to standard error, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValueFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
