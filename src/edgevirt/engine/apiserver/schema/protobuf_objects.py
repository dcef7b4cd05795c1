"""Reads objects that clients send in Kubernetes' protobuf encoding.

Newer kubectl sends what its own commands build (`create namespace`, `create deployment`, `create token`,
`auth can-i`, the eviction of `drain`) as protobuf and does not fall back to JSON. Only these kinds are read
here; answers are always JSON, which the same clients accept. The envelope is four magic bytes and a
`runtime.Unknown` that names apiVersion and kind. Field numbers are those of the published message
definitions. Go writes fields without a pointer even when they are zero; those zeros mean absent.
"""

from __future__ import annotations

import base64
import datetime
import struct as binary
from collections.abc import Iterator
from typing import Any

import msgspec

from edgevirt.api import apps, authentication, authorization, batch, core, meta, policy, rbac, scheduling
from edgevirt.engine.apiserver.schema import Json, protobuf_workloads
from edgevirt.engine.apiserver.schema.builtin_types import StructType, ValueType, struct_type

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"

_MAX_DEPTH = 32


class ProtobufError(ValueError):
    """The body is not a Kubernetes protobuf object, or of a kind that is only read as JSON."""


_KINDS: dict[tuple[str, str], type[msgspec.Struct]] = {
    ("v1", "Namespace"): core.Namespace,
    ("v1", "ConfigMap"): core.ConfigMap,
    ("v1", "Secret"): core.Secret,
    ("v1", "Service"): core.Service,
    ("v1", "ServiceAccount"): core.ServiceAccount,
    ("v1", "ResourceQuota"): core.ResourceQuota,
    ("v1", "Pod"): core.Pod,
    ("v1", "PersistentVolumeClaim"): core.PersistentVolumeClaim,
    ("apps/v1", "Deployment"): apps.Deployment,
    ("apps/v1", "ReplicaSet"): apps.ReplicaSet,
    ("apps/v1", "StatefulSet"): apps.StatefulSet,
    ("apps/v1", "DaemonSet"): apps.DaemonSet,
    ("batch/v1", "Job"): batch.Job,
    ("batch/v1", "CronJob"): batch.CronJob,
    ("rbac.authorization.k8s.io/v1", "Role"): rbac.Role,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): rbac.RoleBinding,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): rbac.ClusterRole,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): rbac.ClusterRoleBinding,
    ("policy/v1", "PodDisruptionBudget"): policy.PodDisruptionBudget,
    ("policy/v1", "Eviction"): policy.Eviction,
    ("scheduling.k8s.io/v1", "PriorityClass"): scheduling.PriorityClass,
    ("authentication.k8s.io/v1", "TokenRequest"): authentication.TokenRequest,
    ("authentication.k8s.io/v1", "SelfSubjectReview"): authentication.SelfSubjectReview,
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): authorization.SelfSubjectAccessReview,
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): authorization.SelfSubjectRulesReview,
}

_META_DATA = {1: "metadata"}
_SPEC_STATUS = {1: "metadata", 2: "spec", 3: "status"}

