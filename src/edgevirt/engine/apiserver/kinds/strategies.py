"""What is particular about built-in kinds when they are written: initial status, immutable parts, rules.

Defaults live in the schemas; here is what defaults cannot say. Each strategy is pure.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from edgevirt.engine.apiserver.admission.configuration import validate as validate_webhooks
from edgevirt.engine.apiserver.aggregation.availability import LOCAL
from edgevirt.engine.apiserver.aggregation.validation import validate as validate_api_service
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.http.json_syntax import go_type, parse_json
from edgevirt.engine.apiserver.names import invalid_value
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema import shown
from edgevirt.engine.apiserver.schema.json_path import JsonPath

Json = dict[str, Any]

_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
MAX_DATA_BYTES = 1024 * 1024
_NAME_LABEL = "kubernetes.io/metadata.name"
CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class Plain:
    """A kind without particularities; base of the others."""

    def complete(self, obj: Json) -> None:
        return None

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        return None

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        return None

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return []

    def settle(self, obj: Json) -> None:
        return None

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {}


class WithStatus(Plain):
    """A kind whose status starts as given here, whatever the client says."""

    def __init__(self, initial: Json | None = None) -> None:
        self._initial = initial

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        if self._initial is None:
            obj.pop("status", None)
        else:
            obj["status"] = dict(self._initial)


class ConfigData(Plain):
    """ConfigMap: keys, size, immutability."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        causes: list[Cause] = []
        for field, values in (("data", data), ("binaryData", binary)):
            for key in sorted(values):
                if not _is_plain_key(key):
                    causes.extend(_key_faults(f"{field}[{key}]", key))
                if field == "binaryData" and key in data:
                    causes.append(invalid_value(f"{field}[{key}]", key, "duplicate of key present in data"))
        size = sum(map(_utf8_length, data.values()))
        size += sum(len(value) * 3 // 4 for value in binary.values())
        if size > MAX_DATA_BYTES:
            causes.append(_too_long(""))
        if old is not None and old.get("immutable"):
            causes.extend(_immutable_faults(obj, old, ("data", "binaryData")))
        return causes


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _too_long(field: str) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {MAX_DATA_BYTES} bytes", field or "[]")


def _is_plain_key(key: str) -> bool:
    """Without a fault for sure: what nearly all keys are."""
    return len(key) <= 253 and key[:1] != "." and _CONFIG_KEY.fullmatch(key) is not None


def _key_faults(field: str, key: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(key) > 253:
        causes.append(invalid_value(field, key, "must be no more than 253 bytes"))
    if not _CONFIG_KEY.fullmatch(key):
        causes.append(
            invalid_value(
                field,
                key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                "(e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            )
        )
    elif key in (".", ".."):
        causes.append(invalid_value(field, key, f"must not be '{key}'"))
    elif key.startswith(".."):
        causes.append(invalid_value(field, key, "must not start with '..'"))
    return causes


def _immutable_faults(obj: Json, old: Json, fields: tuple[str, ...]) -> list[Cause]:
    causes: list[Cause] = []
    if not obj.get("immutable"):
        causes.append(forbidden_cause("immutable", "field is immutable when `immutable` is set"))
    causes.extend(
        forbidden_cause(field, "field is immutable when `immutable` is set")
        for field in fields
        if (obj.get(field) or {}) != (old.get(field) or {})
    )
    return causes


def forbidden_cause(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


class SecretData(Plain):
    """Secret: stringData becomes data; the type cannot change."""

    def complete(self, obj: Json) -> None:
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        if not obj.get("type") and old.get("type"):
            obj["type"] = old["type"]

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        data = obj.get("data") or {}
        causes: list[Cause] = []
        for key in sorted(data):
            causes.extend(_key_faults(f"data[{key}]", key))
        if sum(len(value) * 3 // 4 for value in data.values()) > MAX_DATA_BYTES:
            causes.append(_too_long("data"))
        required = _REQUIRED_KEYS.get(obj.get("type") or "", ())
        causes.extend(
            Cause("FieldValueRequired", "Required value", f"data[{key}]")
            for key in required
            if key not in data
        )
        causes.extend(_token_faults(obj))
        causes.extend(_docker_faults(obj.get("type") or "", data))
        if old is not None:
            if obj.get("type") != old.get("type"):
                causes.append(invalid_value("type", obj.get("type"), "field is immutable"))
            if old.get("immutable"):
                causes.extend(_immutable_faults(obj, old, ("data",)))
        return causes

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {"type": obj.get("type") or ""}


_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_DOCKER_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def _token_faults(obj: Json) -> list[Cause]:
    annotations = obj["metadata"].get("annotations") or {}
    if obj.get("type") != "kubernetes.io/service-account-token" or annotations.get(_ACCOUNT_NAME):
        return []
    return [Cause("FieldValueRequired", "Required value", f"metadata.annotations[{_ACCOUNT_NAME}]")]


def _docker_faults(kind: str, data: Json) -> list[Cause]:
    key = _DOCKER_KEYS.get(kind, "")
    if key not in data:
        return []
    fault = ""
    try:
        document = parse_json(base64.b64decode(data[key]))
        if not isinstance(document, dict | None):
            fault = f"json: cannot unmarshal {go_type(document)} into Go value of type "
            fault += "map[string]interface {}"
    except ValueError as error:
        fault = str(error)
    return [invalid_value(f"data[{key}]", "<secret contents redacted>", fault)] if fault else []


class Namespaces(Plain):
    """Namespace: phase, the finalizer its content is removed under, the name as a label."""

    def complete(self, obj: Json) -> None:
        metadata = obj["metadata"]
        name, labels = metadata.get("name"), metadata.get("labels") or {}
        if name and labels.get(_NAME_LABEL) != name:
            metadata["labels"] = {**labels, _NAME_LABEL: name}

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        if context.subresource == "finalize":
            return
        obj["spec"] = old.get("spec") or {}

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase") or ""}


class Nodes(Plain):
    def field_labels(self, obj: Json) -> dict[str, str]:
        unschedulable = (obj.get("spec") or {}).get("unschedulable")
        return {"spec.unschedulable": "true" if unschedulable else "false"}


class RoleBindings(Plain):
    """(Cluster)RoleBinding: the role referred to cannot change."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        if old is not None and obj.get("roleRef") != old.get("roleRef"):
            role = obj.get("roleRef") or {}
            names = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name"}
            text = shown({name: role.get(wire, "") for name, wire in names.items()})
            return [Cause("FieldValueInvalid", f"Invalid value: {text}: cannot change roleRef", "roleRef")]
        return []


class Roles(Plain):
    """(Cluster)Role: each rule has verbs; paths are for cluster roles only."""

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        causes: list[Cause] = []
        namespaced = obj.get("kind") == "Role"
        for index, rule in enumerate(obj.get("rules") or ()):
            path = f"rules[{index}]"
            if not rule.get("verbs"):
                text = "Required value: verbs must contain at least one value"
                causes.append(Cause("FieldValueRequired", text, f"{path}.verbs"))
            urls = rule.get("nonResourceURLs")
            if urls and namespaced:
                text = f"Invalid value: {shown(urls)}: namespaced rules cannot apply to non-resource URLs"
                causes.append(Cause("FieldValueInvalid", text, f"{path}.nonResourceURLs"))
            elif not urls:
                for field, rule_text in (
                    ("apiGroups", "resource rules must supply at least one api group"),
                    ("resources", "resource rules must supply at least one resource"),
                ):
                    if not rule.get(field):
                        causes.append(
                            Cause("FieldValueRequired", f"Required value: {rule_text}", f"{path}.{field}")
                        )
        return causes


class ApiServices(WithStatus):
    """APIService: the name says version and group, and the rest must lead somewhere."""

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        if not (obj.get("spec") or {}).get("service"):
            obj["status"] = {"conditions": [LOCAL.condition(context.now)]}

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return validate_api_service(obj)


class WebhookConfigurations(Plain):
    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        return validate_webhooks(obj)


class Custom(Plain):
    """A custom resource: only its selectable fields are known."""

    def __init__(self, fields: frozenset[str]) -> None:
        self._paths = {field: JsonPath.parse("." + field) for field in fields}

    def field_labels(self, obj: Json) -> dict[str, str]:
        labels: dict[str, str] = {}
        for field, path in self._paths.items():
            found = path.find(obj)
            value = found[0] if found else ""
            labels[field] = ("true" if value else "false") if isinstance(value, bool) else str(value)
        return labels
