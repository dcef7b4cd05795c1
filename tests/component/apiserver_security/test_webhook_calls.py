"""Webhooks over real TLS: what a client reads when they refuse, fail, stall or lie."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from object_reader_fake import CONFIG_MAPS, FakeReader, config_map, namespace, write

from edgevirt.engine.apiserver import admission
from edgevirt.engine.apiserver.admission.chain import Chain
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory
from edgevirt.engine.apiserver.auth.rbac import RoleBasedAccess
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.registry import Registry

pytestmark = pytest.mark.component

Json = dict[str, Any]


def annotations_of(asked: Json) -> dict[str, str]:
    """The annotations of the object a webhook is asked about; none on DELETE."""
    metadata: Json = (asked["object"] or {}).get("metadata", {})
    return metadata.get("annotations") or {}


def set_annotations(asked: Json, **added: str) -> Json:
    """The part of an answer that adds annotations by a JSON patch."""
    value = {**annotations_of(asked), **added}
    patch = json.dumps([{"op": "add", "path": "/metadata/annotations", "value": value}])
    return {"patchType": "JSONPatch", "patch": base64.b64encode(patch.encode()).decode()}


class Hooks:
    """The webhook server the recordings were made with; remembers who connected."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.calls = 0
        self.stalled = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        self.calls += 1
        asked = (await request.json())["request"]
        response: Json = {"uid": asked["uid"], "allowed": True}
        match request.path:
            case "/deny":
                response.update(allowed=False, status={"message": "denied by the test hook"})
            case "/deny-code":
                status = {"message": "teapot says no", "code": 418, "reason": "Teapot"}
                response.update(allowed=False, status=status)
            case "/warn":
                response["warnings"] = ["hook warning one", "hook warning two"]
            case "/500":
                return web.Response(status=500, text="oops\n")
            case "/404":
                return web.Response(status=404)
            case "/redirect":
                raise web.HTTPFound("/allow")
            case "/slow":
                await self.stalled.wait()
            case "/bad-uid":
                response["uid"] = "wrong"
            case "/huge":
                return web.Response(body=b"x" * (9 * 1024 * 1024))
            case "/close":
                assert request.transport is not None
                request.transport.abort()
            case "/count":
                annotations = annotations_of(asked)
                response.update(set_annotations(asked, count=str(int(annotations.get("count", 0)) + 1)))
            case "/mark":
                response.update(set_annotations(asked, mark="yes"))
        return web.json_response(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        )


@pytest.fixture
def reader() -> FakeReader:
    reader = FakeReader()
    reader.put("", "namespaces", namespace("ns"))
    return reader


@pytest.fixture
async def chain(reader: FakeReader) -> AsyncIterator[Chain]:
    directory = ServiceDirectory()
    directory.observe(reader)
    made = admission.build(reader, Registry([CONFIG_MAPS]), RoleBasedAccess(), directory)
    yield made
    await made.close()


def configure(reader: FakeReader, kind: str = "validating", **fields: Any) -> None:
    hook = {
        "name": "h0.rec.example.com",
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        ],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        **fields,
    }
    document = {"metadata": {"name": "c"}, "webhooks": [hook]}
    reader.put("admissionregistration.k8s.io", f"{kind}webhookconfigurations", document)


def url(port: int, path: str, bundle: str) -> Json:
    return {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle}


FAILED = 'Internal error occurred: failed calling webhook "h0.rec.example.com": '


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/deny", 400, 'admission webhook "h0.rec.example.com" denied the request: denied by the test hook'),
        ("/deny-code", 418, 'admission webhook "h0.rec.example.com" denied the request: teapot says no'),
        (
            "/500",
            500,
            FAILED
            + 'failed to call webhook: an error on the server ("oops") has prevented the request from '
            + "succeeding",
        ),
        (
            "/404",
            500,
            FAILED + "failed to call webhook: the server could not find the requested resource",
        ),
        ("/redirect", 500, None),
        ("/huge", 500, None),
        ("/close", 500, FAILED + 'failed to call webhook: Post "{url}?timeout=2s": EOF'),
    ],
)
async def test_refusals_and_failures_read_as_recorded(
    chain: Chain,
    reader: FakeReader,
    pki: Any,
    serve: Callable[..., Any],
    path: str,
    code: int,
    message: str | None,
) -> None:
    async with serve(Hooks(), pki.server_context("localhost")) as port:
        configure(reader, clientConfig=url(port, path, pki.bundle))
        with pytest.raises(StatusError) as caught:
            await chain.validate(write(CONFIG_MAPS, config_map()))
    assert caught.value.code == code
    if message is not None:
        assert caught.value.message == message.replace("{url}", f"https://127.0.0.1:{port}{path}")


