"""Configurations of admission with anything in any place: refused as the client's mistake, never a crash."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_reader_fake import CONFIG_MAPS, FakeReader, config_map, namespace, write

from edgevirt.engine.apiserver.admission.limit_ranger import LimitBounds, LimitDefaults, LimitRanges
from edgevirt.engine.apiserver.admission.policies import GROUP, Policies
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import AllowAll
from edgevirt.engine.apiserver.http.decode import decode_object
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import ADMIN, AdmissionAttributes
from edgevirt.engine.apiserver.writing.write import complete
from edgevirt.engine.quota.charge import Refused, Write, charges

pytestmark = pytest.mark.unit

Json = dict[str, Any]
REGISTRY = builtin_registry()
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-1, 1)
    | st.sampled_from(("", "*", "a", "1Gi", "x/y", "Exists"))
)
ANYTHING = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(st.sampled_from(("name", "cpu", "a/b", "")), below, max_size=2)
    ),
    max_leaves=4,
)
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
MATCH = {
    "resourceRules": [{**RULE, "resourceNames": ["a"]}],
    "excludeResourceRules": [{**RULE, "operations": ["DELETE"]}],
    "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]},
    "objectSelector": {"matchLabels": {}},
}
HOOK = {
    "name": "a.example.com",
    "clientConfig": {"service": {"name": "s", "namespace": "n", "port": 443, "path": "/x"}, "caBundle": ""},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "timeoutSeconds": 3,
    "matchConditions": [{"name": "c", "expression": "object.metadata.name == 'a'"}],
    "namespaceSelector": MATCH["namespaceSelector"],
}
TEMPLATES: dict[str, tuple[str, str, Json]] = {
    "ValidatingWebhookConfiguration": (GROUP, "validatingwebhookconfigurations", {"webhooks": [HOOK]}),
    "MutatingWebhookConfiguration": (
        GROUP,
        "mutatingwebhookconfigurations",
        {"webhooks": [{**HOOK, "reinvocationPolicy": "IfNeeded"}]},
    ),
    "ValidatingAdmissionPolicy": (
        GROUP,
        "validatingadmissionpolicies",
        {
            "spec": {
                "matchConstraints": MATCH,
                "matchConditions": [{"name": "c", "expression": "has(object.metadata)"}],
                "variables": [{"name": "v", "expression": "object.data"}],
                "validations": [
                    {
                        "expression": "variables.v.x == '1'",
                        "message": "m",
                        "messageExpression": "'a'",
                        "reason": "Invalid",
                    }
                ],
                "auditAnnotations": [{"key": "k", "valueExpression": "'v'"}],
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            }
        },
    ),
    "MutatingAdmissionPolicy": (
        GROUP,
        "mutatingadmissionpolicies",
        {
            "spec": {
                "matchConstraints": MATCH,
                "reinvocationPolicy": "Never",
                "variables": [{"name": "v", "expression": "object.data"}],
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": "Object{data: Object.data{k: variables.v.x}}"},
                    },
                    {
                        "patchType": "JSONPatch",
                        "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data/y', value: 'z'}]"},
                    },
                ],
            }
        },
    ),
    "ValidatingAdmissionPolicyBinding": (
        GROUP,
        "validatingadmissionpolicybindings",
        {
            "spec": {
                "policyName": "a",
                "validationActions": ["Deny"],
                "matchResources": MATCH,
                "paramRef": {"selector": {"matchLabels": {"a": "b"}}, "parameterNotFoundAction": "Allow"},
            }
        },
    ),
    "ResourceQuota": (
        "",
        "resourcequotas",
        {
            "spec": {
                "hard": {"pods": "1", "requests.cpu": "1"},
                "scopes": ["Terminating"],
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]
                },
            }
        },
    ),
    "LimitRange": (
        "",
        "limitranges",
        {
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "1"},
                        "default": {"cpu": "1"},
                        "maxLimitRequestRatio": {"cpu": "2"},
                    },
                    {"type": "Pod", "min": {"memory": "1Mi"}},
                ]
            }
        },
    ),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, below in entries:
        found += places(below, (*path, key))
    return found


def replaced(document: Json, path: tuple[Any, ...], value: Any) -> Json:
    result = copy.deepcopy(document)
    at: Any = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return result


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> Json:
    """A document of the kind with up to two places replaced by anything."""
    group, _, document = TEMPLATES[kind]
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(places(document)))
        document = replaced(document, path, draw(ANYTHING))
    metadata = {"name": "a", "namespace": "ns"} if not group else {"name": "a"}
    return {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": metadata, **document}


def admitted(kind: str, document: Json) -> Json | None:
    """The object as it would be stored, or None if it is refused as a client's mistake."""
    group, plural, _ = TEMPLATES[kind]
    resource = REGISTRY.lookup(group, "v1", plural)
    assert resource is not None
    try:
        obj = decode_object(resource, json.dumps(document).encode(), "application/json", "Warn", [])
    except StatusError as error:
        if error.code >= 500:
            raise
        return None
    complete(resource, obj)
    causes = [*resource.schema.validate(obj, None), *resource.strategy.validate(obj, None)]
    assert all(cause.message for cause in causes)
    return None if causes else obj


