"""ResourceQuota at the server: however many create at once, a quota is never exceeded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_server_under_test import Running

pytestmark = pytest.mark.component

Json = dict[str, Any]
NAMESPACE = "quota-races"
ROOT = f"/api/v1/namespaces/{NAMESPACE}"


async def ask(api: Running, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
    async with api.client.request(method, path, json=body) as response:
        return response.status, await response.json()


async def prepared(api: Running, name: str, hard: Json) -> None:
    await ask(api, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    quota: Json = {"metadata": {"name": name}, "spec": {"hard": hard}}
    status, _ = await ask(api, "POST", f"{ROOT}/resourcequotas", quota)
    assert status == 201
    # The part of the quota controller: what is allowed counts once it stands in the status.
    quota["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    status, _ = await ask(api, "PUT", f"{ROOT}/resourcequotas/{name}/status", quota)
    assert status == 200


async def test_concurrent_creates_never_exceed_a_quota(api: Running) -> None:
    await prepared(api, "q", {"count/secrets": "7", "secrets": "9"})
    answers = await asyncio.gather(
        *(ask(api, "POST", f"{ROOT}/secrets", {"metadata": {"name": f"s{n}"}}) for n in range(40))
    )
    created = [document for status, document in answers if status == 201]
    refused = [document for status, document in answers if status == 403]
    assert (len(created), len(refused)) == (7, 33)
    assert refused[0]["message"].endswith(
        "exceeded quota: q, requested: count/secrets=1, used: count/secrets=7, limited: count/secrets=7"
    )
    _, quota = await ask(api, "GET", f"{ROOT}/resourcequotas/q")
    assert quota["status"]["used"] == {"count/secrets": "7", "secrets": "7"}


async def test_a_dry_run_is_judged_but_not_charged(api: Running) -> None:
    await prepared(api, "dry", {"configmaps": "1"})
    document: Json = {"metadata": {"name": "c"}}
    for _ in range(3):
        status, _ = await ask(api, "POST", f"{ROOT}/configmaps?dryRun=All", document)
        assert status == 201
    status, _ = await ask(api, "POST", f"{ROOT}/configmaps", document)
    assert status == 201
    status, _ = await ask(api, "POST", f"{ROOT}/configmaps?dryRun=All", {"metadata": {"name": "d"}})
    assert status == 403
