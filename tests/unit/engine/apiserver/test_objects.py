"""How stored bytes are made."""

from __future__ import annotations

import ctypes
import uuid

import pytest

from edgevirt.engine.apiserver.identifiers import new_uid
from edgevirt.engine.apiserver.objects import encode, exact

pytestmark = pytest.mark.unit


def allocated(data: bytes) -> int:
    usable = ctypes.CDLL(None).malloc_usable_size
    usable.argtypes, usable.restype = [ctypes.c_void_p], ctypes.c_size_t
    return int(usable(id(data)))


def test_kept_bytes_take_no_more_memory_than_their_size() -> None:
    data = encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"text": "x" * 5000}})
    assert allocated(data) > 1.1 * len(data)  # or `exact` has no purpose any more
    kept = exact(data)
    assert kept == data
    assert allocated(kept) < len(data) + 100


def test_identifiers_are_version_4_uuids_and_never_repeat() -> None:
    texts = [new_uid() for _ in range(1_000)]
    for text in texts:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(texts)) == len(texts)