_FIELDS: dict[str, dict[int, str]] = {
    **protobuf_workloads.FIELDS,
    "ObjectMeta": {
        1: "name",
        2: "generateName",
        3: "namespace",
        4: "selfLink",
        5: "uid",
        6: "resourceVersion",
        7: "generation",
        8: "creationTimestamp",
        9: "deletionTimestamp",
        10: "deletionGracePeriodSeconds",
        11: "labels",
        12: "annotations",
        13: "ownerReferences",
        14: "finalizers",
    },
    "OwnerReference": {
        1: "kind",
        3: "name",
        4: "uid",
        5: "apiVersion",
        6: "controller",
        7: "blockOwnerDeletion",
    },
    "LabelSelector": {1: "matchLabels", 2: "matchExpressions"},
    "LabelSelectorRequirement": {1: "key", 2: "operator", 3: "values"},
    "DeleteOptions": {
        1: "gracePeriodSeconds",
        2: "preconditions",
        3: "orphanDependents",
        4: "propagationPolicy",
        5: "dryRun",
    },
    "Preconditions": {1: "uid", 2: "resourceVersion"},
    "Namespace": _SPEC_STATUS,
    "NamespaceSpec": {1: "finalizers"},
    "NamespaceStatus": {1: "phase"},
    "ConfigMap": {**_META_DATA, 2: "data", 3: "binaryData", 4: "immutable"},
    "Secret": {**_META_DATA, 2: "data", 3: "type", 4: "stringData", 5: "immutable"},
    "ServiceAccount": {
        **_META_DATA,
        2: "secrets",
        3: "imagePullSecrets",
        4: "automountServiceAccountToken",
    },
    "LocalObjectReference": {1: "name"},
    "ObjectReference": {
        1: "kind",
        2: "namespace",
        3: "name",
        4: "uid",
        5: "apiVersion",
        6: "resourceVersion",
        7: "fieldPath",
    },
    "Service": _SPEC_STATUS,
    "ServiceSpec": {
        1: "ports",
        2: "selector",
        3: "clusterIP",
        4: "type",
        5: "externalIPs",
        7: "sessionAffinity",
        8: "loadBalancerIP",
        9: "loadBalancerSourceRanges",
        10: "externalName",
        11: "externalTrafficPolicy",
        12: "healthCheckNodePort",
        13: "publishNotReadyAddresses",
        17: "ipFamilyPolicy",
        18: "clusterIPs",
        19: "ipFamilies",
        20: "allocateLoadBalancerNodePorts",
        21: "loadBalancerClass",
        22: "internalTrafficPolicy",
        23: "trafficDistribution",
    },
    "ServicePort": {
        1: "name",
        2: "protocol",
        3: "port",
        4: "targetPort",
        5: "nodePort",
        6: "appProtocol",
    },
    "ServiceStatus": {1: "loadBalancer"},
    "LoadBalancerStatus": {},
    "ResourceQuota": _SPEC_STATUS,
    "ResourceQuotaSpec": {1: "hard", 2: "scopes", 3: "scopeSelector"},
    "ResourceQuotaStatus": {},
    "ScopeSelector": {1: "matchExpressions"},
    "ScopedResourceSelectorRequirement": {1: "scopeName", 2: "operator", 3: "values"},
    "Role": {**_META_DATA, 2: "rules"},
    "ClusterRole": {**_META_DATA, 2: "rules", 3: "aggregationRule"},
    "AggregationRule": {1: "clusterRoleSelectors"},
    "PolicyRule": {
        1: "verbs",
        2: "apiGroups",
        3: "resources",
        4: "resourceNames",
        5: "nonResourceURLs",
    },
    "RoleBinding": {**_META_DATA, 2: "subjects", 3: "roleRef"},
    "ClusterRoleBinding": {**_META_DATA, 2: "subjects", 3: "roleRef"},
    "Subject": {1: "kind", 2: "apiGroup", 3: "name", 4: "namespace"},
    "RoleRef": {1: "apiGroup", 2: "kind", 3: "name"},
    "PodDisruptionBudget": _SPEC_STATUS,
    "PodDisruptionBudgetSpec": {
        1: "minAvailable",
        2: "selector",
        3: "maxUnavailable",
        4: "unhealthyPodEvictionPolicy",
    },
    "PodDisruptionBudgetStatus": {},
    "Eviction": {**_META_DATA, 2: "deleteOptions"},
    "PriorityClass": {
        **_META_DATA,
        2: "value",
        3: "globalDefault",
        4: "description",
        5: "preemptionPolicy",
    },
    "TokenRequest": _SPEC_STATUS,
    "TokenRequestSpec": {1: "audiences", 3: "boundObjectRef", 4: "expirationSeconds"},
    "TokenRequestStatus": {},
    "BoundObjectReference": {1: "kind", 2: "apiVersion", 3: "name", 4: "uid"},
    "SelfSubjectReview": {1: "metadata", 2: "status"},
    "SelfSubjectReviewStatus": {},
    "SelfSubjectAccessReview": _SPEC_STATUS,
    "SelfSubjectAccessReviewSpec": {1: "resourceAttributes", 2: "nonResourceAttributes"},
    "ResourceAttributes": {
        1: "namespace",
        2: "verb",
        3: "group",
        4: "version",
        5: "resource",
        6: "subresource",
        7: "name",
    },
    "NonResourceAttributes": {1: "path", 2: "verb"},
    "SubjectAccessReviewStatus": {},
    "SelfSubjectRulesReview": _SPEC_STATUS,
    "SelfSubjectRulesReviewSpec": {1: "namespace"},
    "SubjectRulesReviewStatus": {},
}
"""Fields by number. A status is written by the server, so what a client sends in it is not read."""

