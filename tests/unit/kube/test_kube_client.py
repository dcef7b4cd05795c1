from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from fake_api import FakeApi, InMemoryClient, client_for, failure, serve

from edgevirt.api.core import ConfigMap, ObjectReference
from edgevirt.api.meta import KubeObject, ObjectMeta, Resource
from edgevirt.api.resources import CONFIG_MAPS, NODES, PODS
from edgevirt.kube import errors
from edgevirt.kube.client import Client, PatchType, path_of
from edgevirt.kube.clock import FakeClock, settle
from edgevirt.kube.informer import Informer
from edgevirt.kube.kubeconfig import KubeConfig

pytestmark = pytest.mark.unit

MAPS = "/api/v1/namespaces/ns/configmaps"


async def test_an_object_makes_the_round_trip() -> None:
    async with serve(FakeApi()) as server, client_for(server) as client:
        made = await client.create(
            CONFIG_MAPS, ConfigMap(metadata=ObjectMeta(name="a", namespace="ns"), data={"k": "v"})
        )
        assert (made.kind, made.data) == ("ConfigMap", {"k": "v"})
        patched = await client.patch(CONFIG_MAPS, "a", {"data": {"k": None, "x": "y"}}, namespace="ns")
        assert patched.data == {"x": "y"}
        assert (await client.get(CONFIG_MAPS, "a", namespace="ns")).data == {"x": "y"}
        assert [item.metadata.name for item in (await client.list(CONFIG_MAPS)).items] == ["a"]
        await client.delete(CONFIG_MAPS, "a", namespace="ns", uid=made.metadata.uid)
        with pytest.raises(errors.NotFound, match="not found"):
            await client.get(CONFIG_MAPS, "a", namespace="ns")
        assert server.api.calls[0].headers["User-Agent"] == "edgevirt-test"
        assert server.api.calls[0].body["apiVersion"] == "v1"


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Expired),
        (422, "Invalid", errors.Invalid),
        (403, "Forbidden", errors.Forbidden),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.InternalError),
        (504, "Timeout", errors.ServerTimeout),
        (418, "", errors.ApiError),
    ],
)
async def test_each_failure_has_its_own_class(
    code: int, reason: str, expected: type[errors.ApiError]
) -> None:
    api = FakeApi()
    api.fail_next("POST", failure(code, reason, "what happened"))
    with pytest.raises(expected) as caught:
        await InMemoryClient(api, FakeClock()).create(
            CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="ns"
        )
    assert type(caught.value) is expected
    assert (caught.value.code, str(caught.value)) == (code, "what happened")


async def test_a_busy_server_is_asked_again_when_it_says_so() -> None:
    api, clock = FakeApi(), FakeClock()
    api.fail_next("POST", failure(429, "TooManyRequests", retry_after=7), failure(503, "", retry_after=1))
    client = InMemoryClient(api, clock)
    task = asyncio.create_task(client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="ns"))
    await clock.advance(6.9)
    assert len(api.calls) == 1
    await clock.advance(0.2)
    assert len(api.calls) == 2
    await clock.advance(1)
    assert task.result().metadata.name == "a"


async def test_a_write_whose_outcome_is_unknown_is_not_repeated() -> None:
    api, clock = FakeApi(), FakeClock()
    api.fail_next("POST", failure(504, "Timeout"))
    client = InMemoryClient(api, clock)
    with pytest.raises(errors.ServerTimeout):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="ns")
    assert len(api.calls) == 1


async def test_a_read_is_repeated_with_growing_delays_and_then_given_up() -> None:
    api, clock = FakeApi(), FakeClock()
    api.fail_next("GET", *(failure(503, "ServiceUnavailable") for _ in range(10)))
    task = asyncio.create_task(InMemoryClient(api, clock).get(CONFIG_MAPS, "a", namespace="ns"))
    times: list[float] = []
    await settle()
    while not task.done():
        times.append(clock.monotonic())
        await clock.advance(clock.pending[0])
    assert times == pytest.approx([0, 0.1, 0.3, 0.7, 1.5])
    assert isinstance(task.exception(), errors.ServiceUnavailable)


async def test_an_unreachable_server_is_named() -> None:
    async with serve(FakeApi()) as server:
        url = server.url
    async with client_for(server) as client:
        with pytest.raises(errors.ConnectionFailed, match=url):
            await client.get(NODES, "n1")


async def test_an_answer_that_is_no_status_becomes_one() -> None:
    async with serve(FakeApi()) as server, client_for(server) as client:
        server.raw_answers.append((502, b"<html>bad gateway</html>", {"Retry-After": "0"}))
        server.raw_answers.append((400, b"<html>nonsense</html>", {}))
        with pytest.raises(errors.BadRequest, match="nonsense"):
            await client.get(NODES, "n1")


async def test_a_server_that_speaks_no_json_is_reported_as_such() -> None:
    async with serve(FakeApi()) as server, client_for(server) as client:
        server.raw_answers.append((200, b"hello", {}))
        with pytest.raises(errors.DecodeError, match="did not send a Node"):
            await client.get(NODES, "n1")


