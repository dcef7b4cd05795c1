"""Objects in protobuf: bodies as kubectl 1.32 sends them, and damaged ones."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.openapi.wire import flag, integer, message, text, varint
from edgevirt.engine.apiserver.schema.protobuf_objects import MAGIC, ProtobufError, decode

pytestmark = pytest.mark.unit


def sent(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + message(1, text(1, api_version) + text(2, kind)) + message(2, raw)


RECORDED: dict[str, tuple[str, dict[str, Any]]] = {
    "Namespace": (
        ("azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhsKEwoDenp6EgAaACIAKgAyADgAQgASABoCCgAaACIA"),
        {"metadata": {"name": "zzz"}, "spec": {}, "status": {}},
    ),
    "PodDisruptionBudget": (
        (
            "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSOwoZCgJwMhIAGgdkZWZhdWx0IgAqADIAOABCAB"
            "ISEggKBgoBYRIBYhoGCAAQARoAGgoIABgAIAAoADAAGgAiAA=="
        ),
        {
            "metadata": {"name": "p2", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "maxUnavailable": 1},
            "status": {},
        },
    ),
    "TokenRequest": (
        (
            "azhzAAooChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESDFRva2VuUmVxdWVzdBIzChAKABIAGgAiACoAMgA4AEIAEh"
            "kKA2ZvbxoPCgNQb2QSAnYxGgFwIgF1INgEGgQKABIAGgAiAA=="
        ),
        {
            "metadata": {},
            "spec": {
                "audiences": ["foo"],
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"},
                "expirationSeconds": 600,
            },
            "status": {},
        },
    ),
    "SelfSubjectAccessReview": (
        (
            "azhzAAoyChdhdXRob3JpemF0aW9uLms4cy5pby92MRIXU2VsZlN1YmplY3RBY2Nlc3NSZXZpZXcSLwoQCgASABoAIg"
            "AqADIAOABCABIREg8KCC9oZWFsdGh6EgNnZXQaCAgAEgAaACAAGgAiAA=="
        ),
        {
            "metadata": {},
            "spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
            "status": {},
        },
    ),
}


@pytest.mark.parametrize("kind", RECORDED)
def test_what_kubectl_sends_is_read(kind: str) -> None:
    encoded, expected = RECORDED[kind]
    found = decode(base64.b64decode(encoded))
    assert found.pop("kind") == kind
    found.pop("apiVersion")
    assert found == expected


@pytest.mark.parametrize("api_version", ["v1", "meta.k8s.io/v1", "apps/v1"])
def test_delete_options_are_read_whatever_group_names_them(api_version: str) -> None:
    """Helm deletes its release's secrets with them."""
    raw = varint(1 << 3) + b"\x05" + text(4, "Background")
    assert decode(sent(api_version, "DeleteOptions", raw)) == {
        "apiVersion": api_version,
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 5,
        "propagationPolicy": "Background",
    }


def test_an_eviction_keeps_a_grace_period_of_zero() -> None:
    options = varint(1 << 3) + b"\x00" + message(2, text(1, "u")) + texts_of(5, "All")
    raw = message(1, text(1, "p") + text(3, "ns")) + message(2, options)
    assert decode(sent("policy/v1", "Eviction", raw)) == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "p", "namespace": "ns"},
        "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "dryRun": ["All"]},
    }


def texts_of(number: int, *values: str) -> bytes:
    return b"".join(message(number, value.encode()) for value in values)


def test_binary_data_maps_and_flags_are_read() -> None:
    entry = text(1, "k") + message(2, b"\x00\xff")
    raw = message(1, text(1, "s")) + message(2, entry) + text(3, "Opaque") + flag(5, True)
    found = decode(sent("v1", "Secret", raw))
    assert (found["data"], found["type"], found["immutable"]) == ({"k": "AP8="}, "Opaque", True)


def test_zero_is_absent_only_where_go_cannot_tell() -> None:
    zero = varint(5 << 3) + b"\x00"
    port = text(1, "p") + integer(3, 80) + message(4, varint(1 << 3) + b"\x00") + zero
    found = decode(sent("v1", "Service", message(2, message(1, port))))
    assert found["spec"]["ports"] == [{"name": "p", "port": 80}]
    budget = decode(sent("policy/v1", "PodDisruptionBudget", message(2, message(1, b""))))
    assert budget["spec"] == {"minAvailable": 0}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "does not begin with the protobuf magic"),
        (
            sent("v1", "Node", b""),
            "Node in version v1 is not read from protobuf; send it as application/json",
        ),
        (sent("v1", "Namespace", b"\x0a\x05ab"), "ends within a field"),
        (sent("v1", "ConfigMap", message(9, b"x")), "field 9 of ConfigMap is not read from protobuf"),
        (sent("v1", "ConfigMap", message(1, integer(1, 5))), "a number where text was expected"),
        (sent("v1", "ConfigMap", message(1, message(8, integer(1, 2**62)))), "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(ProtobufError) as refused:
        decode(body)
    assert why in str(refused.value)


@given(st.binary(max_size=200), st.sampled_from(["Namespace", "Service", "ConfigMap"]))
def test_no_bytes_do_anything_but_decode_or_be_refused(raw: bytes, kind: str) -> None:
    try:
        found = decode(sent("v1", kind, raw))
    except ProtobufError:
        return
    assert found["kind"] == kind


def test_fields_that_go_embeds_stand_in_the_outer_object() -> None:
    reference = message(1, message(1, b"settings")) + message(2, b"key")
    variable = message(1, b"V") + message(3, message(3, reference))
    container = message(1, b"c") + message(2, b"i") + message(7, variable) + b"\x90\x01\x00"
    template = message(2, message(2, container) + b"\x58\x00")
    deployment = message(1, message(1, b"d")) + message(2, b"\x08\x00" + message(3, template))
    assert decode(sent("apps/v1", "Deployment", deployment)) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "env": [
                                {
                                    "name": "V",
                                    "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}},
                                }
                            ],
                        }
                    ]
                }
            },
        },
    }
