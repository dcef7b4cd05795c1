"""The proxy subresources of pods, services and nodes, and who may use them and what else connects."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from .cluster_under_test import Cluster, document, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
    pytest.mark.asyncio(loop_scope="module"),
]
CORE = "/api/v1/namespaces/default"
SERVER = (
    "mkdir -p /w/cgi-bin /w/dir; echo hello >/w/index.html; echo there >/w/dir/index.html;"
    " printf '#!/bin/sh\\necho; echo $REQUEST_METHOD $HTTP_AUTHORIZATION $HTTP_X_REMOTE_USER; cat\\n'"
    " >/w/cgi-bin/tell; chmod +x /w/cgi-bin/tell; exec httpd -f -p 8080 -h /w"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        container = {
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
        }
        body = document("web", "sh", "-c", SERVER, terminationGracePeriodSeconds=0, container=container)
        await cluster.kubectl("create", "-f", "-", stdin=body)
        await cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
        address = await cluster.kubectl("get", "pod", "web", "-o", "jsonpath={.status.podIP}")
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"ports": ports},
        }
        endpoints = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "web"},
            "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "http", "port": 8080}]}],
        }
        for item in (service, endpoints):
            await cluster.kubectl("create", "-f", "-", stdin=json.dumps(item))
        yield cluster


@pytest.mark.parametrize(
    "path",
    [
        "pods/web/proxy/",
        "pods/web:8080/proxy/",
        "pods/http:web:8080/proxy/index.html",
        "services/web:http/proxy/",
        "services/web:80/proxy/",
        "services/http:web:80/proxy/index.html",
    ],
)
async def test_pages_come_through_the_proxy(cluster: Cluster, path: str) -> None:
    assert await cluster.get(f"{CORE}/{path}") == (200, "hello\n")


async def test_bodies_go_through_and_credentials_do_not(cluster: Cluster) -> None:
    headers = {"X-Remote-User": "root"}
    path = f"{CORE}/pods/web/proxy/cgi-bin/tell"
    async with cluster.request("POST", path, data=b"x" * 100_000, headers=headers) as answer:
        assert answer.status == 200
        assert await answer.text() == "POST\n" + "x" * 100_000


async def test_redirects_lead_through_the_proxy_again(cluster: Cluster) -> None:
    async with cluster.request("GET", f"{CORE}/pods/web/proxy?a=b") as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{CORE}/pods/web/proxy/?a=b")
    async with cluster.request("GET", f"{CORE}/pods/web:8080/proxy/dir") as answer:
        assert (answer.status, answer.headers["Location"]) == (302, f"{CORE}/pods/web:8080/proxy/dir/")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("pods/none/proxy/", 404, 'pods "none" not found'),
        ("pods/ftp:web:1/proxy/", 400, 'invalid pod request "ftp:web:1"'),
        ("pods/web:1/proxy/", 503, "error trying to reach service: "),
        ("services/none/proxy/", 404, 'services "none" not found'),
        ("services/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
        ("services/web:other/proxy/", 503, 'no endpoints available for service "web:other"'),
        ("pods/web/proxy/a/../b", 400, "must not contain"),
    ],
)
async def test_refusals_are_statuses(cluster: Cluster, path: str, code: int, message: str) -> None:
    status, text = await cluster.get(f"{CORE}/{path}")
    body = json.loads(text)
    assert (status, body["kind"], body["code"]) == (code, "Status", code)
    assert message in body["message"]


async def test_the_kubelet_is_reached_through_its_node(cluster: Cluster) -> None:
    assert await cluster.get("/api/v1/nodes/node/proxy/healthz") == (200, "ok")
    status, text = await cluster.get(f"/api/v1/nodes/node:{cluster.settings.port}/proxy/pods")
    assert status == 200
    assert "web" in [pod["metadata"]["name"] for pod in json.loads(text)["items"]]
    status, text = await cluster.get(f"/api/v1/nodes/node:{cluster.port}/proxy/version")
    assert (status, json.loads(text)["message"]) == (400, "address not allowed")


async def test_the_kubelet_answers_nobody_but_the_api_server(cluster: Cluster) -> None:
    async with aiohttp.ClientSession() as session:
        for user in ("admin", "system:node:node"):
            url = f"https://127.0.0.1:{cluster.settings.port}/exec/default/web/main?command=id&output=1"
            async with session.post(url, ssl=cluster.tls(user)) as answer:
                assert answer.status == 403


async def test_reading_pods_is_no_permission_to_connect(cluster: Cluster) -> None:
    """With a websocket a command is run by a GET."""
    rules = ["--verb=get", "--resource=pods,pods/exec,pods/portforward,pods/proxy"]
    await cluster.kubectl("create", "role", "viewer", *rules)
    await cluster.kubectl("create", "rolebinding", "viewer", "--role=viewer", "--user=viewer")
    for path in ("pods/web/exec?command=id&stdout=true", "pods/web/portforward?ports=80"):
        status, text = await cluster.get(f"{CORE}/{path}", upgrade="websocket", user="viewer")
        subresource = path.split("/")[2].split("?")[0]
        assert status == 403
        assert f'User "viewer" cannot create resource "pods/{subresource}"' in json.loads(text)["message"]
    assert await cluster.get(f"{CORE}/pods/web/proxy/", user="viewer") == (200, "hello\n")
    async with cluster.request("POST", f"{CORE}/pods/web/proxy/", user="viewer") as answer:
        assert answer.status == 403
    for path in ("pods/web/exec?command=id", "pods/web/proxy/", "services/web/proxy/"):
        status, _ = await cluster.get(f"{CORE}/{path}", user="system:node:node")
        assert status == 403, "a kubelet connects to nothing"


async def test_upgrades_go_through_the_proxy(cluster: Cluster) -> None:
    script = (
        "printf 'HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n';"
        " exec cat"
    )
    listening = f"until grep -q :{9090:04X} /proc/net/tcp /proc/net/tcp6; do :; done; echo listening"
    serve = f'echo "{script}" >/tmp/serve; nc -ll -p 9090 -e sh /tmp/serve & {listening}; wait'
    server = await cluster.spawn("exec", "web", "--", "sh", "-c", serve)
    assert server.stdout
    assert await asyncio.wait_for(server.stdout.readline(), 10) == b"listening\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, ssl=cluster.tls("admin"))
    head = (
        f"GET {CORE}/pods/web:9090/proxy/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    )
    try:
        writer.write(head.encode())
        async with asyncio.timeout(10):
            assert b"101 Switching Protocols" in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"there and back")
            seen = b""
            while b"there and back" not in seen:  # after the head, which the server echoes as well
                seen += await reader.read(100)
    finally:
        writer.close()
        server.kill()
        await server.wait()
