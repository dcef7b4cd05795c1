"""The aggregated API, as the front proxy calls it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from virt_api_surroundings import VirtApi

pytestmark = pytest.mark.component

VM = "/namespaces/ns/virtualmachines/a"
VMI = "/namespaces/ns/virtualmachineinstances/a"


def machine(virt_api: VirtApi, strategy: str = "Halted") -> None:
    virt_api.cluster.put("virtualmachines", "a", {"spec": {"runStrategy": strategy, "template": {}}})


def instance(virt_api: VirtApi, phase: str = "Running", **devices: Any) -> None:
    body = {"spec": {"domain": {"devices": devices}}, "status": {"phase": phase, "nodeName": "n1"}}
    virt_api.cluster.put("virtualmachineinstances", "a", body)


def node(virt_api: VirtApi, port: int | None = None) -> None:
    address = f"127.0.0.1:{port or virt_api.handler.port}"
    virt_api.cluster.nodes["n1"] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1", "annotations": {"edgevirt.io/virt-handler-address": address}},
    }


async def test_start_changes_the_spec_and_is_accepted_without_a_body(virt_api: VirtApi) -> None:
    machine(virt_api)
    assert await virt_api.call("PUT", f"{VM}/start") == (202, "")
    assert virt_api.cluster.patches == [
        ("virtualmachines/a", {"metadata": {"resourceVersion": "1"}, "spec": {"runStrategy": "Always"}})
    ]


async def test_start_asks_what_the_user_may_do(virt_api: VirtApi) -> None:
    machine(virt_api)
    await virt_api.call("PUT", f"{VM}/start")
    (review,) = virt_api.cluster.reviews
    assert (review["user"], review["groups"], review["extra"]) == (
        "alice",
        ["system:authenticated"],
        {"a/b": ["c"]},
    )
    assert review["resourceAttributes"] == {
        "group": "subresources.kubevirt.io",
        "version": "v1",
        "namespace": "ns",
        "resource": "virtualmachines",
        "subresource": "start",
        "name": "a",
        "verb": "update",
    }


async def test_user_without_permission_is_told_so(virt_api: VirtApi) -> None:
    machine(virt_api)
    virt_api.cluster.forbidden.add("bob")
    code, text = await virt_api.call("PUT", f"{VM}/start", user="bob")
    assert code == 401
    assert "bob may not update virtualmachines/start" in text
    assert virt_api.cluster.patches == []


async def test_only_the_front_proxy_is_believed_about_users(virt_api: VirtApi) -> None:
    machine(virt_api)
    for tls in (virt_api.anonymous, virt_api.stranger):
        code, _ = await virt_api.call("PUT", f"{VM}/start", tls=tls)
        assert code == 401
    assert virt_api.cluster.reviews == []


async def test_request_is_decided_anew_when_somebody_else_writes_in_between(virt_api: VirtApi) -> None:
    machine(virt_api)
    virt_api.cluster.conflicts = 2
    assert (await virt_api.call("PUT", f"{VM}/start"))[0] == 202
    assert virt_api.cluster.patches[-1][1]["metadata"] == {"resourceVersion": "3"}


async def test_dry_run_checks_and_writes_nothing(virt_api: VirtApi) -> None:
    machine(virt_api)
    assert (await virt_api.call("PUT", f"{VM}/start", '{"dryRun": ["All"]}'))[0] == 202
    assert (await virt_api.call("PUT", f"{VM}/stop", '{"dryRun": ["All"]}'))[0] == 409
    assert virt_api.cluster.patches == []


async def test_restart_queues_stop_and_start_and_shortens_the_grace(virt_api: VirtApi) -> None:
    machine(virt_api, "Always")
    instance(virt_api)
    assert (await virt_api.call("PUT", f"{VM}/restart", "gracePeriodSeconds: 0\n"))[0] == 202
    assert virt_api.cluster.patches == [
        (
            "virtualmachineinstances/a",
            {"metadata": {"uid": "uid-a"}, "spec": {"terminationGracePeriodSeconds": 1}},
        ),
        (
            "virtualmachines/a/status",
            {
                "metadata": {"resourceVersion": "1"},
                "status": {"stateChangeRequests": [{"action": "Stop", "uid": "uid-a"}, {"action": "Start"}]},
            },
        ),
    ]


async def test_refusals_are_status_objects(virt_api: VirtApi) -> None:
    code, status = await virt_api.call("PUT", f"{VM}/start")
    assert (code, status["reason"]) == (404, "NotFound")
    assert status["details"] == {"name": "a", "group": "kubevirt.io", "kind": "virtualmachine"}
    code, status = await virt_api.call("PUT", f"{VM}/restart", '{"gracePeriodSeconds": 5}')
    assert (code, status["reason"], status["details"]) == (400, "BadRequest", {})
    code, status = await virt_api.call("PUT", f"{VM}/start", "[1")
    assert (code, status["reason"]) == (400, "BadRequest")
    assert "StartOptions" in status["message"]


async def test_what_is_not_implemented_says_so_and_wrong_methods_are_named(virt_api: VirtApi) -> None:
    code, status = await virt_api.call("PUT", f"{VMI}/pause")
    assert (code, status["message"]) == (501, "virtualmachineinstances/pause is not supported yet")
    code, text = await virt_api.call("POST", f"{VM}/start")
    assert code == 405
    assert "update" in text


async def test_discovery_needs_no_certificate(virt_api: VirtApi) -> None:
    code, listed = await virt_api.call("GET", "", tls=virt_api.anonymous)
    assert (code, listed["kind"]) == (200, "APIResourceList")
    assert (await virt_api.call("GET", "/version", tls=virt_api.anonymous))[0] == 200
    code, health = await virt_api.call("GET", "/healthz", tls=virt_api.anonymous)
    assert health["apiserver"]["connectivity"] == "ok"
    for path in ("/", "/apis", "/apis/subresources.kubevirt.io", "/openapi/v2", "/openapi/v3", "/healthz"):
        async with virt_api.session.get(virt_api.url + path, ssl=virt_api.anonymous) as answer:
            assert answer.status == 200, path
    path = "/openapi/v3/apis/subresources.kubevirt.io/v1alpha3"
    async with virt_api.session.get(virt_api.url + path, ssl=virt_api.anonymous) as answer:
        assert (await answer.json())["openapi"] == "3.0.0"


def console(virt_api: VirtApi) -> Any:
    return virt_api.session.ws_connect(
        f"{virt_api.url}/apis/subresources.kubevirt.io/v1{VMI}/console",
        headers={"X-Remote-User": "alice"},
        protocols=("plain.kubevirt.io",),
        ssl=virt_api.front_proxy,
    )


async def test_console_reaches_the_guests_virt_handler_and_back(virt_api: VirtApi) -> None:
    instance(virt_api)
    node(virt_api)
    async with console(virt_api) as socket:
        assert socket.protocol == "plain.kubevirt.io"
        assert await virt_api.handler.consoles.get() == f"/v1{VMI}/console"
        await socket.send_bytes(b"hello")
        await socket.send_str(" world")
        assert await socket.receive_bytes() == b"HELLO"
        assert await socket.receive_bytes() == b" WORLD"


async def test_client_is_told_when_the_handler_ends_the_console(virt_api: VirtApi) -> None:
    instance(virt_api)
    node(virt_api)
    async with console(virt_api) as socket:
        await socket.send_bytes(b"bye")
        message = await asyncio.wait_for(socket.receive(), 5)
        assert message.type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(
    ("phase", "devices", "code"),
    [("Scheduled", {}, 400), ("Running", {"autoattachSerialConsole": False}, 400)],
)
async def test_console_needs_a_running_guest_that_has_one(
    virt_api: VirtApi, phase: str, devices: dict[str, Any], code: int
) -> None:
    instance(virt_api, phase, **devices)
    node(virt_api)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with console(virt_api):
            pass
    assert refused.value.status == code


async def test_console_of_an_unreachable_node_is_unavailable(
    virt_api: VirtApi, unused_tcp_port_factory: Any
) -> None:
    instance(virt_api)
    node(virt_api, unused_tcp_port_factory())
    code, status = await virt_api.call("GET", f"{VMI}/console")
    assert (code, status["reason"]) == (400, "BadRequest"), "a console is a websocket"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with console(virt_api):
            pass
    assert refused.value.status == 503


@pytest.mark.parametrize("handler_san", ["edgevirt://virt-handler/n2", "edgevirt://virt-api/n1"])
async def test_console_of_another_nodes_handler_is_not_accepted(virt_api: VirtApi) -> None:
    instance(virt_api)
    node(virt_api)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with console(virt_api):
            pass
    assert refused.value.status == 502
