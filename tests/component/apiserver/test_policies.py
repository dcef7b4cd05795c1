"""Admission policies at the server: what a client gets back, and what is stored."""

from __future__ import annotations

from typing import Any

import pytest
from api_server_under_test import Running

pytestmark = pytest.mark.component

Json = dict[str, Any]
GROUP = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["configmaps"],
}


async def ask(
    api: Running, method: str, path: str, body: Json | None = None, **headers: str
) -> tuple[int, Json]:
    async with api.client.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def policy(api: Running, kind: str, name: str, spec: Json, binding: Json) -> None:
    """Makes a policy (`mutating` or `validating`) and binds it to objects with the label `policy: <name>`."""
    selector = {"objectSelector": {"matchLabels": {"policy": name}}}
    document = {"metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [RULE]}, **spec}}
    status, made = await ask(api, "POST", f"{GROUP}/{kind}admissionpolicies", document)
    assert status == 201, made
    bound = {"metadata": {"name": name}, "spec": {"policyName": name, "matchResources": selector, **binding}}
    status, made = await ask(api, "POST", f"{GROUP}/{kind}admissionpolicybindings", bound)
    assert status == 201, made


def labelled(name: str, policy_name: str, **data: str) -> Json:
    return {"metadata": {"name": name, "labels": {"policy": policy_name}}, "data": data}


async def test_a_mutating_policy_changes_what_is_stored_and_a_validating_one_sees_it(api: Running) -> None:
    expression = "Object{data: Object.data{who: request.userInfo.username, size: string(size(object.data))}}"
    await policy(
        api,
        "mutating",
        "fill",
        {
            "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": "[JSONPatch{op: 'add', path: '/metadata/annotations', "
                        "value: {'a': 'b'}}]"
                    },
                },
            ],
        },
        {},
    )
    await policy(
        api,
        "validating",
        "fill",
        {"validations": [{"expression": "object.data.size != '3'", "message": "three is too many"}]},
        {"validationActions": ["Deny"]},
    )
    status, made = await ask(api, "POST", MAPS, labelled("m1", "fill", x="1"))
    assert status == 201
    assert made["data"] == {"x": "1", "who": "admin", "size": "1"}
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert (await ask(api, "GET", f"{MAPS}/m1"))[1]["data"] == made["data"]
    status, refused = await ask(api, "POST", MAPS, labelled("m2", "fill", x="1", y="2", z="3"))
    assert status == 422
    assert refused["message"].endswith("denied request: three is too many")
    assert (await ask(api, "GET", f"{MAPS}/m2"))[0] == 404
    status, other = await ask(api, "POST", MAPS, {"metadata": {"name": "m3"}, "data": {"x": "1"}})
    assert (status, other["data"]) == (201, {"x": "1"})


async def test_parameters_come_from_the_objects_the_binding_names(api: Running) -> None:
    params = {"metadata": {"name": "limits"}, "data": {"most": "2"}}
    assert (await ask(api, "POST", MAPS, params))[0] == 201
    await policy(
        api,
        "validating",
        "limited",
        {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "validations": [
                {
                    "expression": "size(object.data) <= int(params.data.most)",
                    "messageExpression": "'at most ' + params.data.most",
                    "reason": "Forbidden",
                }
            ],
        },
        {
            "validationActions": ["Deny"],
            "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"},
        },
    )
    assert (await ask(api, "POST", MAPS, labelled("l1", "limited", a="1", b="2")))[0] == 201
    status, refused = await ask(api, "POST", MAPS, labelled("l2", "limited", a="1", b="2", c="3"))
    assert (status, refused["message"].rpartition(": ")[2]) == (403, "at most 2")
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await ask(api, "PATCH", f"{MAPS}/limits", {"data": {"most": "3"}}, **merge))[0] == 200
    assert (await ask(api, "POST", MAPS, labelled("l2", "limited", a="1", b="2", c="3")))[0] == 201


async def test_a_policy_that_does_not_compile_is_refused(api: Running) -> None:
    document = {
        "metadata": {"name": "broken"},
        "spec": {
            "matchConstraints": {"resourceRules": [RULE]},
            "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{"}}
            ],
        },
    }
    status, refused = await ask(api, "POST", f"{GROUP}/mutatingadmissionpolicies", document)
    assert status == 422
    assert refused["details"]["causes"][0]["field"] == "spec.mutations[0].applyConfiguration.expression"
