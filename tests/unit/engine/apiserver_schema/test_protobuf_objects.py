"""Objects in protobuf: bodies as kubectl 1.32 sends them, and damaged ones."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.openapi.wire import flag, integer, message, text, varint
from edgevirt.engine.apiserver.schema.builtin_types import StructType, ValueType, struct_type
from edgevirt.engine.apiserver.schema.protobuf_fields import Message, class_of, message_of
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
            "status": {
                "disruptionsAllowed": 0,
                "currentHealthy": 0,
                "desiredHealthy": 0,
                "expectedPods": 0,
            },
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
            "status": {"allowed": False},
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
            sent("v1", "Widget", b""),
            "Widget in version v1 is not read from protobuf; send it as application/json",
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


NOT_NUMBERED = {
    "ClusterTrustBundleProjection.user",
    "ConfigMapVolumeSource.defaultUser",
    "DownwardAPIVolumeFile.user",
    "DownwardAPIVolumeSource.defaultUser",
    "EmptyDirVolumeSource.mode",
    "GRPCAction.mode",
    "HTTPGetAction.protocol",
    "KeyToPath.user",
    "NodeSpec.podPreemptionPolicy",
    "NodeSystemInfo.runningInUserNamespace",
    "PersistentVolumeClaimStatus.healthStatus",
    "PodCertificateProjection.user",
    "PodSpec.evictionResponders",
    "PodStatus.volumeHealth",
    "ProjectedVolumeSource.defaultUser",
    "ResourceHealth.message",
    "SecretVolumeSource.defaultUser",
    "ServiceAccountTokenProjection.user",
    "VolumeMount.bindMountOptions",
}
"""Fields newer than the table. A body that has one is refused with the number, which we cannot name."""


def numbered(message: Message) -> set[str]:
    return {
        *message.fields.values(),
        *(name for part in message.embedded.values() for name in numbered(part)),
    }


def test_every_field_of_every_built_in_kind_has_its_number() -> None:
    missing: set[str] = set()
    seen: set[str] = set()

    def visit(struct: StructType) -> None:
        if (
            struct.definition in seen
            or "apiextensions" in struct.definition
            or "kube-agg" in struct.definition
        ):
            return
        seen.add(struct.definition)
        message = message_of(struct)
        known = numbered(message) if message is not None else set(struct.fields)
        unknown = set(struct.fields) - known - {"apiVersion", "kind"}
        missing.update(f"{struct.name}.{name}" for name in unknown)
        for name in known & set(struct.fields):
            value: ValueType | None = struct.fields[name]
            while value is not None:
                if value.struct is not None:
                    visit(value.struct)
                value = value.elem

    for resource in builtin_registry().list():
        found = class_of(resource.api_version, resource.kind)
        if found is not None:
            visit(struct_type(found))
    assert "Pod" in {name.rpartition(".")[2] for name in seen}
    assert missing == NOT_NUMBERED


def test_all_kinds_but_four_travel_as_protobuf() -> None:
    left_out = {
        resource.kind
        for resource in builtin_registry().list()
        if not resource.computed and class_of(resource.api_version, resource.kind) is None
    }
    assert left_out == {
        "CustomResourceDefinition",
        "APIService",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }


def test_lists_in_maps_numbers_packed_and_free_form_data_are_read() -> None:
    scopes = message(5, text(1, "scopes") + message(2, text(1, "a") + text(1, "b")))
    review = message(2, message(3, b"alice") + scopes)
    found = decode(sent("authorization.k8s.io/v1", "SubjectAccessReview", review))
    assert found["spec"]["extra"] == {"scopes": ["a", "b"]}
    packed = message(4, varint(1) + varint(2))
    pod = decode(sent("v1", "Pod", message(2, message(14, packed))))
    assert pod["spec"]["securityContext"]["supplementalGroups"] == [1, 2]
    revision = decode(sent("apps/v1", "ControllerRevision", message(2, message(1, b'{"a":[1]}'))))
    assert revision["data"] == {"a": [1]}


def test_options_of_a_deletion_are_read_in_any_group() -> None:
    for group in ("v1", "apps/v1"):
        found = decode(sent(group, "DeleteOptions", varint(1 << 3) + b"\x00" + text(4, "Orphan")))
        assert (found["gracePeriodSeconds"], found["propagationPolicy"]) == (0, "Orphan")


def test_class_claimed_empty_stays_a_class() -> None:
    spec = message(2, message(5, b"") + message(3, b""))
    found = decode(sent("v1", "PersistentVolumeClaim", spec))
    assert found["spec"] == {"storageClassName": ""}


def test_an_event_of_the_newer_group_is_read() -> None:
    """Go recorders of events.k8s.io send it so."""
    when = message(2, varint(1 << 3) + b"\x05" + varint(2 << 3) + varint(123456789))
    raw = message(1, text(1, "e")) + when + text(4, "example.com/c") + text(10, "note") + b"\x78\x00"
    assert decode(sent("events.k8s.io/v1", "Event", raw)) == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "eventTime": "1970-01-01T00:00:05.123456Z",
        "reportingController": "example.com/c",
        "note": "note",
    }
