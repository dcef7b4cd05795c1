"""What is wrong with a JSON text, in the words of Go's decoder, which clients know from Kubernetes.

The fast decoder only says yes or no; `syntax_fault` is asked after a no. It walks the text once, token by
token, and stops at the first fault. Rules and wording: the scanner of Go's encoding/json, which takes bytes
that are not UTF-8 (it replaces them), and shows bytes above ASCII as `\\x81`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

MAX_DEPTH = 10_000

_decode = msgspec.json.Decoder().decode
_GO_TYPES = {list: "array", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}
_END = "unexpected end of JSON input"
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN_TEXT = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_HEX = frozenset(b"0123456789abcdefABCDEF")


class _Fault(Exception):
    """The text ends or goes wrong; `args[0]` says how."""


def syntax_fault(data: bytes) -> str:
    """The first fault of `data` as JSON, "" if there is none."""
    try:
        position = _Scanner(data).document()
        position = _skip_space(data, position)
        if position < len(data):
            return _unexpected(data[position], "after top-level value")
    except _Fault as fault:
        return str(fault)
    return ""


def go_type(value: Any) -> str:
    """What Go's decoder calls a JSON value that it cannot use."""
    return "object" if isinstance(value, dict) else _GO_TYPES.get(type(value), "value")


def parse_json(body: bytes) -> Any:
    """One JSON document, with the tolerance and the complaints of Go's decoder. Raises `ValueError`."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fault = syntax_fault(body)
        if fault:
            raise ValueError(fault) from error
        return _without_surrogates(json.loads(body.decode("utf-8", "replace")))


def _without_surrogates(value: Any) -> Any:
    """Half a surrogate pair is no character: Go's decoder reads U+FFFD."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(_SURROGATE.sub("\ufffd", text)) if _SURROGATE.search(text) else value


def _unexpected(byte: int, context: str) -> str:
    return f"invalid character {_shown(byte)} {context}"


def _shown(byte: int) -> str:
    match byte:
        case 0x27:
            text = "\\'"
        case 0x22:
            text = '"'
        case 0x5C:
            text = "\\\\"
        case _ if 0x20 <= byte < 0x7F:
            text = chr(byte)
        case _:
            named = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
            text = named.get(byte, f"\\x{byte:02x}")
    return f"'{text}'"


def _skip_space(data: bytes, position: int) -> int:
    match = _SPACE.match(data, position)
    return match.end() if match else position


