"""Reading request bodies in Kubernetes' protobuf envelope, which kubectl's typed commands send.

Answers are always JSON: such clients accept it, and nothing here is stored as protobuf. A message or field
that is not in the tables is refused by name, never dropped.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, bad_request
from edgevirt.engine.apiserver.protobuf_messages import IGNORED, MESSAGES, ROOTS

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Json = dict[str, Any]


def read_protobuf(body: bytes) -> Json:
    """The object in a protobuf body as JSON values. Raises `StatusError` 400 or 415."""
    if not body.startswith(_MAGIC):
        raise bad_request("the body is not an object in Kubernetes' protobuf encoding")
    try:
        api_version, kind, raw = _envelope(body[len(_MAGIC) :])
        root = ROOTS.get((api_version, kind))
        if root is None:
            raise StatusError(
                415,
                "UnsupportedMediaType",
                f"{kind} in {api_version} is not read as protobuf here; send it as application/json",
            )
        return {"apiVersion": api_version, "kind": kind, **_message(root, raw, kind)}
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"malformed protobuf: {error}") from error


def _envelope(body: bytes) -> tuple[str, str, bytes]:
    api_version = kind = ""
    raw = b""
    for number, value in _fields(body):
        if number == 1 and isinstance(value, bytes):
            names = {n: v.decode() for n, v in _fields(value) if isinstance(v, bytes)}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2 and isinstance(value, bytes):
            raw = value
    return api_version, kind, raw


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field; bytes for length-delimited ones. Raises ValueError or IndexError."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif wire == _BYTES:
            length, position = _varint(data, position)
            if length > end - position:
                raise ValueError("a field is longer than the message")
            yield number, data[position : position + length]
            position += length
        elif wire in (_FIXED64, _FIXED32):
            width = 8 if wire == _FIXED64 else 4
            if width > end - position:
                raise ValueError("a field is longer than the message")
            yield number, int.from_bytes(data[position : position + width], "little")
            position += width
        else:
            raise ValueError(f"wire type {wire} is not known")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _message(name: str, data: bytes, path: str) -> Json:
    fields, ignored = MESSAGES[name], IGNORED.get(name, frozenset())
    result: Json = {}
    for number, value in _fields(data):
        if number in ignored:
            continue
        if number not in fields:
            raise bad_request(
                f"field number {number} of {path} is not read as protobuf here; send the object as JSON"
            )
        field, kind = fields[number]
        _take(result, field, kind, value, f"{path}.{field}")
    return result


def _take(result: Json, field: str, kind: str, value: int | bytes, path: str) -> None:
    if kind in ("map", "map of bytes"):
        key, item = _entry(_as_bytes(value), kind == "map of bytes")
        result.setdefault(field, {})[key] = item
    elif kind.endswith("*"):
        inner = kind[:-1]
        data = _as_bytes(value)
        result.setdefault(field, []).append(data.decode() if inner == "text" else _message(inner, data, path))
    elif kind == "IntOrString":
        result[field] = _int_or_string(_as_bytes(value))
    elif kind in MESSAGES:
        result[field] = _message(kind, _as_bytes(value), path)
    else:
        scalar = _scalar(kind.rstrip("?"), value)
        if scalar or (kind.endswith("?") and scalar is not None):
            result[field] = scalar


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where a text or message belongs")  # noqa: TRY004
    return value


def _scalar(kind: str, value: int | bytes) -> Any:
    if kind == "text":
        return _as_bytes(value).decode()
    if kind == "time":
        parts = {number: part for number, part in _fields(_as_bytes(value)) if isinstance(part, int)}
        seconds = parts.get(1, 0)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if 0 < seconds < 1 << 37 else None
    if isinstance(value, bytes):
        raise ValueError("a text stands where a number belongs")  # noqa: TRY004
    if kind == "flag":
        return bool(value)
    return value - (1 << 64) if value >= 1 << 63 else value


def _entry(data: bytes, as_bytes: bool) -> tuple[str, str]:
    key, value = b"", b""
    for number, part in _fields(data):
        if number == 1:
            key = _as_bytes(part)
        elif number == 2:
            value = _as_bytes(part)
    return key.decode(), base64.b64encode(value).decode() if as_bytes else value.decode()


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if parts.get(1, 0):
        return _as_bytes(parts.get(3, b"")).decode()
    number = _scalar("number", parts.get(2, 0))
    return int(number)
