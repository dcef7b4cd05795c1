"""Built-in admission plugins, one table each."""

from __future__ import annotations

from typing import Any

import pytest
from object_reader_fake import (
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    PODS,
    FakeReader,
    config_map,
    namespace,
    served,
    write,
)

from edgevirt.engine.apiserver.admission.escalation import RoleEscalation
from edgevirt.engine.apiserver.admission.namespaces import NamespaceLifecycle
from edgevirt.engine.apiserver.admission.node_restriction import NodeRestriction
from edgevirt.engine.apiserver.admission.pod_defaults import DefaultStorageClass, DefaultTolerations, Priority
from edgevirt.engine.apiserver.admission.service_accounts import MIRROR, MOUNT_PATH, ServiceAccounts
from edgevirt.engine.apiserver.auth.authenticator import NODE_NAME, ROLE
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, RoleBasedAccess
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.request import AdmissionAttributes, UserInfo

pytestmark = pytest.mark.unit

KUBELET = UserInfo("system:node:n1", groups=("system:nodes",))
AGENT = UserInfo(
    "system:serviceaccount:kubevirt:virt-handler", extra={ROLE: ("virt-handler",), NODE_NAME: ("n1",)}
)
LEASES = served("coordination.k8s.io", "v1", "leases", "Lease")
ACCOUNTS = served("", "v1", "serviceaccounts", "ServiceAccount")
CLAIMS = served("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


@pytest.fixture
def reader() -> FakeReader:
    reader = FakeReader()
    reader.put("", "namespaces", namespace("ns"))
    reader.put("", "namespaces", namespace("dying", "Terminating"))
    reader.put("", "serviceaccounts", {"metadata": {"name": "default", "namespace": "ns"}})
    reader.put("", "pods", pod("mine", "n1"))
    reader.put("", "pods", pod("theirs", "n2"))
    return reader


def pod(name: str = "p", node: str = "", **spec: Any) -> dict[str, Any]:
    if node:
        spec["nodeName"] = node
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": "c"}], **spec},
    }


def refusal(plugin: Any, attributes: AdmissionAttributes) -> StatusError | None:
    try:
        plugin.admit(attributes)
    except StatusError as error:
        return error
    return None


def test_creating_in_a_missing_namespace_is_not_found(reader: FakeReader) -> None:
    refused = refusal(NamespaceLifecycle(reader), write(CONFIG_MAPS, config_map(), namespace="no-such-ns"))
    assert refused is not None
    assert (refused.code, refused.message) == (404, 'namespaces "no-such-ns" not found')


def test_creating_in_a_terminating_namespace_is_forbidden(reader: FakeReader) -> None:
    refused = refusal(NamespaceLifecycle(reader), write(CONFIG_MAPS, config_map(), namespace="dying"))
    assert refused is not None
    assert refused.to_status()["message"] == (
        'configmaps "a" is forbidden: unable to create new content in namespace dying because it is being '
        "terminated"
    )
    assert refused.to_status()["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace dying is being terminated",
            "field": "metadata.namespace",
        }
    ]


def test_updates_and_deletions_go_on_in_a_terminating_namespace(reader: FakeReader) -> None:
    plugin = NamespaceLifecycle(reader)
    assert refusal(plugin, write(CONFIG_MAPS, config_map(), config_map(), namespace="dying")) is None
    assert refusal(plugin, write(CONFIG_MAPS, None, config_map(), namespace="dying")) is None


@pytest.mark.parametrize(("name", "allowed"), [("default", False), ("kube-system", False), ("ns", True)])
def test_system_namespaces_cannot_be_deleted(reader: FakeReader, name: str, allowed: bool) -> None:
    refused = refusal(NamespaceLifecycle(reader), write(NAMESPACES, None, namespace(name)))
    assert (refused is None) is allowed


def admitted_pod(reader: FakeReader, document: dict[str, Any]) -> dict[str, Any]:
    attributes = write(PODS, document)
    ServiceAccounts(reader, lambda: "abcde").admit(attributes)
    assert attributes.object is not None
    spec: dict[str, Any] = attributes.object["spec"]
    return spec


def test_a_pod_gets_the_default_account_and_a_token(reader: FakeReader) -> None:
    spec = admitted_pod(reader, pod(initContainers=[{"name": "i"}]))
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert [volume["name"] for volume in spec["volumes"]] == ["kube-api-access-abcde"]
    assert spec["volumes"][0]["projected"]["sources"][0] == {
        "serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}
    }
    mount = {"name": "kube-api-access-abcde", "readOnly": True, "mountPath": MOUNT_PATH}
    assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [mount]