class _Scanner:
    """Walks one value; iterative, so that depth costs no stack."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _byte(self, position: int) -> int:
        if position >= len(self._data):
            raise _Fault(_END)
        return self._data[position]

    def _token(self, position: int) -> tuple[int, int]:
        """(byte, position) of the next byte that is no space."""
        position = _skip_space(self._data, position)
        return self._byte(position), position

    def document(self) -> int:
        """The position after the value. Raises _Fault."""
        position, containers = 0, bytearray()
        while True:
            byte, position = self._token(position)
            if byte in b"{[":
                containers.append(byte)
                if len(containers) > MAX_DEPTH:
                    raise _Fault("exceeded max depth")
                after, following = self._token(position + 1)
                if after != byte + 2:
                    position = self._key(position + 1) if byte == ord("{") else position + 1
                    continue
                containers.pop()
                position = following + 1
            else:
                position = self._scalar(byte, position)
            position, done = self._after_value(containers, position)
            if done:
                return position

    def _after_value(self, containers: bytearray, position: int) -> tuple[int, bool]:
        """Closes what ends here and goes on to where the next value begins."""
        while containers:
            byte, position = self._token(position)
            in_object = containers[-1] == ord("{")
            if byte == ord(","):
                return (self._key(position + 1) if in_object else position + 1), False
            if byte != containers[-1] + 2:
                context = "after object key:value pair" if in_object else "after array element"
                raise _Fault(_unexpected(byte, context))
            containers.pop()
            position += 1
        return position, True

    def _key(self, position: int) -> int:
        """Over a key and its colon."""
        byte, position = self._token(position)
        if byte != ord('"'):
            raise _Fault(_unexpected(byte, "looking for beginning of object key string"))
        byte, position = self._token(self._text(position))
        if byte != ord(":"):
            raise _Fault(_unexpected(byte, "after object key"))
        return position + 1

    def _scalar(self, byte: int, position: int) -> int:
        if byte == ord('"'):
            return self._text(position)
        if byte in _LITERALS:
            return self._literal(_LITERALS[byte], position)
        if byte == ord("-") or ord("0") <= byte <= ord("9"):
            return self._number(byte, position)
        raise _Fault(_unexpected(byte, "looking for beginning of value"))

    def _literal(self, word: bytes, position: int) -> int:
        for offset in range(1, len(word)):
            byte = self._byte(position + offset)
            if byte != word[offset]:
                raise _Fault(
                    _unexpected(byte, f"in literal {word.decode()} (expecting {_shown(word[offset])})")
                )
        return position + len(word)

    def _text(self, position: int) -> int:
        """Over a string that begins at `position`."""
        position += 1
        while True:
            match = _PLAIN_TEXT.match(self._data, position)
            position = match.end() if match else position
            byte = self._byte(position)
            if byte == ord('"'):
                return position + 1
            if byte != ord("\\"):
                raise _Fault(_unexpected(byte, "in string literal"))
            position = self._escape(position + 1)

    def _escape(self, position: int) -> int:
        byte = self._byte(position)
        if byte in b'"\\/bfnrt':
            return position + 1
        if byte != ord("u"):
            raise _Fault(_unexpected(byte, "in string escape code"))
        for offset in range(1, 5):
            byte = self._byte(position + offset)
            if byte not in _HEX:
                raise _Fault(_unexpected(byte, "in \\u hexadecimal character escape"))
        return position + 5

    def _number(self, byte: int, position: int) -> int:
        if byte == ord("-"):
            position += 1
            byte = self._byte(position)
            if not ord("0") <= byte <= ord("9"):
                raise _Fault(_unexpected(byte, "in numeric literal"))
        position = position + 1 if byte == ord("0") else self._digits(position)
        if self._data[position : position + 1] == b".":
            position = self._some_digits(position + 1, "after decimal point in numeric literal")
        if self._data[position : position + 1] in (b"e", b"E"):
            position += 1
            if self._data[position : position + 1] in (b"+", b"-"):
                position += 1
            position = self._some_digits(position, "in exponent of numeric literal")
        return position

    def _digits(self, position: int) -> int:
        match = _DIGITS.match(self._data, position)
        return match.end() if match else position

    def _some_digits(self, position: int, context: str) -> int:
        byte = self._byte(position)
        if not ord("0") <= byte <= ord("9"):
            raise _Fault(_unexpected(byte, context))
        return self._digits(position)


_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def base64_fault(text: str) -> str:
    """Why `text` is not standard base64, "" if it is; line breaks are passed over, as Go does."""
    data = text.encode("utf-8", "surrogatepass")
    position, filled = 0, 0
    while position < len(data):
        byte = data[position]
        if byte in _BASE64:
            filled = (filled + 1) % 4
        elif byte not in b"\r\n":
            return _illegal(_padding_fault(data, position, filled))
        position += 1
    return _illegal(len(data) - filled) if filled else ""


def _illegal(offset: int | None) -> str:
    return "" if offset is None else f"illegal base64 data at input byte {offset}"


def _padding_fault(data: bytes, position: int, filled: int) -> int | None:
    """The offset of what is wrong at a byte outside of the alphabet; None for good padding at the end."""
    if data[position] != ord("=") or filled < 2:
        return position
    end = _skip_breaks(data, position + 1)
    if filled == 2:
        if end == len(data):
            return len(data)
        if data[end] != ord("="):
            return end - 1
        end = _skip_breaks(data, end + 1)
    return end if end < len(data) else None


def _skip_breaks(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in b"\r\n":
        position += 1
    return position
