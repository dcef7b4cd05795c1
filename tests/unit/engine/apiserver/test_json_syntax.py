"""The complaints of Go's JSON and base64 decoders, and what they let pass."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.http.json_syntax import base64_fault, parse_json, syntax_fault

END = "unexpected end of JSON input"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", END),
        (b"  ", END),
        (b'{"a":1', END),
        (b'{"a"', END),
        (b'"abc', END),
        (b"tru", END),
        (b"-", END),
        (b"1.", END),
        (b"{}", ""),
        (b' [1, -0.5e+3, "\\u00e4", {"a": [], "b": {}}, null, true, false] ', ""),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"', "invalid character '\"' after object key:value pair"),
        (b'{"a":1]', "invalid character ']' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"01", "invalid character '1' after top-level value"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
        (b"foo", "invalid character 'o' in literal false (expecting 'a')"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e+x", "invalid character 'x' in exponent of numeric literal"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"\\q"', "invalid character 'q' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"\x81", "invalid character '\\x81' looking for beginning of value"),
        (b"'a'", "invalid character '\\'' looking for beginning of value"),
        (b"[" * 10_001, "exceeded max depth"),
    ],
)
def test_fault_is_worded_as_go_does(text: bytes, fault: str) -> None:
    assert syntax_fault(text) == fault


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_whatever_is_json_has_no_fault(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert syntax_fault(text.encode()) == ""


@given(st.binary(max_size=40))
def test_a_fault_is_found_exactly_where_parsing_fails(data: bytes) -> None:
    fault = syntax_fault(data)
    if fault:
        with pytest.raises(ValueError, match=re.escape(fault)):
            parse_json(data)
    else:
        parse_json(data)


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    assert parse_json(b'{"a":"x\xffy"}') == {"a": "x�y"}


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", None),
        ("YQ==", None),
        ("YWI=", None),
        ("YWJj", None),
        ("YW\nJj\r\n", None),
        ("!", 0),
        ("YQ=", 3),
        ("YQ", 0),
        ("YWJjY", 4),
        ("Y===", 1),
        ("YWJj=", 4),
        ("YQ=x", 2),
        ("YQ==x", 4),
        ("YWI=YWI=", 4),
        ("YWJjä", 4),
    ],
)
def test_offset_of_illegal_base64_is_that_of_go(text: str, offset: int | None) -> None:
    assert base64_fault(text) == ("" if offset is None else f"illegal base64 data at input byte {offset}")


@given(st.binary())
def test_whatever_is_base64_has_no_fault(data: bytes) -> None:
    assert base64_fault(base64.b64encode(data).decode()) == ""
