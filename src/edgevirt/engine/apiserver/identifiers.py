"""Random UUIDs, with randomness drawn from the system in larger portions: the call is what costs."""

from __future__ import annotations

import os
import uuid

_PORTION = 16 * 128


class Identifiers:
    """A source of version 4 UUIDs as text."""

    def __init__(self) -> None:
        self._pool = b""

    def __call__(self) -> str:
        if not self._pool:
            self._pool = os.urandom(_PORTION)
        taken, self._pool = self._pool[:16], self._pool[16:]
        return str(uuid.UUID(bytes=taken, version=4))


new_uid = Identifiers()