@pytest.mark.parametrize(
    "kind",
    ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "MutatingAdmissionPolicy"],
)
@RELAXED
@given(st.data())
def test_any_webhook_configuration_is_refused_or_admitted(kind: str, data: st.DataObject) -> None:
    admitted(kind, data.draw(damaged(kind)))


def kinds(api_version: str, kind: str) -> ServedResource | None:
    return CONFIG_MAPS if (api_version, kind) == ("v1", "ConfigMap") else None


@RELAXED
@given(damaged("ValidatingAdmissionPolicy"), damaged("ValidatingAdmissionPolicyBinding"))
async def test_any_policy_that_is_admitted_judges_without_failing(policy: Json, binding: Json) -> None:
    reader = FakeReader()
    reader.put("", "namespaces", namespace("ns"))
    made = Policies(reader, AllowAll(), lambda group, plural: ("v1",), kinds)
    made.observe()
    stored = admitted("ValidatingAdmissionPolicy", policy)
    bound = admitted("ValidatingAdmissionPolicyBinding", binding)
    if stored is None or bound is None:
        return
    reader.put(GROUP, "validatingadmissionpolicies", stored)
    reader.put(GROUP, "validatingadmissionpolicybindings", bound)
    try:
        await made.validate(write(CONFIG_MAPS, config_map("a", x="1")))
    except StatusError as error:
        assert error.code < 500  # noqa: PT017


def pod(spec: Json) -> AdmissionAttributes:
    resource = REGISTRY.lookup("", "v1", "pods")
    assert resource is not None
    document = {"metadata": {"name": "p"}, "spec": spec}
    return AdmissionAttributes("CREATE", resource, "", "p", "ns", document, None, ADMIN, False, {}, [])


SPEC: Json = {
    "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
    "initContainers": [{"name": "i", "resources": {"limits": {"memory": "1Gi"}}}],
}


@RELAXED
@given(damaged("LimitRange"), damaged("ResourceQuota"))
def test_any_limits_and_quotas_that_are_admitted_judge_without_failing(limits: Json, quota: Json) -> None:
    stored = admitted("LimitRange", limits)
    attributes = pod(copy.deepcopy(SPEC))
    if stored is not None:
        reader = FakeReader()
        reader.put("", "limitranges", stored)
        ranges = LimitRanges(reader)
        LimitDefaults(ranges).admit(attributes)
        try:
            LimitBounds(ranges).admit(attributes)
        except StatusError as error:
            assert error.code == 403  # noqa: PT017
    counted = admitted("ResourceQuota", quota)
    if counted is not None:
        hard = (counted.get("spec") or {}).get("hard") or {}
        counted["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
        assert attributes.object is not None
        try:
            charges([counted], Write("", "pods", "CREATE", attributes.object, None))
        except Refused as error:
            assert str(error)  # noqa: PT017