def test_running_twice_changes_nothing_more(reader: FakeReader) -> None:
    document = pod()
    once = dict(admitted_pod(reader, document))
    assert admitted_pod(reader, document) == once
    document["spec"]["containers"].append({"name": "sidecar"})
    spec = admitted_pod(reader, document)
    assert len(spec["volumes"]) == 1
    assert spec["containers"][1]["volumeMounts"][0]["name"] == "kube-api-access-abcde"


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [
        (None, None, True),
        (False, None, False),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ],
)
def test_the_pods_word_on_tokens_outweighs_its_accounts(
    reader: FakeReader, of_pod: bool | None, of_account: bool | None, mounted: bool
) -> None:
    account: dict[str, Any] = {"metadata": {"name": "default", "namespace": "ns"}}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    reader.put("", "serviceaccounts", account)
    document = pod() if of_pod is None else pod(automountServiceAccountToken=of_pod)
    assert ("volumes" in admitted_pod(reader, document)) is mounted


def test_a_container_with_its_own_mount_there_is_left_alone(reader: FakeReader) -> None:
    document = pod(containers=[{"name": "c", "volumeMounts": [{"name": "x", "mountPath": MOUNT_PATH}]}])
    assert "volumes" not in admitted_pod(reader, document)


def test_a_pod_of_an_account_that_does_not_exist_is_forbidden(reader: FakeReader) -> None:
    refused = refusal(ServiceAccounts(reader), write(PODS, pod(serviceAccountName="none")))
    assert refused is not None
    assert refused.message == (
        'pods "p" is forbidden: error looking up service account ns/none: serviceaccount "none" not found'
    )


