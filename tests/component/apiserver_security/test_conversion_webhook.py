"""A definition with two versions that a webhook converts: every verb, through either version."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edgevirt.engine.apiserver.objects import decode
from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.apiserver.server import Settings
from edgevirt.engine.pki.authority import write_leaf

sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))
from api_server_under_test import Running, running

pytestmark = pytest.mark.component

Json = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1, V2 = (f"/apis/conv.example.com/{version}/namespaces/default/hosts" for version in ("v1", "v2"))


@dataclass
class ConversionHook:
    """v1 has spec.hostPort "host:port", v2 spec.host and spec.port."""

    calls: list[Json] = field(default_factory=list)
    fail: str = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["request"]
        self.calls.append(asked)
        wanted = asked["desiredAPIVersion"]
        response: Json = {"uid": asked["uid"], "result": {"status": "Success"}}
        if self.fail:
            response["result"] = {"status": "Failure", "message": self.fail}
        else:
            response["convertedObjects"] = [self.converted(obj, wanted) for obj in asked["objects"]]
        return web.json_response(
            {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}
        )

    @staticmethod
    def converted(obj: Json, wanted: str) -> Json:
        spec = dict(obj.get("spec") or {})
        if wanted.endswith("/v2"):
            host, _, port = spec.pop("hostPort", ":").partition(":")
            spec.update(host=host, port=port)
        else:
            spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        return {**obj, "apiVersion": wanted, "spec": {**spec, "junk": "pruned"}}


def definition(port: int, bundle: str, storage: str = "v1") -> Json:
    def version(name: str, *fields: str) -> Json:
        properties: Json = {field: {"type": "string"} for field in fields}
        if name == "v2":
            properties["extra"] = {"type": "string", "default": "dflt"}
        spec = {"type": "object", "properties": properties}
        schema = {"type": "object", "properties": {"spec": spec}}
        return {
            "name": name,
            "served": True,
            "storage": name == storage,
            "schema": {"openAPIV3Schema": schema},
            "additionalPrinterColumns": [
                {"name": fields[0], "type": "string", "jsonPath": f".spec.{fields[0]}"}
            ],
        }

    client = {"url": f"https://127.0.0.1:{port}/convert", "caBundle": bundle}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "hosts.conv.example.com"},
        "spec": {
            "group": "conv.example.com",
            "scope": "Namespaced",
            "names": {"plural": "hosts", "kind": "Host"},
            "versions": [version("v1", "hostPort"), version("v2", "host", "port")],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]},
            },
        },
    }


@dataclass
class Setup:
    api: Running
    hook: ConversionHook
    port: int
    bundle: str

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Json]:
        sent = {"Content-Type": "application/json", **headers}
        async with self.api.client.request(method, path, json=body, headers=sent) as response:
            return response.status, await response.json()

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Json:
        status, document = await self.ask(method, path, body, **headers)
        assert status < 300, document
        return document

    def stored(self, name: str) -> Json:
        collection = self.api.server.cluster.store.collection("/registry/conv.example.com/hosts/")
        record = collection.get(f"default/{name}")
        assert record is not None
        return decode(record)


def host(name: str, version: str = "v1", **spec: str) -> Json:
    return {
        "apiVersion": f"conv.example.com/{version}",
        "kind": "Host",
        "metadata": {"name": name},
        "spec": spec or {"hostPort": "h:80"},
    }


@pytest.fixture
async def setup(pki: Any, serve: Callable[..., Any]) -> AsyncIterator[Setup]:
    leaf = pki.serving.issue("apiserver", dns=("localhost",), ips=("127.0.0.1",), server=True)
    certificate, key = write_leaf(pki.directory, "apiserver", leaf)
    settings = Settings(
        data_dir=pki.directory / "data",
        address="127.0.0.1",
        port=0,
        certificate=certificate,
        key=key,
        client_ca=pki.directory / "serving-ca.crt",
        static_tokens={"admin": UserInfo("admin", "admin", ("system:masters",))},
    )
    hook = ConversionHook()
    async with serve(hook, pki.server_context("localhost")) as port, running(settings) as api:
        made = Setup(api, hook, port, pki.bundle)
        await made.ok("POST", CRDS, definition(port, pki.bundle))
        yield made


async def test_objects_are_read_in_the_version_asked_for_and_stored_in_one(setup: Setup) -> None:
    created = await setup.ok("POST", V2, host("b", "v2", host="x", port="1"))
    assert created["apiVersion"] == "conv.example.com/v2"
    assert created["spec"] == {"host": "x", "port": "1", "extra": "dflt"}
    assert setup.stored("b")["apiVersion"] == "conv.example.com/v1"
    assert setup.stored("b")["spec"]["hostPort"] == "x:1"
    await setup.ok("POST", V1, host("a"))
    seen = await setup.ok("GET", f"{V2}/a")
    assert (seen["spec"]["host"], seen["spec"]["port"], seen["spec"]["extra"]) == ("h", "80", "dflt")
    assert "junk" not in seen["spec"]
    assert (await setup.ok("GET", f"{V1}/a"))["spec"] == {"hostPort": "h:80"}
    assert seen["metadata"]["resourceVersion"] == setup.stored("a")["metadata"]["resourceVersion"]


async def test_lists_and_tables_are_converted_with_one_question(setup: Setup) -> None:
    for name in ("a", "b", "c"):
        await setup.ok("POST", V1, host(name))
    setup.hook.calls.clear()
    listed = await setup.ok("GET", V2)
    assert [item["spec"]["host"] for item in listed["items"]] == ["h", "h", "h"]
    assert {item["apiVersion"] for item in listed["items"]} == {"conv.example.com/v2"}
    assert len(setup.hook.calls) == 1
    table = await setup.ok("GET", V2, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [row["cells"][1] for row in table["rows"]] == ["h", "h", "h"]


async def test_updates_and_patches_work_on_the_version_they_name(setup: Setup) -> None:
    await setup.ok("POST", V1, host("a"))
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = await setup.ok("PATCH", f"{V2}/a", {"spec": {"port": "81"}}, **merge)
    assert patched["spec"]["port"] == "81"
    assert setup.stored("a")["spec"]["hostPort"] == "h:81"
    assert patched["metadata"]["generation"] == 2
    current = await setup.ok("GET", f"{V2}/a")
    current["spec"]["host"] = "other"
    replaced = await setup.ok("PUT", f"{V2}/a", current)
    assert replaced["spec"]["host"] == "other"
    assert (await setup.ok("GET", f"{V1}/a"))["spec"]["hostPort"] == "other:81"
    same = await setup.ok("PUT", f"{V2}/a", replaced)
    assert same["metadata"]["resourceVersion"] == replaced["metadata"]["resourceVersion"]
    apply = {"Content-Type": "application/apply-patch+yaml"}
    path = f"{V2}/a?fieldManager=m&force=true"
    applied = await setup.ok("PATCH", path, host("a", "v2", host="z"), **apply)
    assert applied["spec"]["host"] == "z"


async def test_watches_see_every_change_in_their_version(setup: Setup) -> None:
    async with setup.api.client.get(f"{V2}?watch=true") as stream, asyncio.timeout(10):
        await setup.ok("POST", V1, host("a"))
        merge = {"Content-Type": "application/merge-patch+json"}
        await setup.ok("PATCH", f"{V1}/a", {"spec": {"hostPort": "h:2"}}, **merge)
        await setup.ok("DELETE", f"{V2}/a")
        events = [json.loads(await stream.content.readline()) for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"]["spec"]["port"] for event in events] == ["80", "2", "2"]
    assert {event["object"]["apiVersion"] for event in events} == {"conv.example.com/v2"}


async def test_a_webhook_that_fails_is_a_clear_error_and_changes_nothing(setup: Setup) -> None:
    await setup.ok("POST", V1, host("a"))
    setup.hook.fail = "not today"
    for method, path, body in (
        ("GET", f"{V2}/a", None),
        ("GET", V2, None),
        ("POST", V2, host("b", "v2", host="x")),
    ):
        status, document = await setup.ask(method, path, body)
        assert status == 500
        assert "conversion webhook for conv.example.com/" in document["message"]
        assert document["message"].endswith("failed: not today")
    assert (await setup.ok("GET", V1))["items"][0]["spec"] == {"hostPort": "h:80"}


async def test_another_storage_version_is_recorded_and_both_forms_are_read(setup: Setup) -> None:
    await setup.ok("POST", V1, host("a"))
    stored = await setup.ok("GET", f"{CRDS}/hosts.conv.example.com")
    changed = definition(setup.port, setup.bundle, storage="v2")
    changed["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
    updated = await setup.ok("PUT", f"{CRDS}/hosts.conv.example.com", changed)
    assert updated["status"]["storedVersions"] == ["v1", "v2"]
    await setup.ok("POST", V1, host("b"))
    assert setup.stored("a")["apiVersion"] == "conv.example.com/v1"
    assert setup.stored("b")["apiVersion"] == "conv.example.com/v2"
    for version, path in (("v1", V1), ("v2", V2)):
        listed = await setup.ok("GET", path)
        assert {item["apiVersion"] for item in listed["items"]} == {f"conv.example.com/{version}"}
    merge = {"Content-Type": "application/merge-patch+json"}
    await setup.ok("PATCH", f"{V1}/a", {"metadata": {"labels": {"touched": "yes"}}}, **merge)
    assert setup.stored("a")["apiVersion"] == "conv.example.com/v2"


async def test_a_changed_definition_ends_watches_that_began_before(setup: Setup) -> None:
    async with setup.api.client.get(f"{V2}?watch=true") as stream, asyncio.timeout(10):
        merge = {"Content-Type": "application/merge-patch+json"}
        await setup.ok(
            "PATCH", f"{CRDS}/hosts.conv.example.com", {"spec": {"names": {"shortNames": ["ho"]}}}, **merge
        )
        assert await stream.content.readline() == b""


async def test_deleting_the_definition_deletes_what_can_no_longer_be_converted(setup: Setup) -> None:
    await setup.ok("POST", V1, host("a"))
    setup.hook.fail = "gone"
    async with setup.api.client.get(f"{CRDS}?watch=true") as stream, asyncio.timeout(10):
        await setup.ok("DELETE", f"{CRDS}/hosts.conv.example.com")
        while json.loads(await stream.content.readline())["type"] != "DELETED":
            pass
    status, _ = await setup.ask("GET", V1)
    assert status == 404
