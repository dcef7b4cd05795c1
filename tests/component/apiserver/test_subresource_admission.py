"""What is posted to a pod's or account's subresource passes admission, like everything else that is posted.

The whole chain is real: the identity of a token, the authorizers, NodeRestriction, and a webhook over TLS.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from api_server_under_test import TOKENS, Running, make_pki, running

from edgevirt.engine.apiserver.request import UserInfo
from edgevirt.engine.apiserver.server import Settings
from edgevirt.engine.pki.authority import Authority, write_leaf

pytestmark = pytest.mark.component

Json = dict[str, Any]
NODE = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))
CORE = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    return dataclasses.replace(make_pki(tmp_path), static_tokens={**TOKENS, "n1": NODE})


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Running]:
    async with running(settings) as api:
        yield api


async def post(api: Running, path: str, document: Json, token: str = "admin") -> tuple[int, Json]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with api.client.post(path, data=json.dumps(document), headers=headers) as response:
        return response.status, json.loads(await response.text())


async def make(api: Running, path: str, document: Json) -> Json:
    status, made = await post(api, path, document)
    assert status == 201, made
    return made


async def exists(api: Running, path: str) -> bool:
    async with api.client.get(path) as response:
        return response.status == 200


async def make_pod(api: Running, name: str, *, node: str = "", account: str = "default") -> Json:
    if not await exists(api, f"{CORE}/serviceaccounts/{account}"):
        await make(api, f"{CORE}/serviceaccounts", {"metadata": {"name": account}})
    spec: Json = {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    return await make(api, f"{CORE}/pods", {"metadata": {"name": name}, "spec": spec})


def eviction(name: str) -> Json:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}


def binding(name: str, node: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"kind": "Node", "name": node},
    }


def token_request(pod: Json | None = None) -> Json:
    spec: Json = {"audiences": ["guest"]}
    if pod is not None:
        metadata = pod["metadata"]
        spec["boundObjectRef"] = {"kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


async def allow_node(api: Running, resource: str) -> None:
    """Lets the authorizer say yes to what the fixed rules of a kubelet do not cover."""
    rule = {"apiGroups": [""], "resources": [resource], "verbs": ["create"]}
    await make(api, f"{RBAC}/clusterroles", {"metadata": {"name": "generous"}, "rules": [rule]})
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NODE.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "generous"}
    document = {"metadata": {"name": "generous"}, "subjects": [subject], "roleRef": role}
    await make(api, f"{RBAC}/clusterrolebindings", document)


class Guard:
    """A webhook that refuses what concerns the pod `precious`, and remembers all it was asked."""

    def __init__(self) -> None:
        self.asked: list[Json] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = (await request.json())["request"]
        self.asked.append(asked)
        response: Json = {"uid": asked["uid"], "allowed": asked["name"] != "precious"}
        if not response["allowed"]:
            response["status"] = {"message": "it moves by live migration", "code": 429}
        return web.json_response(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        )


@contextlib.asynccontextmanager
async def guarding(
    api: Running, directory: Path, operations: list[str], resource: str
) -> AsyncIterator[Guard]:
    """Registers a webhook for `resource` that is really served over TLS."""
    authority = Authority.load_or_create(directory / "hook-ca")
    leaf = authority.issue("hook", ips=("127.0.0.1",), server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_leaf(directory, "hook", leaf))
    guard = Guard()
    runner = web.ServerRunner(web.Server(guard))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": [resource]}
        client = {
            "url": f"https://127.0.0.1:{runner.addresses[0][1]}/",
            "caBundle": base64.b64encode(authority.cert_pem).decode(),
        }
        hook = {
            "name": "guard.example.com",
            "rules": [rule],
            "clientConfig": client,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        await make(api, HOOKS, {"metadata": {"name": "guard"}, "webhooks": [hook]})
        yield guard
    finally:
        await runner.cleanup()


async def test_a_webhook_for_evictions_keeps_a_pod(api: Running, tmp_path: Path) -> None:
    await make_pod(api, "precious")
    await make_pod(api, "cheap")
    async with guarding(api, tmp_path, ["CREATE"], "pods/eviction") as guard:
        status, refused = await post(api, f"{CORE}/pods/precious/eviction", eviction("precious"))
        assert status == 429
        assert refused["message"] == (
            'admission webhook "guard.example.com" denied the request: it moves by live migration'
        )
        assert await exists(api, f"{CORE}/pods/precious")
        status, _ = await post(api, f"{CORE}/pods/cheap/eviction", eviction("cheap"))
        assert status == 201
        assert not await exists(api, f"{CORE}/pods/cheap")
    asked = guard.asked[0]
    assert (asked["operation"], asked["subResource"], asked["namespace"]) == ("CREATE", "eviction", "default")
    assert asked["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert asked["object"]["metadata"]["name"] == "precious"
    assert asked["userInfo"]["username"] == "admin"


async def test_an_eviction_is_no_deletion_to_webhooks(api: Running, tmp_path: Path) -> None:
    await make_pod(api, "precious")
    async with guarding(api, tmp_path, ["*"], "pods") as guard:
        assert (await post(api, f"{CORE}/pods/precious/eviction", eviction("precious")))[0] == 201
    assert guard.asked == []


async def test_webhooks_are_asked_about_a_binding_once(api: Running, tmp_path: Path) -> None:
    await make_pod(api, "cheap")
    async with guarding(api, tmp_path, ["*"], "pods/*") as guard:
        assert (await post(api, f"{CORE}/pods/cheap/binding", binding("cheap", "n1")))[0] == 201
    assert [(asked["operation"], asked["kind"]["kind"]) for asked in guard.asked] == [("CREATE", "Binding")]


async def test_a_node_evicts_its_own_pods_only(api: Running) -> None:
    await make_pod(api, "mine", node="n1")
    await make_pod(api, "theirs", node="n2")
    status, refused = await post(api, f"{CORE}/pods/theirs/eviction", eviction("theirs"), "n1")
    assert status == 403
    assert refused["message"] == (
        'pods "theirs" is forbidden: node n1 can only evict pods with spec.nodeName set to itself'
    )
    assert (await post(api, f"{CORE}/pods/mine/eviction", eviction("mine"), "n1"))[0] == 201


async def test_a_node_gets_no_token_of_an_account_none_of_its_pods_uses(api: Running) -> None:
    await make_pod(api, "theirs", node="n2", account="secret-keeper")
    path = f"{CORE}/serviceaccounts/secret-keeper/token"
    status, refused = await post(api, path, token_request(), "n1")
    assert status == 403
    assert 'User "system:node:n1" cannot create resource "serviceaccounts/token"' in refused["message"]


async def test_a_node_gets_tokens_bound_to_its_own_pods_only(api: Running) -> None:
    mine = await make_pod(api, "mine", node="n1", account="shared")
    theirs = await make_pod(api, "theirs", node="n2", account="shared")
    path = f"{CORE}/serviceaccounts/shared/token"
    for pod, why in (
        (None, "node requested token not bound to a pod"),
        (theirs, "node requested token bound to a pod scheduled on a different node"),
        ({"metadata": {"name": "mine", "uid": "0"}}, "with a pod binding without a valid uid"),
    ):
        status, refused = await post(api, path, token_request(pod), "n1")
        assert status == 403
        assert why in refused["message"]
    status, answer = await post(api, path, token_request(mine), "n1")
    assert status == 201
    assert answer["status"]["token"].count(".") == 2


async def test_a_node_binds_no_pods_even_where_roles_allow_it(api: Running) -> None:
    await make_pod(api, "loose")
    path = f"{CORE}/pods/loose/binding"
    status, refused = await post(api, path, binding("loose", "n1"), "n1")
    assert status == 403
    assert 'cannot create resource "pods/binding"' in refused["message"]
    await allow_node(api, "pods/binding")
    status, refused = await post(api, path, binding("loose", "n1"), "n1")
    assert status == 403
    assert refused["message"] == 'pods "loose" is forbidden: unexpected pod subresource "binding"'


async def test_an_api_service_with_a_wrong_name_is_refused_with_causes(api: Running) -> None:
    spec = {"group": "ext.example.com", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 10}
    document = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v2.ext.example.com"},
        "spec": {**spec, "service": {"namespace": "default", "name": "ext"}, "insecureSkipTLSVerify": True},
    }
    status, refused = await post(api, "/apis/apiregistration.k8s.io/v1/apiservices", document)
    assert (status, refused["reason"]) == (422, "Invalid")
    causes = {cause["field"]: cause for cause in refused["details"]["causes"]}
    assert set(causes) == {"metadata.name", "spec.groupPriorityMinimum"}
    assert causes["metadata.name"]["reason"] == "FieldValueInvalid"
    assert '"v1.ext.example.com"' in causes["metadata.name"]["message"]
    assert not await exists(api, "/apis/apiregistration.k8s.io/v1/apiservices/v2.ext.example.com")