_ZERO_MEANS_ABSENT = frozenset(
    {
        ("ObjectMeta", "generation"),
        ("ServicePort", "nodePort"),
        ("ServicePort", "targetPort"),
        ("ServiceSpec", "healthCheckNodePort"),
        ("ServiceSpec", "publishNotReadyAddresses"),
        ("PriorityClass", "globalDefault"),
        *protobuf_workloads.WITHOUT_POINTER,
    }
)


def decode(body: bytes) -> Json:
    """The object in a protobuf body, as if it had been sent as JSON. Raises `ProtobufError`."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not begin with the protobuf magic of Kubernetes")
    try:
        api_version, kind, raw = _envelope(body[len(MAGIC) :])
        # Every group has its own name for the same options.
        cls = meta.DeleteOptions if kind == "DeleteOptions" else _KINDS.get((api_version, kind))
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


def _message(struct: StructType, data: bytes, depth: int, embedded: str = "") -> Json:
    """`embedded` names the message of which `data` is, if its fields stand in `struct` itself in JSON."""
    if depth > _MAX_DEPTH:
        raise ProtobufError("the protobuf body nests too deeply")
    numbers = _FIELDS.get(embedded or struct.name)
    if numbers is None:
        raise ProtobufError(f"{struct.name} is not read from protobuf; send the object as application/json")
    found: Json = {}
    for number, value in _fields(data):
        name = numbers.get(number)
        if name is None:
            if _is_empty_or_server_owned(struct.name, value):
                continue
            raise ProtobufError(
                f"field {number} of {struct.name} is not read from protobuf; "
                "send the object as application/json"
            )
        if name.startswith("^"):
            found.update(_message(struct, _bytes(value), depth + 1, name[1:]))
            continue
        value_type = struct.fields[name]
        if value_type.shape == "list" and value_type.elem is not None:
            found.setdefault(name, []).append(_value(value_type.elem, value, depth))
        elif value_type.shape == "map" and value_type.elem is not None:
            key, item = _entry(value_type.elem, value, depth)
            found.setdefault(name, {})[key] = item
        else:
            decoded = _value(value_type, value, depth)
            if not _absent(struct.name, name, decoded):
                found[name] = decoded
    return found


def _is_empty_or_server_owned(struct: str, value: int | bytes) -> bool:
    """Whether a field without a name may be passed over: it says nothing, or only the server may say it."""
    return not value or struct.endswith("Status") or struct == "ObjectMeta"


def _absent(struct: str, name: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    return value in (0, False) and (struct, name) in _ZERO_MEANS_ABSENT


def _entry(elem: ValueType, value: int | bytes, depth: int) -> tuple[str, Any]:
    """One entry of a map: a message of key and value, either left out when empty."""
    key, item = "", b""
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _bytes(part).decode()
        elif number == 2:
            item = _bytes(part)
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
        case "time" | "microtime":
            return _time(_bytes(value))
        case "quantity":
            return next(
                (_bytes(text).decode() for number, text in _fields(_bytes(value)) if number == 1), "0"
            )
        case "int-or-string":
            return _int_or_string(_bytes(value))
        case "struct" if value_type.struct is not None:
            return _message(value_type.struct, _bytes(value), depth + 1)
        case shape:
            raise ProtobufError(f"values of type {shape} are not read from protobuf; send application/json")


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtobufError("the protobuf body is damaged: text where a number was expected")
    return value - 2**64 if value >= 2**63 else value


def _time(data: bytes) -> str | None:
    """RFC 3339 text of a Timestamp; None for the zero one, which means absent."""
    seconds = next((value for number, value in _fields(data) if number == 1), None)
    if seconds is None:
        return None
    instant = datetime.datetime.fromtimestamp(_signed(seconds), datetime.UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if parts.get(1):
        return _bytes(parts.get(3, b"")).decode()
    return _signed(parts.get(2, 0))