async def test_only_metadata_is_asked_for_where_only_metadata_is_decoded() -> None:
    api = FakeApi()
    api.put(MAPS, "a", data={"big": "x"})
    async with serve(api) as server, client_for(server) as client:
        bare = Resource("", "v1", "configmaps", "ConfigMap", KubeObject)
        listed = await client.list(bare)
    assert type(listed.items[0]) is KubeObject
    assert listed.items[0].kind == "ConfigMap"
    assert "as=PartialObjectMetadataList" in api.calls[0].headers["Accept"]


async def test_each_patch_type_has_its_content_type() -> None:
    api = FakeApi()
    api.put(MAPS, "a")
    client = InMemoryClient(api, FakeClock())
    for kind in (PatchType.MERGE, PatchType.STRATEGIC):
        await client.patch(CONFIG_MAPS, "a", {"data": {"k": kind.name}}, namespace="ns", type=kind)
    await client.patch(
        CONFIG_MAPS,
        "a",
        ConfigMap(data={"k": "v"}, metadata=ObjectMeta(name="a", namespace="ns")),
        namespace="ns",
        type=PatchType.APPLY,
        field_manager="me",
        force=True,
    )
    assert [call.headers["Content-Type"] for call in api.calls] == [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]
    assert api.calls[-1].params == {"fieldManager": "me", "force": "true"}
    assert api.calls[-1].body["kind"] == "ConfigMap"
    with pytest.raises(ValueError, match="field_manager"):
        await client.patch(CONFIG_MAPS, "a", {}, namespace="ns", type=PatchType.APPLY)


async def test_a_stale_write_conflicts() -> None:
    api = FakeApi()
    old = api.put(MAPS, "a")
    api.put(MAPS, "a", data={"k": "newer"})
    client = InMemoryClient(api, FakeClock())
    with pytest.raises(errors.Conflict):
        await client.replace(CONFIG_MAPS, old)
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIG_MAPS, "a", namespace="ns", uid="somebody-else")


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "subresource", "expected"),
    [
        (NODES, "", "n1", "status", "/api/v1/nodes/n1/status"),
        (PODS, "ns", "", "", "/api/v1/namespaces/ns/pods"),
        (PODS, "", "", "", "/api/v1/pods"),
        (PODS, "ns", "../../x", "", "/api/v1/namespaces/ns/pods/..%2F..%2Fx"),
    ],
)
def test_paths_are_built_from_escaped_parts(
    resource: Resource[KubeObject], namespace: str, name: str, subresource: str, expected: str
) -> None:
    assert path_of(resource, namespace, name, subresource) == expected


async def test_a_namespaced_object_without_namespace_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="pass a namespace"):
        await InMemoryClient(FakeApi(), FakeClock()).delete(PODS, "a")


async def test_a_websocket_that_is_refused_says_why() -> None:
    async with serve(FakeApi()) as server, client_for(server) as client:
        server.raw_answers.append((409, b"", {}))
        server.api.fail_next("GET", failure(409, "Conflict", "VMI is not running"))
        with pytest.raises(errors.Conflict, match="VMI is not running"):
            async with client.websocket("/api/v1/some/console"):
                raise AssertionError("opened")


async def test_a_binding_is_posted_to_the_subresource() -> None:
    api = FakeApi()
    api.put("/api/v1/namespaces/ns/pods", "p")
    target = ObjectReference(kind="Node", name="n1")
    await InMemoryClient(api, FakeClock()).create_subresource(
        PODS, "p", "binding", {"target": target, "metadata": {"name": "p"}}, namespace="ns"
    )
    assert api.calls[0].path == "/api/v1/namespaces/ns/pods/p/binding"
    assert api.calls[0].body["target"] == {"kind": "Node", "name": "n1"}


async def test_a_websocket_speaks_the_protocol_that_was_agreed_on() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await opened.prepare(request)
        async for message in opened:
            await opened.send_bytes(request.headers["Authorization"].encode() + message.data)
        return opened

    app = web.Application()
    app.router.add_get("/console", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = KubeConfig(server=f"http://127.0.0.1:{runner.addresses[0][1]}", token="t")
    try:
        async with (
            Client(lambda: config, user_agent="test") as client,
            client.websocket("/console", protocols=("plain.kubevirt.io",)) as socket,
        ):
            assert socket.protocol == "plain.kubevirt.io"
            await socket.send_bytes(b"hello")
            async with asyncio.timeout(5):
                assert await socket.receive_bytes() == b"Bearer thello"
    finally:
        await runner.cleanup()


async def test_kinds_nobody_here_knows_are_plain_dicts() -> None:
    api = FakeApi()
    api.put("/apis/example.test/v1/namespaces/ns/boxes", "a", spec={"anything": [1, {"b": None}]})
    boxes = Resource("example.test", "v1", "boxes", "Box", dict)
    client = InMemoryClient(api, FakeClock())
    (listed,) = (await client.list(boxes, namespace="ns")).items
    assert listed["spec"] == {"anything": [1, {"b": None}]}
    assert (listed["kind"], listed["apiVersion"]) == ("Box", "example.test/v1")
    informer = Informer(client, boxes)
    following = asyncio.create_task(informer.run())
    await informer.synced()
    assert informer.get("a", "ns") == listed
    following.cancel()
    await asyncio.wait((following,))
