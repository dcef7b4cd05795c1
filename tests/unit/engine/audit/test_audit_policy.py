"""Which rule of a policy decides about a request, and which policies are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgevirt.engine.apiserver.audit.policy import Level, Policy, PolicyError, Stage, load
from edgevirt.engine.apiserver.request import Attributes, UserInfo

ALICE = UserInfo("alice", groups=("dev", "system:authenticated"))


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.from_document(
        {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    )


def about(verb: str = "get", plural: str = "pods", subresource: str = "", **more: str) -> Attributes:
    known = {"namespace": "n", "name": "a", "group": "", "version": "v1", "path": ""} | more
    return Attributes(ALICE, verb, resource=plural, subresource=subresource, **known)


def url(path: str) -> Attributes:
    return Attributes(ALICE, "get", path=path)


@pytest.mark.parametrize(
    ("rule", "attributes", "matches"),
    [
        ({}, about(), True),
        ({}, url("/version"), True),
        ({"users": ["alice"]}, about(), True),
        ({"users": ["bob"]}, about(), False),
        ({"userGroups": ["dev", "ops"]}, about(), True),
        ({"userGroups": ["ops"]}, about(), False),
        ({"verbs": ["list", "get"]}, about(), True),
        ({"verbs": ["list"]}, about(), False),
        ({"namespaces": ["n"]}, about(), True),
        ({"namespaces": ["m"]}, about(), False),
        ({"namespaces": [""]}, about(plural="nodes", namespace=""), True),
        ({"namespaces": ["n"]}, url("/version"), False),
        ({"resources": [{"group": ""}]}, about(subresource="log"), True),
        ({"resources": [{"group": "apps"}]}, about(), False),
        ({"resources": [{"resources": ["pods"]}]}, about(), True),
        ({"resources": [{"resources": ["pods"]}]}, about(subresource="log"), False),
        ({"resources": [{"resources": ["pods/log"]}]}, about(subresource="log"), True),
        ({"resources": [{"resources": ["pods/*"]}]}, about(subresource="log"), True),
        ({"resources": [{"resources": ["*/log"]}]}, about(subresource="log"), True),
        ({"resources": [{"resources": ["*/status"]}]}, about(subresource="log"), False),
        ({"resources": [{"resources": ["*"]}]}, about(subresource="log"), True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["a"]}]}, about(), True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["b"]}]}, about(), False),
        ({"nonResourceURLs": ["/healthz*"]}, url("/healthz/ping"), True),
        ({"nonResourceURLs": ["/healthz"]}, url("/healthz/ping"), False),
        ({"nonResourceURLs": ["*"]}, url("/version"), True),
        ({"nonResourceURLs": ["*"]}, about(), False),
    ],
)
def test_rule_matches_by_all_of_its_conditions(
    rule: dict[str, Any], attributes: Attributes, matches: bool
) -> None:
    found = policy({"level": "Request", **rule}).evaluate(attributes).level
    assert found == (Level.REQUEST if matches else Level.NONE)


def test_first_rule_that_matches_decides() -> None:
    rules = policy(
        {"level": "None", "users": ["alice"], "verbs": ["get"]},
        {"level": "RequestResponse", "users": ["alice"]},
        {"level": "Metadata"},
    )
    assert rules.evaluate(about("get")).level is Level.NONE
    assert rules.evaluate(about("update")).level is Level.REQUEST_RESPONSE


def test_stages_of_policy_and_rule_are_left_out_together() -> None:
    rules = policy(
        {"level": "Metadata", "omitStages": ["ResponseStarted"], "omitManagedFields": False},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    verdict = rules.evaluate(about())
    assert verdict.omit_stages == {Stage.RESPONSE_STARTED, Stage.REQUEST_RECEIVED}
    assert not verdict.omit_managed_fields


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "must be an object"),
        ({"apiVersion": "v1", "kind": "Policy"}, "must be of kind Policy in audit.k8s.io/v1"),
        ({"rules": []}, "at least one is required"),
        ({"rules": [{"level": "Loud"}]}, r"rules\[0\].level: 'Loud' must be one of None, Metadata"),
        ({"rules": [{}]}, "missing required field `level`"),
        ({"rules": [{"level": "None", "colour": 1}]}, "unknown field `colour`"),
        ({"rules": [{"level": "None", "omitStages": ["Later"]}]}, "Invalid enum value 'Later'"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["x"]}]}, "must begin with /"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/a*b"]}]}, "at its end only"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["n"]}]}, "at once"),
        ({"rules": [{"level": "None", "resources": [{"resourceNames": ["a"]}]}]}, "need resources"),
        ({"rules": [{"level": "None", "resources": [{"group": "apps/v1"}]}]}, "without a version"),
    ],
)
def test_policy_that_cannot_work_is_refused(document: Any, fault: str) -> None:
    if isinstance(document, dict):
        document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **document}
    with pytest.raises(PolicyError, match=fault):
        Policy.from_document(document)


def test_level_as_a_setting_writes_everything_but_health_checks() -> None:
    found = load("Metadata")
    assert found.evaluate(about()).level is Level.METADATA
    assert found.evaluate(url("/readyz")).level is Level.NONE


def test_setting_may_name_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n")
    assert load(str(path)).evaluate(about()).level is Level.REQUEST
    path.write_text("rules: [")
    with pytest.raises(PolicyError, match="is not YAML"):
        load(str(path))
    with pytest.raises(PolicyError, match="cannot be read"):
        load(str(tmp_path / "absent"))
