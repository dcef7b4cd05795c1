"""Identities and rights against a running server: token secrets, aggregated roles, reviews, token issuers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from api_server_under_test import Running

pytestmark = pytest.mark.component

CORE = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
Json = dict[str, Any]


async def call(
    api: Running, method: str, path: str, body: Any = None, as_: str = "admin", **headers: str
) -> tuple[int, Json]:
    headers = {"Authorization": f"Bearer {as_}", **headers}
    async with api.client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


@contextlib.contextmanager
def changes(api: Running, group: str, plural: str) -> Iterator[Callable[[], AsyncIterator[Json]]]:
    """The objects of a resource as they change, DELETED ones as {}."""
    queue: asyncio.Queue[Json] = asyncio.Queue()
    end = api.server.cluster.observe(
        group, plural, lambda event, obj: queue.put_nowait({} if event == "DELETED" else obj)
    )

    async def stream() -> AsyncIterator[Json]:
        while True:
            async with asyncio.timeout(5):
                yield await queue.get()

    try:
        yield stream
    finally:
        end()


async def until(stream: AsyncIterator[Json], wanted: Callable[[Json], bool]) -> Json:
    async for obj in stream:
        if wanted(obj):
            return obj
    raise AssertionError("the stream ended")


async def test_token_secret_is_filled_works_and_dies_with_its_account(api: Running) -> None:
    await call(api, "POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "sa"}})
    document = {
        "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "sa"}},
        "type": "kubernetes.io/service-account-token",
    }
    with changes(api, "", "secrets") as secrets:
        assert (await call(api, "POST", f"{CORE}/secrets", document))[0] == 201
        full = await until(secrets(), lambda obj: "token" in (obj.get("data") or {}))
        token = base64.b64decode(full["data"]["token"]).decode()
        assert base64.b64decode(full["data"]["ca.crt"]).startswith(b"-----BEGIN CERTIFICATE-----")
        assert base64.b64decode(full["data"]["namespace"]) == b"default"
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        _, review = await call(api, "POST", path, {}, as_=token)
        assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:sa"
        await call(api, "DELETE", f"{CORE}/serviceaccounts/sa")
        await until(secrets(), lambda obj: not obj)
    assert (await call(api, "GET", f"{CORE}/secrets/t"))[0] == 404
    assert (await call(api, "POST", path, {}, as_=token))[0] == 401


async def test_token_secret_of_no_account_is_removed(api: Running) -> None:
    document = {
        "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "none"}},
        "type": "kubernetes.io/service-account-token",
    }
    with changes(api, "", "secrets") as secrets:
        await call(api, "POST", f"{CORE}/secrets", document)
        await until(secrets(), lambda obj: not obj)


async def test_aggregated_role_shows_the_rules_it_collects(api: Running) -> None:
    label = "rbac.authorization.k8s.io/aggregate-to-view"
    rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
    document = {"metadata": {"name": "things", "labels": {label: "true"}}, "rules": [rule]}
    with changes(api, "rbac.authorization.k8s.io", "clusterroles") as roles:
        await call(api, "POST", f"{RBAC}/clusterroles", document)
        found = await until(
            roles(), lambda obj: bool(obj) and obj["metadata"]["name"] == "admin" and rule in obj["rules"]
        )
    entries = found["metadata"]["managedFields"]
    mine = next(one for one in entries if one["manager"] == "clusterrole-aggregation-controller")
    assert (mine["operation"], mine["fieldsV1"]) == ("Apply", {"f:rules": {}})
    for name in ("view", "edit"):
        assert rule in (await call(api, "GET", f"{RBAC}/clusterroles/{name}"))[1]["rules"]


async def test_what_somebody_writes_into_an_aggregated_role_is_overwritten(api: Running) -> None:
    with changes(api, "rbac.authorization.k8s.io", "clusterroles") as roles:
        stream = roles()
        before = await until(
            stream, lambda obj: bool(obj) and obj["metadata"]["name"] == "view" and len(obj["rules"]) > 1
        )
        await call(
            api,
            "PATCH",
            f"{RBAC}/clusterroles/view",
            {"rules": []},
            **{"Content-Type": "application/merge-patch+json"},
        )
        await until(stream, lambda obj: obj["metadata"]["name"] == "view" and not obj.get("rules"))
        again = await until(stream, lambda obj: obj["metadata"]["name"] == "view" and bool(obj.get("rules")))
    assert again["rules"] == before["rules"]


async def test_access_reviews_say_by_which_binding(api: Running) -> None:
    binding = {
        "metadata": {"name": "alice-views"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
    }
    await call(api, "POST", f"{RBAC}/namespaces/default/rolebindings", binding)
    spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    _, review = await call(api, "POST", path, {"spec": spec}, as_="alice")
    assert review["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "alice-views/default" of ClusterRole "view" to User "alice"',
    }
    _, other = await call(api, "POST", path, {"spec": spec}, as_="bob")
    assert other["status"] == {"allowed": False}


async def test_issuer_is_published_for_service_accounts_and_admins(api: Running) -> None:
    await call(api, "POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "sa"}})
    _, issued = await call(api, "POST", f"{CORE}/serviceaccounts/sa/token", {"spec": {}})
    token = issued["status"]["token"]
    status, document = await call(api, "GET", "/.well-known/openid-configuration", as_=token)
    assert (status, document["issuer"]) == (200, "https://kubernetes.default.svc.cluster.local")
    async with api.client.get("/openid/v1/jwks", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.headers["Content-Type"] == "application/jwk-set+json"
        assert [key["kty"] for key in (await answer.json(content_type=None))["keys"]] == ["EC"]
    assert (await call(api, "GET", "/openid/v1/jwks", as_="alice"))[0] == 403
