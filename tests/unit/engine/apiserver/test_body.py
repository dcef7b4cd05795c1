"""Bodies: JSON, YAML and protobuf become the same objects, and bad ones are refused with a reason."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.body import read_object
from edgevirt.engine.apiserver.http.negotiation import Form, negotiate
from edgevirt.engine.apiserver.http.path import ResourcePath, parse_path, verb_of
from edgevirt.engine.apiserver.http.yaml_document import parse_yaml
from edgevirt.engine.apiserver.schema.protobuf_objects import MEDIA_TYPE

pytestmark = pytest.mark.unit


def test_duplicate_keys_are_found_wherever_they_are() -> None:
    body = b'{"a": {"b": 1, "b": 2}, "l": [{"c": "x:y", "c": 1}], "d": 1}'
    document, duplicates = read_object(body, "application/json", "K")
    assert document == {"a": {"b": 2}, "l": [{"c": 1}], "d": 1}
    assert duplicates == ["a.b", "l[0].c"]


def test_colons_in_text_are_no_duplicates() -> None:
    assert read_object(b'{"a": "x:\\u003ay", "b:": ":"}', "application/json", "K")[1] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-02", "2026-01-02"),
        ("12:30:45", "12:30:45"),
        ("1e3", 1000.0),
        ("010", 8),
        ("0x1f", 31),
        ("yes", True),
        ("'yes'", "yes"),
        ("~", None),
        ("1.5", 1.5),
        ("1.2.3", "1.2.3"),
    ],
)
def test_yaml_scalars_are_read_as_kubernetes_reads_them(text: str, value: object) -> None:
    assert parse_yaml(f"a: {text}".encode()) == {"a": value}


@pytest.mark.parametrize(
    "text",
    ['{"a": 1e2, "b": "<<", "c": {"d": [null, true, "1"]}, "e": 1.5}', '{"a": "\\u00e9", "a": 2}', "{}"],
)
def test_json_is_read_as_the_yaml_it_also_is(text: str) -> None:
    # JSON takes a short way; a comment at its end makes the same text take the long one.
    assert parse_yaml(text.encode()) == parse_yaml(f"{text} # yaml".encode())


def test_yaml_that_begins_like_json_is_yaml() -> None:
    assert parse_yaml(b"{a: 1, b: [yes]}") == {"a": 1, "b": [True]}


@pytest.mark.parametrize("body", [b'{"a":', b"", b"[]", b'"x"', b"\xff"])
def test_body_that_is_no_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(StatusError) as caught:
        read_object(body, "application/json", "ConfigMap")
    assert caught.value.code == 400
    assert "must be of type ConfigMap" in caught.value.message


def test_other_media_types_are_refused() -> None:
    with pytest.raises(StatusError) as caught:
        read_object(b"x", "text/plain", "K")
    assert caught.value.code == 415


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def _object(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\0" + _field(1, _field(1, b"v1") + _field(2, kind)) + _field(2, raw)


@given(st.binary(max_size=60))
def test_any_protobuf_bytes_are_read_or_refused(data: bytes) -> None:
    for body in (_object(b"Secret", data[:50]), b"k8s\0" + data):
        with contextlib.suppress(StatusError):
            document, _ = read_object(body, MEDIA_TYPE, "Secret")
            assert isinstance(document["kind"], str)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/namespaces", ResourcePath("", "v1", "", "namespaces")),
        ("/api/v1/namespaces/x", ResourcePath("", "v1", "x", "namespaces", "x")),
        ("/api/v1/namespaces/x/finalize", ResourcePath("", "v1", "x", "namespaces", "x", "finalize")),
        ("/api/v1/namespaces/x/pods", ResourcePath("", "v1", "x", "pods")),
        ("/api/v1/namespaces/x/pods/p/log", ResourcePath("", "v1", "x", "pods", "p", "log")),
        ("/apis/g.io/v2/things/t", ResourcePath("g.io", "v2", "", "things", "t")),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%3Ab",
            ResourcePath("rbac.authorization.k8s.io", "v1", "", "clusterroles", "a:b"),
        ),
        ("/apis/g.io/v2", None),
        ("/version", None),
    ],
)
def test_path_names_a_resource(path: str, expected: ResourcePath | None) -> None:
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/vm%2Fconsole",
        "/api/v1/namespaces/n%2Fpods/pods/p",
        "/api/v1/nodes/n%2fproxy",
    ],
)
def test_encoded_slash_where_a_name_is_authorised_is_no_path(path: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_path(path)
    assert refused.value.code == 404


def test_encoded_slash_behind_a_proxy_is_the_servers_affair() -> None:
    found = parse_path("/api/v1/namespaces/n/pods/p/proxy/a%2Fb")
    assert found is not None
    assert found.subresource == "proxy"


def test_verbs_follow_method_and_name() -> None:
    assert verb_of("GET", False, True) == "watch"
    assert verb_of("DELETE", False, False) == "deletecollection"
    assert verb_of("PATCH", True, False) == "patch"


def test_first_acceptable_form_is_chosen() -> None:
    accept = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io"
    assert negotiate(accept).form is Form.TABLE
    assert negotiate("application/vnd.kubernetes.protobuf,application/json").form is Form.OBJECT
    with pytest.raises(StatusError) as caught:
        negotiate("text/html")
    assert caught.value.code == 406
