"""RBAC decisions, escalation, the words of refusals, and the bootstrap roles."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from object_reader_fake import FakeReader

from edgevirt.engine.apiserver.auth import bootstrap
from edgevirt.engine.apiserver.auth.authenticator import ANONYMOUS
from edgevirt.engine.apiserver.auth.escalation import check_binding, check_role
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, RoleBasedAccess
from edgevirt.engine.apiserver.auth.refusal import refusal
from edgevirt.engine.apiserver.auth.rules import Rule, compact, not_covered
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.request import Attributes, UserInfo

pytestmark = pytest.mark.unit

ALICE = UserInfo("alice", "alice-uid", ("dev", "system:authenticated"))


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def access(reader: FakeReader) -> RoleBasedAccess:
    access = RoleBasedAccess()
    access.observe(reader)
    return access


def role(name: str, *rules: dict[str, Any], namespace: str = "ns", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "rules": list(rules)}


def cluster_role(name: str, *rules: dict[str, Any], **labels: str) -> dict[str, Any]:
    return role(name, *rules, namespace="", **labels)


def binding(
    role_name: str, *subjects: dict[str, str], kind: str = "Role", namespace: str = "ns", name: str = "b"
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"kind": kind, "name": role_name, "apiGroup": RBAC_GROUP},
        "subjects": list(subjects),
    }


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "verbs": verbs.split(),
        "resources": resources.split(),
        "apiGroups": [groups] if groups != "''" else [],
    }
    if names:
        made["resourceNames"] = names.split()
    return made


USER_ALICE = {"kind": "User", "name": "alice"}


def may(access: RoleBasedAccess, user: UserInfo, question: str, namespace: str = "ns") -> bool:
    """`question` is "verb [group/]resource[/subresource][:name]", or "verb /path"."""
    verb, what = question.split(" ")
    if what.startswith("/"):
        return access.authorize(Attributes(user, verb, path=what)).allowed
    resource, _, name = what.partition(":")
    group = ""
    if "." in resource.split("/")[0]:
        group, _, resource = resource.partition("/")
    resource, _, subresource = resource.partition("/")
    return access.authorize(
        Attributes(user, verb, group, "v1", resource, subresource, namespace, name)
    ).allowed


@pytest.mark.parametrize(
    ("granted", "question", "allowed"),
    [
        (rule("get", "pods"), "get pods:x", True),
        (rule("get", "pods"), "list pods", False),
        (rule("*", "pods"), "deletecollection pods", True),
        (rule("get", "*"), "get secrets:x", True),
        (rule("get", "*"), "get pods/log:x", True),
        (rule("get", "pods"), "get pods/log:x", False),
        (rule("get", "pods/log"), "get pods/log:x", True),
        (rule("get", "pods/log"), "get pods:x", False),
        (rule("update", "*/status"), "update pods/status:x", True),
        (rule("update", "*/status"), "update pods:x", False),
        (rule("get", "pods/*"), "get pods/log:x", False),
        (rule("get", "pods"), "get x.io/pods:x", False),
        (rule("get", "pods", "*"), "get x.io/pods:x", True),
        (rule("get", "pods", names="a b"), "get pods:b", True),
        (rule("get", "pods", names="a b"), "get pods:c", False),
        (rule("create", "pods", names="a"), "create pods", False),
    ],
)
def test_a_role_allows_what_its_rule_says(
    reader: FakeReader, access: RoleBasedAccess, granted: dict[str, Any], question: str, allowed: bool
) -> None:
    reader.put(RBAC_GROUP, "roles", role("r", granted))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE))
    assert may(access, ALICE, question) is allowed
    assert not may(access, ALICE, question, namespace="other")
    assert not may(access, UserInfo("bob"), question)


@pytest.mark.parametrize(
    ("subject", "user", "allowed"),
    [
        ({"kind": "Group", "name": "dev"}, ALICE, True),
        ({"kind": "Group", "name": "alice"}, ALICE, False),
        ({"kind": "User", "name": "dev"}, ALICE, False),
        (
            {"kind": "ServiceAccount", "name": "sa", "namespace": "x"},
            UserInfo("system:serviceaccount:x:sa"),
            True,
        ),
        ({"kind": "ServiceAccount", "name": "sa"}, UserInfo("system:serviceaccount:ns:sa"), True),
        ({"kind": "ServiceAccount", "name": "sa"}, UserInfo("system:serviceaccount:x:sa"), False),
    ],
)
def test_a_binding_reaches_its_subjects_only(
    reader: FakeReader, access: RoleBasedAccess, subject: dict[str, str], user: UserInfo, allowed: bool
) -> None:
    reader.put(RBAC_GROUP, "roles", role("r", rule("get", "pods")))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", subject))
    assert may(access, user, "get pods:x") is allowed


def test_a_cluster_role_bound_in_a_namespace_counts_there_only(
    reader: FakeReader, access: RoleBasedAccess
) -> None:
    reader.put(RBAC_GROUP, "clusterroles", cluster_role("r", rule("list", "pods")))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE, kind="ClusterRole"))
    assert may(access, ALICE, "list pods", "ns")
    assert not may(access, ALICE, "list pods", "")


def test_a_cluster_role_binding_counts_everywhere_and_for_urls(
    reader: FakeReader, access: RoleBasedAccess
) -> None:
    urls = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]}
    reader.put(RBAC_GROUP, "clusterroles", cluster_role("r", rule("list", "pods"), urls))
    bound = binding("r", USER_ALICE, kind="ClusterRole", namespace="")
    reader.put(RBAC_GROUP, "clusterrolebindings", bound)
    assert may(access, ALICE, "list pods", "")
    assert may(access, ALICE, "list pods", "anywhere")
    assert may(access, ALICE, "get /metrics")
    assert may(access, ALICE, "get /debug/x")
    assert not may(access, ALICE, "get /metrics/x")
    assert not may(access, ALICE, "post /metrics")


def test_every_change_takes_effect_at_once(reader: FakeReader, access: RoleBasedAccess) -> None:
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE))
    assert not may(access, ALICE, "get pods:x")
    reader.put(RBAC_GROUP, "roles", role("r", rule("get", "pods")))
    assert may(access, ALICE, "get pods:x")
    reader.put(RBAC_GROUP, "rolebindings", binding("r", {"kind": "User", "name": "bob"}))
    assert not may(access, ALICE, "get pods:x")
    assert may(access, UserInfo("bob"), "get pods:x")
    reader.drop(RBAC_GROUP, "roles", "ns", "r")
    assert not may(access, UserInfo("bob"), "get pods:x")
    reader.put(RBAC_GROUP, "roles", role("r", rule("get", "pods")))
    reader.drop(RBAC_GROUP, "rolebindings", "ns", "b")
    assert not may(access, UserInfo("bob"), "get pods:x")


def test_aggregated_roles_are_resolved_through_several_levels(
    reader: FakeReader, access: RoleBasedAccess
) -> None:
    for document in bootstrap.objects():
        if document["kind"] == "ClusterRole":
            reader.put(RBAC_GROUP, "clusterroles", document)
    bound = binding("admin", USER_ALICE, kind="ClusterRole")
    reader.put(RBAC_GROUP, "rolebindings", bound)
    assert may(access, ALICE, "create pods")
    assert may(access, ALICE, "create rbac.authorization.k8s.io/roles")
    assert not may(access, ALICE, "get kubevirt.io/virtualmachines:x")
    label = {f"{RBAC_GROUP}/aggregate-to-view": "true"}
    reader.put(
        RBAC_GROUP, "clusterroles", cluster_role("vm", rule("get", "virtualmachines", "kubevirt.io"), **label)
    )
    assert may(access, ALICE, "get kubevirt.io/virtualmachines:x")


def test_roles_that_aggregate_each_other_do_not_loop(reader: FakeReader, access: RoleBasedAccess) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        looping = cluster_role(name, member=name)
        looping["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"member": other}}]}
        reader.put(RBAC_GROUP, "clusterroles", looping)
    reader.put(RBAC_GROUP, "rolebindings", binding("a", USER_ALICE, kind="ClusterRole"))
    assert not may(access, ALICE, "get pods:x")


def test_masters_may_everything_without_any_role(access: RoleBasedAccess) -> None:
    assert may(access, UserInfo("root", groups=("system:masters",)), "delete nodes:x", "")


@pytest.mark.parametrize(
    ("attributes", "message", "details"),
    [
        (
            Attributes(ALICE, "list", "", "v1", "pods", "", "y"),
            'pods is forbidden: User "alice" cannot list resource "pods" in API group "" '
            'in the namespace "y"',
            {"kind": "pods"},
        ),
        (
            Attributes(ALICE, "get", "", "v1", "pods", "log", "y", "x"),
            'pods "x" is forbidden: User "alice" cannot get resource "pods/log" in API group "" '
            'in the namespace "y"',
            {"name": "x", "kind": "pods"},
        ),
        (
            Attributes(ALICE, "watch", "apps", "v1", "deployments"),
            'deployments.apps is forbidden: User "alice" cannot watch resource "deployments" '
            'in API group "apps" at the cluster scope',
            {"group": "apps", "kind": "deployments"},
        ),
        (
            Attributes(ANONYMOUS, "get", path="/metrics"),
            'forbidden: User "system:anonymous" cannot get path "/metrics"',
            {},
        ),
    ],
)
def test_a_refusal_reads_as_kubernetes_words_it(
    attributes: Attributes, message: str, details: dict[str, str]
) -> None:
    status = refusal(attributes).to_status()
    assert (status["code"], status["message"], status["details"]) == (403, message, details)


@pytest.mark.parametrize(
    ("wanted", "held", "missing"),
    [
        (Rule(("get",), ("",), ("pods",)), Rule(("*",), ("*",), ("*",)), 0),
        (Rule(("*",), ("",), ("pods",)), Rule(("get",), ("",), ("pods",)), 1),
        (Rule(("get", "list"), ("",), ("pods", "secrets")), Rule(("get",), ("",), ("pods",)), 3),
        (Rule(("get",), ("",), ("pods/log",)), Rule(("get",), ("",), ("*/log",)), 0),
        (Rule(("get",), ("",), ("*/log",)), Rule(("get",), ("",), ("pods/log",)), 1),
        (Rule(("get",), ("",), ("pods",), ("a",)), Rule(("get",), ("",), ("pods",)), 0),
        (Rule(("get",), ("",), ("pods",)), Rule(("get",), ("",), ("pods",), ("a",)), 1),
        (Rule(("get",), ("",), ("pods",), ("a", "b")), Rule(("get",), ("",), ("pods",), ("a",)), 1),
        (Rule(("get",), urls=("/a/b",)), Rule(("get",), urls=("/a/*",)), 0),
        (Rule(("get",), urls=("/a/*",)), Rule(("get",), urls=("/a/b",)), 1),
        (Rule(("get",), urls=("*",)), Rule(("get",), urls=("/a/*",)), 1),
    ],
)
def test_coverage_finds_what_is_not_held(wanted: Rule, held: Rule, missing: int) -> None:
    assert len(not_covered([wanted], [held])) == missing


def test_compaction_joins_verbs() -> None:
    pieces = not_covered([Rule(("get", "list"), ("",), ("secrets",))], [])
    assert [str(rule) for rule in compact(pieces)] == [
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    ]


def test_binding_a_role_one_does_not_hold_is_refused(reader: FakeReader, access: RoleBasedAccess) -> None:
    for document in bootstrap.objects():
        if document["kind"] == "ClusterRole":
            reader.put(RBAC_GROUP, "clusterroles", document)
    reader.put(RBAC_GROUP, "roles", role("r", rule("*", "roles rolebindings", RBAC_GROUP)))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE))
    wanted = binding("cluster-admin", kind="ClusterRole", name="esc")
    with pytest.raises(StatusError) as caught:
        check_binding(access, ALICE, "rolebindings", "ns", "esc", wanted, None)
    assert caught.value.message == (
        'rolebindings.rbac.authorization.k8s.io "esc" is forbidden: user "alice" (groups=["dev" '
        '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}'
    )


def test_a_verb_star_on_roles_includes_escalate(reader: FakeReader, access: RoleBasedAccess) -> None:
    wanted = role("esc", rule("get", "secrets"))
    reader.put(RBAC_GROUP, "roles", role("r", rule("create update", "roles", RBAC_GROUP)))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE))
    with pytest.raises(StatusError):
        check_role(access, ALICE, "roles", "ns", "esc", wanted, None)
    reader.put(RBAC_GROUP, "roles", role("r", rule("*", "roles", RBAC_GROUP)))
    check_role(access, ALICE, "roles", "ns", "esc", wanted, None)


def test_granting_what_one_holds_is_allowed(reader: FakeReader, access: RoleBasedAccess) -> None:
    reader.put(RBAC_GROUP, "roles", role("r", rule("get list", "pods")))
    reader.put(RBAC_GROUP, "rolebindings", binding("r", USER_ALICE))
    check_role(access, ALICE, "roles", "ns", "n", role("n", rule("get", "pods", names="x")), None)
    check_binding(
        access, ALICE, "rolebindings", "ns", "n", binding("r", {"kind": "User", "name": "bob"}), None
    )
    with pytest.raises(StatusError):
        check_role(access, ALICE, "roles", "other", "n", role("n", rule("get", "pods")), None)


def test_an_update_that_changes_no_rule_is_not_checked(access: RoleBasedAccess) -> None:
    old = role("r", rule("get", "secrets"))
    new = copy.deepcopy(old)
    new["metadata"]["annotations"] = {"a": "b"}
    check_role(access, ALICE, "roles", "ns", "r", new, old)


def test_binding_a_role_that_does_not_exist_is_not_found(access: RoleBasedAccess) -> None:
    with pytest.raises(StatusError) as caught:
        check_binding(access, ALICE, "rolebindings", "ns", "n", binding("none"), None)
    assert caught.value.code == 404


def test_an_aggregation_rule_needs_every_right(access: RoleBasedAccess) -> None:
    wanted = cluster_role("a")
    wanted["aggregationRule"] = {"clusterRoleSelectors": [{}]}
    with pytest.raises(StatusError, match="must have cluster-admin privileges to use the aggregationRule"):
        check_role(access, ALICE, "clusterroles", "", "a", wanted, None)


def bootstrapped() -> RoleBasedAccess:
    access = RoleBasedAccess()
    plurals = {
        "Role": "roles",
        "ClusterRole": "clusterroles",
        "RoleBinding": "rolebindings",
        "ClusterRoleBinding": "clusterrolebindings",
    }
    for document in bootstrap.objects():
        access.apply(plurals[document["kind"]], "ADDED", document)
    return access


@pytest.mark.parametrize(
    ("user", "question", "allowed"),
    [
        (ANONYMOUS, "get /healthz", True),
        (ANONYMOUS, "get /version", True),
        (ANONYMOUS, "get /apis", False),
        (ANONYMOUS, "get /openapi/v3", False),
        (ANONYMOUS, "create authentication.k8s.io/selfsubjectreviews", False),
        (ALICE, "get /apis", True),
        (ALICE, "get /apis/apps/v1", True),
        (ALICE, "get /metrics", False),
        (ALICE, "list pods", False),
        (ALICE, "create authorization.k8s.io/selfsubjectaccessreviews", True),
        (ALICE, "create authorization.k8s.io/subjectaccessreviews", False),
        (UserInfo("system:kube-scheduler"), "create pods/binding", True),
        (UserInfo("system:kube-scheduler"), "get secrets:x", False),
        (UserInfo("system:kube-controller-manager"), "delete kubevirt.io/virtualmachines:x", True),
        (UserInfo("system:serviceaccount:kube-system:generic-garbage-collector"), "delete pods:x", True),
        (UserInfo("system:serviceaccount:default:generic-garbage-collector"), "delete pods:x", False),
    ],
)
def test_the_bootstrap_roles_give_what_kubernetes_gives(user: UserInfo, question: str, allowed: bool) -> None:
    assert may(bootstrapped(), user, question) is allowed


def test_bootstrap_objects_carry_the_marks_of_kubernetes_and_unique_names() -> None:
    documents = bootstrap.objects()
    names = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(set(names)) == len(names)
    assert all(d["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults" for d in documents)


def test_reconciliation_puts_back_what_was_removed_and_keeps_what_was_added() -> None:
    wanted = next(d for d in bootstrap.objects() if d["metadata"]["name"] == "system:basic-user")
    current = copy.deepcopy(wanted)
    assert bootstrap.reconciled(current, wanted) is None
    current["rules"] = [current["rules"][0], {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    repaired = bootstrap.reconciled(current, wanted)
    assert repaired is not None
    assert [*current["rules"], wanted["rules"][1]] == repaired["rules"]
    current["metadata"]["annotations"][bootstrap.AUTOUPDATE] = "false"
    assert bootstrap.reconciled(current, wanted) is None


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
        ({"key": "b", "operator": "NotIn", "values": ["1"]}, True),
        ({"key": "b", "operator": "In", "values": ["1"]}, False),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "a", "operator": "DoesNotExist"}, False),
    ],
)
def test_label_selectors_match_as_in_kubernetes(expression: dict[str, Any], matches: bool) -> None:
    assert selects({"matchExpressions": [expression]}, {"a": "1"}) is matches
    assert not selects({"matchExpressions": [expression], "matchLabels": {"z": "1"}}, {"a": "1"})


def test_who_edits_a_namespace_cannot_lead_its_services_anywhere() -> None:
    by_name = {document["metadata"]["name"]: document for document in bootstrap.objects()}
    writes = {
        resource
        for rule in by_name["system:aggregate-to-edit"]["rules"]
        if "create" in rule["verbs"]
        for resource in rule.get("resources", ())
    }
    assert "services" in writes
    assert not {"endpoints", "endpointslices"} & writes
