"""Cuts an expression into tokens, literals decoded."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from edgevirt.engine.cel.errors import Issue
from edgevirt.engine.cel.values import Uint


class Token(NamedTuple):
    kind: str
    """`ident`, `literal`, `end`, or the operator itself."""
    text: str
    offset: int
    value: Any = None


_TOKEN = re.compile(
    r"""
      (?P<space>(\s|//[^\n]*)+)
    | (?P<string>[rRbB]{0,2}(\"\"\"(?:.|\n)*?(?<!\\)\"\"\"|'''(?:.|\n)*?(?<!\\)'''))
    | (?P<raw>(?:[bB]?[rR]|[rR][bB])("[^"\n]*"|'[^'\n]*'))
    | (?P<text>[bB]?("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<float>\d+\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+([eE][+-]?\d+)?)
    | (?P<hex>0x[0-9a-fA-F]+[uU]?)
    | (?P<int>\d+[uU]?)
    | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<operator>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.S
)
_SIMPLE = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}
RESERVED = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    )
)
"""Words that cannot name a variable, because languages that CEL is embedded in use them."""
_CONSTANTS = {"true": True, "false": False, "null": None}
_MAX_INT, _MAX_UINT = 2**63, 2**64 - 1


def tokens(source: str, issues: list[Issue]) -> list[Token]:
    """All tokens, the last of kind `end`. What cannot be read is reported and left out."""
    found: list[Token] = []
    offset = 0
    while offset < len(source):
        match = _TOKEN.match(source, offset)
        if match is None:
            shown = source[offset:] if source[offset] in "\"'" else source[offset]
            issues.append(Issue(offset, f"Syntax error: token recognition error at: '{shown}'"))
            offset += len(shown)
            continue
        kind, text = match.lastgroup or "", match.group(0)
        if kind != "space":
            found.append(_token(kind, text, offset, issues))
        offset = match.end()
    found.append(Token("end", "<EOF>", len(source)))
    return found


def _token(kind: str, text: str, offset: int, issues: list[Issue]) -> Token:
    if kind == "operator":
        return Token(text, text, offset)
    if kind == "ident":
        if text in _CONSTANTS:
            return Token("literal", text, offset, _CONSTANTS[text])
        return Token("in" if text == "in" else "ident", text, offset)
    if kind == "float":
        return Token("literal", text, offset, float(text))
    if kind in ("int", "hex"):
        return Token("literal", text, offset, _integer(text, offset, issues))
    return Token("literal", text, offset, _string(text, offset, issues))


def _integer(text: str, offset: int, issues: list[Issue]) -> int:
    unsigned = text[-1] in "uU"
    digits = text[:-1] if unsigned else text
    value = int(digits, 16 if digits.startswith("0x") else 10)
    if value > (_MAX_UINT if unsigned else _MAX_INT):
        issues.append(Issue(offset, f"invalid {'uint' if unsigned else 'int'} literal"))
        value = 0
    return Uint(value) if unsigned else value


def _string(text: str, offset: int, issues: list[Issue]) -> str | bytes:
    body = text.lstrip("rRbB")
    prefix = text[: len(text) - len(body)].lower()
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quotes:-quotes]
    binary = "b" in prefix
    if "r" in prefix:
        return body.encode() if binary else body
    try:
        return _unescaped_bytes(body) if binary else _ESCAPE.sub(_character, body)
    except ValueError as error:
        issues.append(Issue(offset, f"invalid {'bytes' if binary else 'string'} literal: {error}"))
        return b"" if binary else ""


def _character(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 1:
        point = int(code, 8) if code[0].isdigit() else int(code[1:], 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            raise ValueError("invalid unicode code point")
        return chr(point)
    if code not in _SIMPLE:
        raise ValueError("unable to unescape string")
    return _SIMPLE[code]


def _unescaped_bytes(body: str) -> bytes:
    result = bytearray()
    end = 0
    for match in _ESCAPE.finditer(body):
        result += body[end : match.start()].encode()
        code = match.group(1)
        if len(code) > 1 and code[0] not in "uU":
            result.append(int(code, 8) if code[0].isdigit() else int(code[1:], 16))
        else:
            result += _character(match).encode()
        end = match.end()
    return bytes(result + body[end:].encode())