def test_a_pod_tolerates_a_lost_node_for_five_minutes() -> None:
    attributes = write(PODS, pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]))
    for _ in range(2):
        DefaultTolerations().admit(attributes)
    assert attributes.object is not None
    assert [entry["key"] for entry in attributes.object["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


@pytest.mark.parametrize(
    ("spec", "priority", "preemption"),
    [
        ({}, 0, "PreemptLowerPriority"),
        ({"priorityClassName": "high"}, 1000, "Never"),
        ({"priorityClassName": "system-node-critical"}, 2000001000, "PreemptLowerPriority"),
    ],
)
def test_a_priority_class_becomes_a_number(
    reader: FakeReader, spec: dict[str, Any], priority: int, preemption: str
) -> None:
    high = {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}
    reader.put("scheduling.k8s.io", "priorityclasses", high)
    attributes = write(PODS, pod(**spec))
    Priority(reader).admit(attributes)
    assert attributes.object is not None
    found = attributes.object["spec"]
    assert (found["priority"], found["preemptionPolicy"]) == (priority, preemption)


def test_a_made_up_priority_is_forbidden(reader: FakeReader) -> None:
    assert refusal(Priority(reader), write(PODS, pod(priority=7))) is not None
    assert refusal(Priority(reader), write(PODS, pod(priorityClassName="none"))) is not None


def test_a_claim_gets_the_newest_default_class(reader: FakeReader) -> None:
    for name, created in (("old", "2025-01-01T00:00:00Z"), ("new", "2026-01-01T00:00:00Z")):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        metadata = {"name": name, "annotations": annotations, "creationTimestamp": created}
        reader.put("storage.k8s.io", "storageclasses", {"metadata": metadata})
    for given, expected in ((None, "new"), ("", ""), ("x", "x")):
        spec = {} if given is None else {"storageClassName": given}
        attributes = write(CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
        DefaultStorageClass(reader).admit(attributes)
        assert attributes.object is not None
        assert attributes.object["spec"]["storageClassName"] == expected


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def token_for(name: str, uid: str) -> dict[str, Any]:
    reference = {"kind": "Pod", "name": name, "uid": uid}
    return {"metadata": {"name": "default"}, "spec": {"boundObjectRef": reference if name else None}}


def labelled(name: str, node: str) -> dict[str, Any]:
    document = pod(name, node)
    document["metadata"]["labels"] = {"app": "bank"}
    return document


def mirror(node: str = "n1", **spec: Any) -> dict[str, Any]:
    document = pod("static", node, **spec)
    document["metadata"]["annotations"] = {MIRROR: "x"}
    return document


SECRET = {"name": "v", "secret": {"secretName": "s"}}
RESERVED = {"node-restriction.kubernetes.io/zone": "secure"}

KUBELET_WRITES = [
    ("create own node", write(NODES, node("n1"), user=KUBELET), True),
    ("create other node", write(NODES, node("n2"), user=KUBELET), False),
    ("update own node", write(NODES, node("n1", {"a": "b"}), node("n1"), user=KUBELET), True),
    ("update other node", write(NODES, node("n2"), node("n2"), user=KUBELET), False),
    ("status of other node", write(NODES, node("n2"), node("n2"), subresource="status", user=KUBELET), False),
    ("reserved label", write(NODES, node("n1", RESERVED), node("n1"), user=KUBELET), False),
    ("drop reserved label", write(NODES, node("n1"), node("n1", RESERVED), user=KUBELET), False),
    (
        "status of own pod",
        write(PODS, pod("mine"), pod("mine", "n1"), subresource="status", user=KUBELET),
        True,
    ),
    (
        "status of other pod",
        write(PODS, pod("theirs", "n1"), pod("theirs", "n2"), subresource="status", user=KUBELET),
        False,
    ),
    (
        "labels of own pod by its status",
        write(PODS, labelled("mine", "n1"), pod("mine", "n1"), subresource="status", user=KUBELET),
        False,
    ),
    ("delete own pod", write(PODS, None, pod("mine", "n1"), user=KUBELET), True),
    ("delete other pod", write(PODS, None, pod("theirs", "n2"), user=KUBELET), False),
    ("update pod", write(PODS, pod("mine", "n1"), pod("mine", "n1"), user=KUBELET), False),
    ("create pod", write(PODS, pod("new", "n1"), user=KUBELET), False),
    ("create mirror pod", write(PODS, mirror(), user=KUBELET), True),
    ("mirror pod of another node", write(PODS, mirror("n2"), user=KUBELET), False),
    ("mirror pod with a secret", write(PODS, mirror(volumes=[SECRET]), user=KUBELET), False),
    (
        "mirror pod with a projected secret",
        write(
            PODS,
            mirror(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]),
            user=KUBELET,
        ),
        False,
    ),
    (
        "mirror pod with a secret in a variable",
        write(
            PODS,
            mirror(containers=[{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]),
            user=KUBELET,
        ),
        False,
    ),
    ("mirror pod that pulls", write(PODS, mirror(imagePullSecrets=[{"name": "s"}]), user=KUBELET), False),
    ("mirror pod with an account", write(PODS, mirror(serviceAccountName="a"), user=KUBELET), False),
    ("bind pod", write(PODS, pod("mine"), subresource="binding", operation="CREATE", user=KUBELET), False),
    ("evict own", write(PODS, pod("mine"), subresource="eviction", operation="CREATE", user=KUBELET), True),
    (
        "evict other",
        write(PODS, pod("theirs"), subresource="eviction", operation="CREATE", user=KUBELET),
        False,
    ),
    ("own lease", write(LEASES, node("n1"), user=KUBELET, namespace="kube-node-lease"), True),
    ("other lease", write(LEASES, node("n2"), user=KUBELET, namespace="kube-node-lease"), False),
    ("lease elsewhere", write(LEASES, node("n1"), user=KUBELET, namespace="kube-system"), False),
    (
        "token of own pod",
        write(ACCOUNTS, token_for("mine", "uid-mine"), subresource="token", user=KUBELET),
        True,
    ),
    (
        "token with old uid",
        write(ACCOUNTS, token_for("mine", "old"), subresource="token", user=KUBELET),
        False,
    ),
    (
        "token of other pod",
        write(ACCOUNTS, token_for("theirs", "uid-theirs"), subresource="token", user=KUBELET),
        False,
    ),
    ("unbound token", write(ACCOUNTS, token_for("", ""), subresource="token", user=KUBELET), False),
    ("agent labels own node", write(NODES, node("n1", {"a": "b"}), node("n1"), user=AGENT), True),
    ("agent labels other node", write(NODES, node("n2", {"a": "b"}), node("n2"), user=AGENT), False),
    ("agent cordons own node", write(NODES, node("n1", unschedulable=True), node("n1"), user=AGENT), False),
    ("agent deletes own node", write(NODES, None, node("n1"), user=AGENT), False),
    ("agent sets reserved label", write(NODES, node("n1", RESERVED), node("n1"), user=AGENT), False),
    ("somebody else", write(NODES, node("n2", {"a": "b"}), node("n2"), user=UserInfo("x")), True),
]


@pytest.mark.parametrize(
    ("attributes", "allowed"), [case[1:] for case in KUBELET_WRITES], ids=[case[0] for case in KUBELET_WRITES]
)
def test_an_agent_on_a_node_writes_only_what_is_its_own(
    reader: FakeReader, attributes: AdmissionAttributes, allowed: bool
) -> None:
    refused = refusal(NodeRestriction(reader), attributes)
    assert (refused is None) is allowed
    assert refused is None or refused.code == 403


def test_the_escalation_check_runs_on_role_writes() -> None:
    roles = served(RBAC_GROUP, "v1", "roles", "Role")
    document = {
        "metadata": {"name": "r"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}],
    }
    plugin = RoleEscalation(RoleBasedAccess())
    assert plugin.concerns(RBAC_GROUP, "roles", "", "CREATE")
    assert refusal(plugin, write(roles, document)) is None
    refused = refusal(plugin, write(roles, document, user=UserInfo("alice")))
    assert refused is not None
    assert refused.code == 403
