"""Objects of built-in kinds in Kubernetes' protobuf encoding: read from request bodies.

Go clients send it when told to (controllers usually are), and newer kubectl sends so what its own commands
build; neither falls back to JSON. The envelope is four magic bytes and a `runtime.Unknown` that names
apiVersion and kind. Go writes fields without a pointer even when they are zero; those zeros mean absent.
Answers are always JSON, which the same clients accept, and which costs nothing, since it is what is stored.
"""

from __future__ import annotations

import base64
import datetime
import struct as binary
from collections.abc import Iterator
from typing import Any

import msgspec

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.builtin_types import StructType, ValueType, struct_type
from edgevirt.engine.apiserver.schema.protobuf_fields import Message, class_of, means_absent, message_of

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

_MAX_DEPTH = 32


class ProtobufError(ValueError):
    """The body is not a Kubernetes protobuf object, or of a kind that is only read as JSON."""


def decode(body: bytes) -> Json:
    """The object in a protobuf body, as if it had been sent as JSON. Raises `ProtobufError`."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not begin with the protobuf magic of Kubernetes")
    try:
        api_version, kind, raw = _envelope(body[len(MAGIC) :])
        cls = class_of(api_version, kind)
        if cls is None:
            raise ProtobufError(
                f"{kind or 'an object'} in version {api_version or 'unknown'} is not read from protobuf; "
                "send it as application/json"
            )
        found = _message(struct_type(cls), raw, 0)
    except ProtobufError:
        raise
    except (IndexError, binary.error, ValueError, OverflowError, OSError) as error:
        raise ProtobufError(f"the protobuf body is damaged: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **found}


def _envelope(data: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, raw object) of a runtime.Unknown."""
    names = {1: "", 2: ""}
    raw = b""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            for name_number, name in _fields(value):
                if name_number in names and isinstance(name, bytes):
                    names[name_number] = name.decode()
        elif number == 2 and isinstance(value, bytes):
            raw = value
    return names[1], names[2], raw


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise ProtobufError("the protobuf body is damaged: a number has too many bytes")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: an int for numbers, bytes for everything with a length."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                value, position = _varint(data, position)
                yield tag >> 3, value
            case 1:
                yield tag >> 3, binary.unpack_from("<Q", data, position)[0]
                position += 8
            case 5:
                yield tag >> 3, binary.unpack_from("<I", data, position)[0]
                position += 4
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise ProtobufError("the protobuf body is damaged: it ends within a field")
                yield tag >> 3, data[position : position + length]
                position += length
            case other:
                raise ProtobufError(f"the protobuf body is damaged: wire type {other}")


def _message(struct: StructType, data: bytes, depth: int) -> Json:
    message = message_of(struct)
    if message is None:
        raise ProtobufError(f"{struct.name} is not read from protobuf; send the object as application/json")
    found: Json = {}
    _read(struct, message, data, depth, found)
    return found


def _read(struct: StructType, message: Message, data: bytes, depth: int, found: Json) -> None:
    """Puts the fields in `data` into `found`; those of embedded messages too."""
    if depth > _MAX_DEPTH:
        raise ProtobufError("the protobuf body nests too deeply")
    for number, value in _fields(data):
        embedded = message.embedded.get(number)
        if embedded is not None:
            _read(struct, embedded, _bytes(value), depth + 1, found)
            continue
        name = message.fields.get(number)
        if name is None:
            if value:  # an empty one says nothing
                raise ProtobufError(
                    f"field {number} of {message.name} is not read from protobuf; "
                    "send the object as application/json"
                )
            continue
        value_type = struct.fields[name]
        if value_type.shape == "list" and value_type.elem is not None:
            found.setdefault(name, []).extend(_items(value_type.elem, value, depth))
        elif value_type.shape == "map" and value_type.elem is not None:
            key, item = _entry(value_type.elem, value, depth)
            found.setdefault(name, {})[key] = item
        else:
            decoded = _value(value_type, value, depth)
            if not means_absent(struct.name, name, decoded):
                found[name] = decoded


def _items(elem: ValueType, value: int | bytes, depth: int) -> list[Any]:
    """One item of a list, or several numbers that were packed together."""
    if elem.shape in ("int32", "int64", "bool") and isinstance(value, bytes):
        position, numbers = 0, []
        while position < len(value):
            number, position = _varint(value, position)
            numbers.append(_value(elem, number, depth))
        return numbers
    return [_value(elem, value, depth)]


def _entry(elem: ValueType, value: int | bytes, depth: int) -> tuple[str, Any]:
    """One entry of a map: a message of key and value, either left out when empty."""
    key, item = "", b""
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _bytes(part).decode()
        elif number == 2:
            item = _bytes(part)
    if elem.shape == "list" and elem.elem is not None:
        # A list as a value is a message of its own.
        return key, [_value(elem.elem, part, depth) for number, part in _fields(item) if number == 1]
    return key, _value(elem, item, depth)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ProtobufError("the protobuf body is damaged: a number where text was expected")


def _value(value_type: ValueType, value: int | bytes, depth: int) -> Any:
    match value_type.shape:
        case "string":
            return _bytes(value).decode()
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "bool":
            return bool(value)
        case "int32" | "int64":
            return _signed(value)
        case "time":
            return _time(_bytes(value), "seconds")
        case "microtime":
            return _time(_bytes(value), "microseconds")
        case "quantity":
            return next(
                (_bytes(text).decode() for number, text in _fields(_bytes(value)) if number == 1), "0"
            )
        case "int-or-string":
            return _int_or_string(_bytes(value))
        case "double":
            return binary.unpack("<d", binary.pack("<Q", value if isinstance(value, int) else 0))[0]
        case "any":
            return _raw(_bytes(value))
        case "struct" if value_type.struct is not None:
            return _message(value_type.struct, _bytes(value), depth + 1)
        case shape:
            raise ProtobufError(f"values of type {shape} are not read from protobuf; send application/json")


def _raw(data: bytes) -> Any:
    """Free-form JSON: the first field of RawExtension and FieldsV1."""
    text = next((_bytes(part) for number, part in _fields(data) if number == 1), b"")
    return msgspec.json.decode(text) if text else None


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtobufError("the protobuf body is damaged: text where a number was expected")
    return value - 2**64 if value >= 2**63 else value


def _time(data: bytes, precision: str) -> str | None:
    """RFC 3339 text of a Timestamp; None for the zero one, which means absent."""
    parts = dict(_fields(data))
    if 1 not in parts:
        return None
    instant = datetime.datetime.fromtimestamp(_signed(parts[1]), datetime.UTC)
    instant = instant.replace(microsecond=_signed(parts.get(2, 0)) // 1000 % 1_000_000)
    return instant.isoformat(timespec=precision).replace("+00:00", "Z")


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if parts.get(1):
        return _bytes(parts.get(3, b"")).decode()
    return _signed(parts.get(2, 0))
