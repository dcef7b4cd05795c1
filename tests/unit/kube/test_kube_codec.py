"""What is not JSON, or not of the type that was asked for, is one kind of error."""

from __future__ import annotations

import pytest

from edgevirt.api.meta import Status
from edgevirt.kube import codec
from edgevirt.kube.errors import DecodeError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "body", [b"404: Not Found", b"", b"<html>", b'"\xff"', b'{"code": "x"}', b"[]", b"12 34"]
)
def test_body_that_is_no_object_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode_as(body, Status)


def test_null_fields_are_left_out_as_in_kubernetes() -> None:
    assert codec.decode_as(b'{"kind": "Status", "message": null}', Status).message == ""
