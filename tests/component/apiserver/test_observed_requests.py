"""What is seen of requests from outside: audit ids and log, metrics, health."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from api_server_under_test import Running, make_pki, running

from edgevirt.engine.apiserver.server import AuditSettings

pytestmark = pytest.mark.component

MAPS = "/api/v1/namespaces/default/configmaps"
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, verbs: [get], resources: [{group: "", resources: [configmaps]}]}
- {level: RequestResponse, omitManagedFields: true, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata}
"""


def as_user(name: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}" if name else "", **headers}


async def test_audit_log_tells_who_did_what_with_which_outcome(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    log = tmp_path / "audit/audit.log"
    settings = dataclasses.replace(make_pki(tmp_path), audit=AuditSettings(log, str(policy)))
    async with running(settings) as api:
        document = {"metadata": {"name": "a"}, "data": {"k": "v"}}
        async with api.client.post(MAPS, json=document) as created:
            assert created.status == 201
            audit_id = created.headers["Audit-Id"]
        async with api.client.get(f"{MAPS}/a") as silent:
            assert silent.status == 200
        async with api.client.get("/api/v1/secrets", headers=as_user("bob", **{"Audit-ID": "mine"})) as no:
            assert (no.status, no.headers["Audit-Id"]) == (403, "mine")
        async with api.client.get("/api", headers=as_user("wrong")) as unknown:
            assert unknown.status == 401
        impersonating = {"Impersonate-User": "carol", "Content-Type": "application/json"}
        async with api.client.get("/api/v1/nodes", headers=impersonating) as other:
            assert other.status == 403
    events = [json.loads(line) for line in log.read_text().splitlines()]
    first = next(event for event in events if event["auditID"] == audit_id)
    assert first["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "a",
        "apiVersion": "v1",
    }
    assert (first["level"], first["verb"], first["stage"]) == (
        "RequestResponse",
        "create",
        "ResponseComplete",
    )
    assert first["requestObject"] == document
    assert first["responseObject"]["data"] == {"k": "v"}
    assert "managedFields" not in first["responseObject"]["metadata"]
    assert first["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert not [event for event in events if event["requestURI"] == f"{MAPS}/a"]
    refused = next(event for event in events if event["auditID"] == "mine")
    assert (refused["user"]["username"], refused["responseStatus"]["reason"]) == ("bob", "Forbidden")
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    unknown_caller = next(event for event in events if event["requestURI"] == "/api")
    assert unknown_caller["responseStatus"]["code"] == 401
    as_carol = next(event for event in events if event["requestURI"] == "/api/v1/nodes")
    assert as_carol["user"]["username"] == "admin"
    assert as_carol["impersonatedUser"]["username"] == "carol"


async def test_watch_is_audited_when_it_starts_and_when_it_ends(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    settings = dataclasses.replace(make_pki(tmp_path), audit=AuditSettings(log))
    async with running(settings) as api, api.client.get(f"{MAPS}?watch=1&timeoutSeconds=1") as watch:
        audit_id = watch.headers["Audit-Id"]
        await watch.read()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    stages = [event["stage"] for event in events if event["auditID"] == audit_id]
    assert stages == ["ResponseStarted", "ResponseComplete"]


async def test_without_a_policy_nothing_is_written_but_ids_are_given(api: Running) -> None:
    async with api.client.get(MAPS) as answer:
        first = answer.headers["Audit-Id"]
    async with api.client.get("/no/such/path") as answer:
        assert answer.status == 404
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["Audit-Id"])
        assert answer.headers["Audit-Id"] != first


async def metrics(api: Running) -> dict[str, float]:
    async with api.client.get("/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


async def test_requests_are_counted_by_verb_resource_and_answer(api: Running) -> None:
    async with api.client.post(MAPS, json={"metadata": {"name": "a"}}) as created:
        assert created.status == 201
    for _ in range(2):
        async with api.client.get(MAPS) as listed:
            assert listed.status == 200
    async with api.client.get(f"{MAPS}/absent") as absent:
        assert absent.status == 404
    async with api.client.get("/apis/made.up/v1/names") as unknown:
        assert unknown.status == 404
    found = await metrics(api)
    what = 'group="",version="v1",resource="configmaps",subresource=""'
    total = "apiserver_request_total"
    namespace = 'scope="namespace"'

    def series(verb: str, scope: str, code: int) -> float:
        return found[
            f'{total}{{verb="{verb}",{what},{scope},dry_run="",code="{code}",component="apiserver"}}'
        ]

    assert series("POST", namespace, 201) == 1
    assert series("LIST", namespace, 200) == 2
    assert series("GET", 'scope="resource"', 404) == 1
    assert not [name for name in found if "made.up" in name]
    duration = f'apiserver_request_duration_seconds_count{{verb="LIST",{what},{namespace}'
    assert found[f'{duration},component="apiserver"}}'] == 2
    assert found['apiserver_storage_objects{resource="configmaps"}'] >= 1
    assert found["process_resident_memory_bytes"] > 1e6


async def test_open_watches_are_a_gauge_and_no_duration(api: Running) -> None:
    what = '{verb="WATCH",group="",version="v1",resource="configmaps",subresource="",scope="namespace"'
    gauge = f'apiserver_longrunning_requests{what},component="apiserver"}}'
    async with api.client.get(f"{MAPS}?watch=1"):
        found = await metrics(api)
        assert found[gauge] == 1
        assert not [
            name for name in found if name.startswith(f"apiserver_request_duration_seconds_count{what}")
        ]


async def test_metrics_are_not_for_everybody(api: Running) -> None:
    async with api.client.get("/metrics", headers=as_user("alice")) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("kind", ["healthz", "livez", "readyz"])
async def test_health_is_told_to_anybody_in_short_and_at_length(api: Running, kind: str) -> None:
    nobody = as_user("")
    async with api.client.get(f"/{kind}", headers=nobody) as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    async with api.client.get(f"/{kind}?verbose", headers=nobody) as answer:
        text = await answer.text()
    assert text.startswith("[+]ping ok\n[+]etcd ok\n")
    assert text.endswith(f"{kind} check passed\n")
    assert ("[+]poststarthook/rbac/bootstrap-roles ok" in text) == (kind != "livez")


async def test_single_checks_can_be_asked_for_and_left_out(api: Running) -> None:
    async with api.client.get("/readyz/poststarthook/rbac/bootstrap-roles") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    async with api.client.get("/readyz/none") as answer:
        assert answer.status == 404
    async with api.client.get("/readyz?verbose&exclude=etcd&exclude=none") as answer:
        text = await answer.text()
    assert "[+]etcd excluded: ok\n" in text
    assert 'warn: some health checks cannot be excluded: no matches for "none"\n' in text


async def test_failed_check_fails_the_whole_and_keeps_its_reason_to_itself(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.server, "_closing", True)
    async with api.client.get("/readyz", headers=as_user("")) as answer:
        text = await answer.text()
        assert answer.status == 500
    assert "[-]shutdown failed: reason withheld\n" in text
    assert text.endswith("readyz check failed\n")
    async with api.client.get("/livez") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", MAPS])
async def test_anonymous_sees_health_and_version_only(api: Running, path: str) -> None:
    async with api.client.get(path, headers=as_user("")) as answer:
        status: dict[str, Any] = await answer.json()
    assert (answer.status, status["reason"]) == (403, "Forbidden")
    async with api.client.get("/version", headers=as_user("")) as answer:
        assert answer.status == 200


async def test_what_policies_and_webhooks_have_to_add_stands_in_the_audit_log(tmp_path: Path) -> None:
    log = tmp_path / "audit/audit.log"
    settings = dataclasses.replace(make_pki(tmp_path), audit=AuditSettings(log))
    group = "/apis/admissionregistration.k8s.io/v1"
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    ]
    policy = {
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "object.metadata.name != 'a'", "message": "not a"}],
            "auditAnnotations": [{"key": "who", "valueExpression": "request.userInfo.username"}],
        },
    }
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Audit"]}}
    hook = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": rules,
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    async with running(settings) as api:
        for path, document in (
            ("validatingadmissionpolicies", policy),
            ("validatingadmissionpolicybindings", binding),
            ("validatingwebhookconfigurations", {"metadata": {"name": "w"}, "webhooks": [hook]}),
        ):
            async with api.client.post(f"{group}/{path}", json=document) as made:
                assert made.status == 201, await made.text()
        async with api.client.post(MAPS, json={"metadata": {"name": "a"}}) as created:
            assert created.status == 201
            audit_id = created.headers["Audit-Id"]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    annotations = next(
        event["annotations"]
        for event in events
        if event["auditID"] == audit_id and event["stage"] == "ResponseComplete"
    )
    assert annotations["p/who"] == "admin"
    assert json.loads(annotations["validation.policy.admission.k8s.io/validation_failure"]) == [
        {"message": "not a", "policy": "p", "binding": "b", "validationActions": ["Audit"]}
    ]
    failed_open = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0"
    assert annotations[failed_open] == "down.example.com"
