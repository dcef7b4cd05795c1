"""Validation of Mutating- and ValidatingWebhookConfigurations, as a strategy's `validate` wants it.

Pure. Beyond Kubernetes' own rules it refuses what this server could not honour: webhooks that accept no
AdmissionReview v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.label_selector import selector_faults

if TYPE_CHECKING:
    from edgevirt.engine.cel import Environment

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_OPERATIONS = ("*", "CREATE", "UPDATE", "DELETE", "CONNECT")
_URL_FORM = "desired format: https://host[/path]"


def validate(configuration: Mapping[str, Any]) -> list[Cause]:
    """Every fault of a webhook configuration, defaults applied. Empty when it is fine."""
    faults: list[Cause] = []
    names: set[str] = set()
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        faults += _webhook_faults(webhook, path)
        name = webhook.get("name", "")
        if name in names:
            faults.append(Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{path}.name"))
        names.add(name)
    return faults


def _webhook_faults(webhook: Mapping[str, Any], path: str) -> Iterator[Cause]:
    yield from _name_faults(webhook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(webhook.get("rules") or ()):
        yield from rule_faults(rule, f"{path}.rules[{index}]")
    for field, allowed in (
        ("failurePolicy", ("Fail", "Ignore")),
        ("matchPolicy", ("Equivalent", "Exact")),
        ("reinvocationPolicy", ("IfNeeded", "Never")),
    ):
        value = webhook.get(field)
        if value is not None and value not in allowed:
            yield _unsupported(value, allowed, f"{path}.{field}")
    if "sideEffects" not in webhook:
        text = "Required value: must specify one of None, NoneOnDryRun"
        yield Cause("FieldValueRequired", text, f"{path}.sideEffects")
    elif webhook["sideEffects"] not in ("None", "NoneOnDryRun"):
        yield _unsupported(webhook["sideEffects"], ("None", "NoneOnDryRun"), f"{path}.sideEffects")
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        text = f"Invalid value: {timeout}: the timeout value must be between 1 and 30 seconds"
        yield Cause("FieldValueInvalid", text, f"{path}.timeoutSeconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from selector_causes(webhook.get(field), f"{path}.{field}")
    yield from client_faults(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    yield from _review_version_faults(webhook, f"{path}.admissionReviewVersions")
    yield from condition_faults(webhook.get("matchConditions") or (), f"{path}.matchConditions")


def _name_faults(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield Cause("FieldValueRequired", "Required value", path)
        return
    segments = name.split(".")
    if not all(_LABEL.fullmatch(segment) for segment in segments):
        text = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        yield Cause("FieldValueInvalid", f'Invalid value: "{name}": {text}', path)
    elif len(segments) < 3:
        text = "should be a domain with at least three segments separated by dots"
        yield Cause("FieldValueInvalid", f'Invalid value: "{name}": {text}', path)


def rule_faults(rule: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(field) or ()
        if not values:
            yield Cause("FieldValueRequired", "Required value", f"{path}.{field}")
        elif "*" in values and len(values) > 1 and field != "resources":
            shown = "[" + ",".join(f'"{value}"' for value in values) + "]"
            text = f"Invalid value: {shown}: if '*' is present, must not specify other " + (
                "operations"
                if field == "operations"
                else "API groups"
                if field == "apiGroups"
                else "API versions"
            )
            yield Cause("FieldValueInvalid", text, f"{path}.{field}")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            yield _unsupported(operation, _OPERATIONS, f"{path}.operations[{index}]")
    scope = rule.get("scope")
    if scope is not None and scope not in ("*", "Cluster", "Namespaced"):
        yield _unsupported(scope, ("*", "Cluster", "Namespaced"), f"{path}.scope")


def client_faults(client: Mapping[str, Any], path: str) -> Iterator[Cause]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        text = "Required value: exactly one of url or service is required"
        yield Cause("FieldValueRequired", text, path)
    if url is not None:
        yield from _url_faults(url, f"{path}.url")
    if service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                kind = "service name" if field == "name" else "service namespace"
                yield Cause(
                    "FieldValueRequired", f"Required value: {kind} is required", f"{path}.service.{field}"
                )
        port = service.get("port", 443)
        if not 1 <= port <= 65535:
            text = f"Invalid value: {port}: port is not valid: must be between 1 and 65535, inclusive"
            yield Cause("FieldValueInvalid", text, f"{path}.service.port")


def _url_faults(url: str, path: str) -> Iterator[Cause]:
    parts = urlsplit(url)
    if parts.scheme != "https":
        text = f"Invalid value: \"{parts.scheme}\": 'https' is the only allowed URL scheme; {_URL_FORM}"
        yield Cause("FieldValueInvalid", text, path)
    for value, what in (
        ("" if parts.hostname else " ", "host must be specified"),
        (parts.username or "", "user information is not permitted in the URL"),
        (parts.fragment, "fragments are not permitted in the URL"),
        (parts.query, "query parameters are not permitted in the URL"),
    ):
        if value:
            yield Cause("FieldValueInvalid", f'Invalid value: "{value.strip()}": {what}; {_URL_FORM}', path)


def _review_version_faults(webhook: Mapping[str, Any], path: str) -> Iterator[Cause]:
    versions = webhook.get("admissionReviewVersions") or ()
    if not versions:
        yield Cause("FieldValueRequired", "Required value: must specify one of v1, v1beta1", path)
    elif "v1" not in versions:
        shown = "[" + ",".join(f'"{version}"' for version in versions) + "]"
        yield Cause("FieldValueInvalid", f"Invalid value: {shown}: must include v1", path)


def condition_faults(
    conditions: Sequence[Mapping[str, Any]], path: str, within: Environment | None = None
) -> Iterator[Cause]:
    """Faults of matchConditions, compiled as a webhook's or in the environment of a policy."""
    seen: set[str] = set()
    if not conditions:
        return
    from edgevirt.engine.apiserver.admission.conditions import Condition  # only where there are some

    if len(conditions) > 64:
        yield Cause("FieldValueTooMany", f"Too many: {len(conditions)}: must have at most 64 items", path)
        return
    for index, condition in enumerate(conditions):
        name, expression = condition.get("name", ""), condition.get("expression", "")
        where = f"{path}[{index}]"
        if not name:
            yield Cause("FieldValueRequired", "Required value", f"{where}.name")
        elif name in seen:
            yield Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{where}.name")
        elif not _QUALIFIED.fullmatch(name.rpartition("/")[2]):
            yield Cause(
                "FieldValueInvalid", f'Invalid value: "{name}": not a qualified name', f"{where}.name"
            )
        seen.add(name)
        if not expression.strip():
            yield Cause("FieldValueRequired", "Required value", f"{where}.expression")
            continue
        try:
            Condition(name, expression, within)
        except ConditionError as error:
            text = f'Invalid value: "{expression}": {error}'
            yield Cause("FieldValueInvalid", text, f"{where}.expression")


def selector_causes(selector: Mapping[str, Any] | None, path: str) -> Iterator[Cause]:
    """Faults of a label selector."""
    if selector:
        yield from selector_faults(dict(selector), path)


def _unsupported(value: object, allowed: tuple[str, ...], path: str) -> Cause:
    listed = ", ".join(f'"{entry}"' for entry in allowed)
    return Cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}', path)
