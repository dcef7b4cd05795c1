"""The life of CustomResourceDefinitions: names, conditions, changes, selectable fields, and the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from api_server_under_test import Running

pytestmark = pytest.mark.component

Json = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}


async def ask(api: Running, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
    sent = {"Content-Type": "application/json", **headers}
    async with api.client.request(method, path, json=body, headers=sent) as response:
        return response.status, await response.json()


async def ok(api: Running, method: str, path: str, body: Any = None, **headers: str) -> Json:
    status, document = await ask(api, method, path, body, **headers)
    assert status < 300, document
    return document


def definition(plural: str, kind: str, group: str = "life.example.com", **more: Any) -> Json:
    names = {"plural": plural, "kind": kind, **more.pop("names", {})}
    version: Json = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {
                        "type": "object",
                        "properties": {"color": {"type": "string"}, "size": {"type": "integer"}},
                    }
                },
            }
        },
        **more.pop("version", {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", **more.pop("metadata", {})},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version], **more},
    }


async def until_condition(api: Running, name: str, type_: str, status: str, reason: str = "") -> Json:
    """The condition, once it is there with this status, and reason if one is given."""
    path = f"{CRDS}?watch=true&fieldSelector=metadata.name={name}"
    async with api.client.get(path) as stream, asyncio.timeout(10):
        while True:
            event = json.loads(await stream.content.readline())
            for condition in (event["object"].get("status") or {}).get("conditions") or ():
                if (condition["type"], condition["status"]) != (type_, status):
                    continue
                if reason in ("", condition["reason"]):
                    found: Json = condition
                    return found


async def until_gone(api: Running, name: str) -> None:
    path = f"{CRDS}?watch=true&fieldSelector=metadata.name={name}"
    async with api.client.get(path) as stream, asyncio.timeout(10):
        if (await ask(api, "GET", f"{CRDS}/{name}"))[0] == 404:
            return
        while json.loads(await stream.content.readline())["type"] != "DELETED":
            pass


async def test_names_in_use_are_not_accepted_until_they_are_free(api: Running) -> None:
    first, second = "firsts.life.example.com", "seconds.life.example.com"
    await ok(api, "POST", CRDS, definition("firsts", "First", names={"shortNames": ["ff"]}))
    await until_condition(api, first, "Established", "True")
    await ok(api, "POST", CRDS, definition("seconds", "Second", names={"shortNames": ["ff"]}))
    condition = await until_condition(api, second, "NamesAccepted", "False")
    assert condition["reason"] == "ShortNamesConflict"
    assert condition["message"] == '"ff" is already in use'
    established = await until_condition(api, second, "Established", "False")
    assert established["reason"] == "NotAccepted"
    assert (await ask(api, "GET", "/apis/life.example.com/v1/seconds"))[0] == 404
    await ok(api, "DELETE", f"{CRDS}/{first}")
    await until_condition(api, second, "Established", "True")
    await ok(api, "GET", "/apis/life.example.com/v1/seconds")
    await ok(api, "DELETE", f"{CRDS}/{second}")
    await until_gone(api, second)


async def test_a_kind_in_use_is_told_as_such(api: Running) -> None:
    await ok(api, "POST", CRDS, definition("ones", "Same"))
    await until_condition(api, "ones.life.example.com", "Established", "True")
    await ok(api, "POST", CRDS, definition("twos", "Same", names={"singular": "two"}))
    condition = await until_condition(api, "twos.life.example.com", "NamesAccepted", "False")
    assert (condition["reason"], condition["message"]) == ("ListKindConflict", '"SameList" is already in use')
    for name in ("ones.life.example.com", "twos.life.example.com"):
        await ok(api, "DELETE", f"{CRDS}/{name}")
        await until_gone(api, name)


async def test_protected_groups_tell_their_approval(api: Running) -> None:
    name = "guarded.life.k8s.io"
    document = definition(
        "guarded",
        "Guarded",
        "life.k8s.io",
        metadata={"annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
    )
    await ok(api, "POST", CRDS, document)
    condition = await until_condition(api, name, "KubernetesAPIApprovalPolicyConformant", "False")
    assert condition["reason"] == "UnapprovedAnnotation"
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await until_gone(api, name)


async def test_a_changed_schema_counts_at_once_and_is_published(api: Running) -> None:
    name, things = "alters.life.example.com", "/apis/life.example.com/v1/namespaces/default/alters"
    await ok(api, "POST", CRDS, definition("alters", "Alter"))
    await ok(
        api,
        "POST",
        things,
        {
            "apiVersion": "life.example.com/v1",
            "kind": "Alter",
            "metadata": {"name": "a"},
            "spec": {"size": 1, "extra": 1},
        },
    )
    assert (await ok(api, "GET", f"{things}/a"))["spec"] == {"size": 1}
    changed = definition("alters", "Alter")
    properties = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"][
        "properties"
    ]
    properties["size"]["maximum"] = 5
    properties["extra"] = {"type": "integer", "default": 3}
    await ok(api, "PATCH", f"{CRDS}/{name}", {"spec": changed["spec"]}, **MERGE)
    status, refused = await ask(api, "PATCH", f"{things}/a", {"spec": {"size": 9}}, **MERGE)
    assert status == 422
    assert "should be less than or equal to 5" in refused["message"]
    patched = await ok(api, "PATCH", f"{things}/a", {"spec": {"size": 2}}, **MERGE)
    assert patched["spec"] == {"size": 2, "extra": 3}
    published = await ok(api, "GET", "/openapi/v3/apis/life.example.com/v1")
    schema = published["components"]["schemas"]["com.example.life.v1.Alter"]
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 5
    swagger = await ok(api, "GET", "/openapi/v2")
    assert "extra" in json.dumps(swagger["definitions"]["com.example.life.v1.Alter"])
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await until_gone(api, name)


async def test_selectable_fields_select_and_others_are_refused(api: Running) -> None:
    name, things = "picks.life.example.com", "/apis/life.example.com/v1/namespaces/default/picks"
    document = definition("picks", "Pick", version={"selectableFields": [{"jsonPath": ".spec.color"}]})
    await ok(api, "POST", CRDS, document)
    for item, color in (("a", "red"), ("b", "blue")):
        body = {
            "apiVersion": "life.example.com/v1",
            "kind": "Pick",
            "metadata": {"name": item},
            "spec": {"color": color},
        }
        await ok(api, "POST", things, body)
    found = await ok(api, "GET", f"{things}?fieldSelector=spec.color=red")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    status, refused = await ask(api, "GET", f"{things}?fieldSelector=spec.size=1")
    assert status == 400
    assert "field label not supported: spec.size" in refused["message"]
    async with (
        api.client.get(f"{things}?watch=true&fieldSelector=spec.color=green") as stream,
        asyncio.timeout(10),
    ):
        await ok(api, "PATCH", f"{things}/b", {"spec": {"color": "green"}}, **MERGE)
        assert json.loads(await stream.content.readline())["type"] == "ADDED"
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await until_gone(api, name)


async def test_finalizers_of_custom_resources_need_no_path_but_should_have_one(api: Running) -> None:
    """They were refused, and with them the objects of operators whose finalizers are called so."""
    name, things = "helds.life.example.com", "/apis/life.example.com/v1/namespaces/default/helds"
    await ok(api, "POST", CRDS, definition("helds", "Held"))
    metadata = {"name": "a", "finalizers": ["plain.example.com"]}
    body = {"apiVersion": "life.example.com/v1", "kind": "Held", "metadata": metadata}
    async with api.client.post(things, json=body) as response:
        assert response.status == 201
        assert response.headers["Warning"] == (
            '299 - "metadata.finalizers: \\"plain.example.com\\": prefer a domain-qualified finalizer name '
            'including a path (/) to avoid accidental conflicts with other finalizer writers"'
        )
    change = {"metadata": {"labels": {"a": "b"}}}
    async with api.client.patch(f"{things}/a", json=change, headers=MERGE) as response:
        assert response.status == 200
        assert "Warning" not in response.headers  # nothing new
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await ok(api, "PATCH", f"{CRDS}/{name}", change, **MERGE)  # its own finalizer has no path, too
    await ok(api, "PATCH", f"{things}/a", {"metadata": {"finalizers": None}}, **MERGE)
    await until_gone(api, name)


async def test_a_definition_waits_for_objects_that_something_keeps(api: Running) -> None:
    name, things = "kepts.life.example.com", "/apis/life.example.com/v1/namespaces/default/kepts"
    await ok(api, "POST", CRDS, definition("kepts", "Kept"))
    metadata = {"name": "a", "finalizers": ["example.com/keeper"]}
    await ok(api, "POST", things, {"apiVersion": "life.example.com/v1", "kind": "Kept", "metadata": metadata})
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await until_condition(api, name, "Terminating", "True", "InstanceDeletionInProgress")
    status, _ = await ask(
        api, "POST", things, {"apiVersion": "life.example.com/v1", "kind": "Kept", "metadata": {"name": "b"}}
    )
    assert status == 405
    await ok(api, "PATCH", f"{things}/a", {"metadata": {"finalizers": None}}, **MERGE)
    await until_gone(api, name)
    assert (await ask(api, "GET", things))[0] == 404
    await ok(api, "POST", CRDS, definition("kepts", "Kept"))
    await until_condition(api, name, "Established", "True")
    assert (await ok(api, "GET", things))["items"] == []
    await ok(api, "DELETE", f"{CRDS}/{name}")
    await until_gone(api, name)
