"""What is written into aggregated roles, and which reasons decisions give."""

from __future__ import annotations

from typing import Any

import pytest
from object_reader_fake import FakeReader

from edgevirt.engine.apiserver.auth.nodes import NodeAccess
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, RoleBasedAccess
from edgevirt.engine.apiserver.auth.role_aggregation import aggregated_rules
from edgevirt.engine.apiserver.request import Attributes, UserInfo

pytestmark = pytest.mark.unit

GET = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
LIST = {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}


def role(name: str, *rules: dict[str, Any], selects: str = "", **labels: str) -> dict[str, Any]:
    document: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}
    if selects:
        document["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {selects: "true"}}]}
    return document


def test_plain_role_is_left_alone() -> None:
    assert aggregated_rules(role("a", GET), [role("a", GET)]) is None


def test_rules_of_selected_roles_are_joined_without_repetition() -> None:
    everything = role("all", selects="x")
    roles = [everything, role("b", GET, LIST, x="true"), role("c", GET, x="true"), role("d", GET)]
    assert aggregated_rules(everything, roles) == [GET, LIST]


def test_role_does_not_select_itself() -> None:
    everything = role("all", GET, selects="x", x="true")
    assert aggregated_rules(everything, [everything]) == []


def test_invalid_selector_grants_nothing() -> None:
    odd = role("odd", GET)
    odd["aggregationRule"] = {
        "clusterRoleSelectors": [{"matchExpressions": [{"key": "x", "operator": "Maybe"}]}]
    }
    assert aggregated_rules(odd, [odd, role("b", GET, x="true")]) == []


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def access(reader: FakeReader) -> RoleBasedAccess:
    access = RoleBasedAccess()
    access.observe(reader)
    return access


def binding(name: str, kind: str, subject: dict[str, str], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": "reader"}, "subjects": [subject]}


@pytest.mark.parametrize(
    ("plural", "document", "user", "reason"),
    [
        (
            "clusterrolebindings",
            binding("b", "ClusterRole", {"kind": "User", "name": "alice"}),
            UserInfo("alice"),
            'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "alice"',
        ),
        (
            "clusterrolebindings",
            binding("b", "ClusterRole", {"kind": "Group", "name": "dev"}),
            UserInfo("alice", groups=("dev",)),
            'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to Group "dev"',
        ),
        (
            "rolebindings",
            binding("b", "ClusterRole", {"kind": "ServiceAccount", "name": "sa"}, "n"),
            UserInfo("system:serviceaccount:n:sa"),
            'RBAC: allowed by RoleBinding "b/n" of ClusterRole "reader" to ServiceAccount "sa/n"',
        ),
    ],
)
def test_decision_names_the_binding(
    reader: FakeReader,
    access: RoleBasedAccess,
    plural: str,
    document: dict[str, Any],
    user: UserInfo,
    reason: str,
) -> None:
    reader.put(RBAC_GROUP, "clusterroles", role("reader", GET))
    reader.put(RBAC_GROUP, plural, document)
    decision = access.authorize(Attributes(user, "get", resource="pods", namespace="n"))
    assert (decision.allowed, decision.reason) == (True, reason)


def test_refusal_names_roles_that_do_not_exist(reader: FakeReader, access: RoleBasedAccess) -> None:
    reader.put(
        RBAC_GROUP, "clusterrolebindings", binding("b", "ClusterRole", {"kind": "User", "name": "alice"})
    )
    decision = access.authorize(Attributes(UserInfo("alice"), "get", resource="pods"))
    assert decision.reason == f'RBAC: clusterrole.{RBAC_GROUP} "reader" not found'


@pytest.mark.parametrize(
    ("verb", "resource", "name", "reason"),
    [
        ("get", "secrets", "s", "no relationship found between node 'n1' and this object"),
        ("list", "secrets", "", "No Object name found"),
        ("update", "configmaps", "c", "can only read resources of this type"),
        ("get", "resourcequotas", "q", ""),
    ],
)
def test_kubelet_is_told_why_an_object_is_not_for_it(
    verb: str, resource: str, name: str, reason: str
) -> None:
    kubelet = UserInfo("system:node:n1", groups=("system:nodes",))
    asked = Attributes(kubelet, verb, resource=resource, namespace="n", name=name)
    assert NodeAccess().authorize(asked).reason == reason