async def test_a_stalled_webhook_is_given_up_after_its_timeout(
    chain: Chain, reader: FakeReader, pki: Any, serve: Callable[..., Any]
) -> None:
    hooks = Hooks()
    async with serve(hooks, pki.server_context("localhost")) as port:
        configure(reader, clientConfig=url(port, "/slow", pki.bundle), timeoutSeconds=1)
        with pytest.raises(StatusError) as caught:
            await chain.validate(write(CONFIG_MAPS, config_map()))
        hooks.stalled.set()
    where = f"https://127.0.0.1:{port}/slow?timeout=1s"
    assert caught.value.message == (
        FAILED + f'failed to call webhook: Post "{where}": context deadline exceeded'
    )


async def test_a_webhook_that_is_not_there_reads_as_recorded(
    chain: Chain, reader: FakeReader, pki: Any
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        configure(reader, clientConfig=url(port, "/x", pki.bundle))
        with pytest.raises(StatusError) as caught:
            await chain.validate(write(CONFIG_MAPS, config_map()))
    why = (
        f'failed calling webhook "h0.rec.example.com": failed to call webhook: Post '
        f'"https://127.0.0.1:{port}/x?timeout=2s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    assert caught.value.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {why}",
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    }


async def test_a_webhook_with_a_certificate_of_another_authority_is_not_believed(
    chain: Chain, reader: FakeReader, pki: Any, serve: Callable[..., Any]
) -> None:
    hooks = Hooks()
    other = base64.b64encode(pki.front_proxy.cert_pem).decode()
    async with serve(hooks, pki.server_context("localhost")) as port:
        for bundle in (other, ""):
            configure(reader, clientConfig=url(port, "/allow", bundle))
            with pytest.raises(StatusError, match="tls: failed to verify certificate"):
                await chain.validate(write(CONFIG_MAPS, config_map()))
    assert hooks.calls == 0


async def test_a_service_is_found_by_its_endpoints_and_must_have_its_own_name(
    chain: Chain, reader: FakeReader, pki: Any, serve: Callable[..., Any]
) -> None:
    def client(name: str) -> Json:
        return {
            "service": {"namespace": "ns", "name": name, "port": 443, "path": "/deny"},
            "caBundle": pki.bundle,
        }

    configure(reader, clientConfig=client("hook"))
    with pytest.raises(StatusError) as caught:
        await chain.validate(write(CONFIG_MAPS, config_map()))
    assert caught.value.message == (
        FAILED
        + 'failed to call webhook: Post "https://hook.ns.svc:443/deny?timeout=2s": service "hook" not found'
    )
    async with serve(Hooks(), pki.server_context("hook.ns.svc")) as port:
        for name in ("hook", "other"):
            metadata = {"namespace": "ns", "name": name}
            reader.put("", "services", {"metadata": metadata, "spec": {"ports": [{"port": 443}]}})
            subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": port}]}
            reader.put("", "endpoints", {"metadata": metadata, "subsets": [subset]})
        with pytest.raises(StatusError, match="denied the request: denied by the test hook"):
            await chain.validate(write(CONFIG_MAPS, config_map()))
        configure(reader, clientConfig=client("other"))
        with pytest.raises(StatusError, match="failed to verify certificate"):
            await chain.validate(write(CONFIG_MAPS, config_map()))


async def test_warnings_reach_the_request(
    chain: Chain, reader: FakeReader, pki: Any, serve: Callable[..., Any]
) -> None:
    async with serve(Hooks(), pki.server_context("localhost")) as port:
        configure(reader, clientConfig=url(port, "/warn", pki.bundle))
        attributes = write(CONFIG_MAPS, config_map())
        await chain.validate(attributes)
    assert attributes.warnings == ["hook warning one", "hook warning two"]


async def test_calls_share_one_connection_and_survive_its_end(
    chain: Chain, reader: FakeReader, pki: Any, serve: Callable[..., Any]
) -> None:
    hooks = Hooks()
    context = pki.server_context("localhost")
    async with serve(hooks, context) as port:
        configure(reader, "mutating", clientConfig=url(port, "/count", pki.bundle))
        for _ in range(5):
            attributes = write(CONFIG_MAPS, config_map())
            mutated = await chain.mutate(attributes)
            assert mutated is not None
            assert mutated["metadata"]["annotations"] == {"count": "1"}
        assert len(hooks.connections) == 1
    async with serve(hooks, context, port):
        assert await chain.mutate(write(CONFIG_MAPS, config_map())) is not None


async def test_a_removed_configuration_is_not_asked_any_more(
    chain: Chain, reader: FakeReader, pki: Any
) -> None:
    configure(reader, clientConfig=url(1, "/x", pki.bundle))
    assert chain.concerns("", "v1", "configmaps", "", "UPDATE")
    reader.drop("admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "c")
    assert not chain.concerns("", "v1", "configmaps", "", "UPDATE")
    await chain.validate(write(CONFIG_MAPS, config_map()))
