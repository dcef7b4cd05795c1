"""kubectl wait, scale and delete: conditions, cascades, grace, finalizers, and what is left afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from client_process import Kubectl, Object, documents

pytestmark = pytest.mark.component


def config_map(name: str, **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}


@pytest.fixture
def gadgets(kubectl: Kubectl) -> Iterator[str]:
    """A kind of one's own with scale and status, `gadgets.<group>`; its group is the test's."""
    group = f"{secrets.token_hex(3)}.example.com"
    kind = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    kind["properties"]["status"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}  # type: ignore[index]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": kind},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "shortNames": ["gad"]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    kubectl.create(definition)
    kubectl("wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=20s")
    yield f"gadgets.{group}"
    kubectl("delete", "crd", f"gadgets.{group}", "--ignore-not-found", "--timeout=30s")


def gadget(kind: str, name: str) -> Object:
    group = kind.partition(".")[2]
    return {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": {"size": 1}}


@pytest.mark.client(
    "kubectl", "scale with --current-replicas, of custom kinds; get of a kind made a moment ago"
)
def test_scale_writes_the_scale_subresource(kubectl: Kubectl, gadgets: str) -> None:
    kubectl.create(gadget(gadgets, "g"))
    assert kubectl("scale", f"{gadgets}/g", "--replicas=3").endswith("/g scaled\n")
    assert kubectl("get", gadgets, "g").split()[:4] == ["NAME", "SIZE", "g", "3"]
    shown = kubectl.fails("scale", f"{gadgets}/g", "--current-replicas=9", "--replicas=1")
    assert "xpected replicas to be 9, was 3" in shown
    assert "scaled" in kubectl("scale", f"{gadgets}/g", "--current-replicas=3", "--replicas=0")
    assert kubectl("get", gadgets, "g", "-o", "jsonpath={.spec.size}") == "0"
    assert "the server could not find the requested resource" in kubectl.fails(
        "scale", "cm/kube-root-ca.crt", "--replicas=1"
    )


@pytest.mark.client("kubectl", "wait for a condition, a jsonpath, a creation and a deletion; its time-out")
def test_wait_returns_when_it_happens(kubectl: Kubectl, gadgets: str, admin: Kubectl) -> None:
    kubectl.create(gadget(gadgets, "g"))
    where = ("-n", kubectl.namespace)
    with kubectl.started("wait", f"{gadgets}/g", "--for=condition=Ready", "--timeout=30s") as waiting:
        status = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
        admin("patch", gadgets, "g", *where, "--subresource=status", "--type=merge", "-p", status)
        assert waiting.until("condition met").endswith("/g condition met")
        assert waiting.end() == 0
    if kubectl.modern:
        with kubectl.started(
            "wait", f"{gadgets}/g", "--for=jsonpath={.spec.size}=7", "--timeout=30s"
        ) as waiting:
            admin("scale", f"{gadgets}/g", *where, "--replicas=7")
            waiting.until("condition met")
        with kubectl.started("wait", f"{gadgets}/later", "--for=create", "--timeout=30s") as waiting:
            admin("create", "-f", "-", *where, stdin=documents(gadget(gadgets, "later")))
            waiting.until("condition met")
    with kubectl.started("wait", f"{gadgets}/g", "--for=delete", "--timeout=30s", "-v=6") as waiting:
        waiting.until("watch=true")  # Debian's wants the object to be there when it begins
        admin("delete", gadgets, "g", *where)
        assert waiting.end() == 0
    assert "timed out waiting for the condition" in kubectl.fails(
        "wait", "cm/kube-root-ca.crt", "--for=condition=Never", "--timeout=1s"
    )


@pytest.mark.client("kubectl", "delete: by name, file, selector, --all, dry run, what is not there")
def test_delete_removes_what_it_is_told(kubectl: Kubectl) -> None:
    kubectl.create(*(config_map(name, labels={"l": name}) for name in "abcde"))
    assert kubectl("delete", "cm", "a") == 'configmap "a" deleted' + kubectl_place(kubectl) + "\n"
    assert "(server dry run)" in kubectl("delete", "cm", "b", "--dry-run=server")
    assert "configmap/b" in kubectl("delete", "cm", "b", "-o", "name")
    assert '"c" deleted' in kubectl("delete", "-f", "-", stdin=documents(config_map("c")))
    assert '"d" deleted' in kubectl("delete", "cm", "-l", "l=d")
    assert 'configmaps "a" not found' in kubectl.fails("delete", "cm", "a")
    assert "deleted" not in kubectl("delete", "cm", "a", "--ignore-not-found")
    assert '"e" deleted' in kubectl("delete", "cm", "--all")
    # What a controller keeps is made again at once.
    kubectl("get", "sa", "default")


def kubectl_place(kubectl: Kubectl) -> str:
    return f" from {kubectl.namespace} namespace" if kubectl.modern else ""


@pytest.mark.client("kubectl", "delete --cascade=background, foreground and orphan")
def test_cascades_follow_owners(kubectl: Kubectl, admin: Kubectl) -> None:
    for cascade in ("background", "foreground", "orphan"):
        kubectl.create(config_map(f"owner-{cascade}"))
        uid = kubectl.json("cm", f"owner-{cascade}")["metadata"]["uid"]
        owner = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": f"owner-{cascade}",
            "uid": uid,
            "blockOwnerDeletion": True,
        }
        child = config_map(f"child-{cascade}", ownerReferences=[owner])
        kubectl.create(child)
        kubectl("delete", "cm", f"owner-{cascade}", f"--cascade={cascade}", "--timeout=30s")
        assert kubectl("get", "cm", f"owner-{cascade}", "--ignore-not-found") == ""
    assert kubectl("get", "cm", "child-foreground", "--ignore-not-found") == ""
    admin("wait", "cm/child-background", "--for=delete", "--timeout=30s", "-n", kubectl.namespace)
    orphan = kubectl.json("cm", "child-orphan")
    assert "ownerReferences" not in orphan["metadata"]


@pytest.mark.client("kubectl", "delete with finalizers, --wait=false, --grace-period, --now, --force")
def test_delete_waits_for_finalizers_and_grace(kubectl: Kubectl, admin: Kubectl) -> None:
    kubectl.create(config_map("kept", finalizers=["example.com/keep"]))
    assert '"kept" deleted' in kubectl("delete", "cm", "kept", "--wait=false")
    kept = kubectl.json("cm", "kept")["metadata"]
    assert kept["deletionTimestamp"]
    shown = kubectl.fails("delete", "cm", "kept", "--timeout=1s")
    assert "timed out waiting for the condition" in shown
    with kubectl.started("delete", "cm", "kept") as deleting:
        deleting.until("deleted")
        drop = '[{"op": "remove", "path": "/metadata/finalizers"}]'
        admin("patch", "cm", "kept", "-n", kubectl.namespace, "--type=json", "-p", drop)
        assert deleting.end() == 0
    assert kubectl("get", "cm", "kept", "--ignore-not-found") == ""
    for name, options in (("a", ()), ("b", ("--grace-period=7",)), ("c", ("--now",))):
        # Bound to a node that does not exist, so that nobody ends it.
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "nowhere"}
        kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        kubectl("delete", "pod", name, "--wait=false", *options)
        grace = kubectl.json("pod", name)["metadata"]["deletionGracePeriodSeconds"]
        assert grace == {"a": 30, "b": 7, "c": 1}[name]
        forced = kubectl.run("delete", "pod", name, "--force", "--grace-period=0")
        assert "mmediate deletion does not wait for confirmation" in forced.stderr
        assert f'pod "{name}" force deleted' in forced.stdout
        assert kubectl("get", "pod", name, "--ignore-not-found") == ""


@pytest.mark.client("kubectl", "delete of namespaces and definitions with everything in them")
def test_deleting_a_whole_takes_its_parts(kubectl: Kubectl, gadgets: str) -> None:
    inner = f"{kubectl.namespace}-inner"
    kubectl("create", "namespace", inner)
    where = ("-n", inner)
    kubectl("create", "-f", "-", *where, stdin=documents(gadget(gadgets, "g"), config_map("c")))
    assert f'namespace "{inner}" deleted\n' in kubectl("delete", "ns", inner, "--timeout=30s")
    assert kubectl("get", gadgets, "-A", "--ignore-not-found") == ""
    refused = kubectl.fails("create", "cm", "x", *where)
    assert f'namespaces "{inner}" not found' in refused
    kubectl.create(gadget(gadgets, "g"))
    kubectl("delete", "crd", gadgets, "--timeout=30s")
    assert "the server doesn't have a resource type" in kubectl.fails("get", gadgets)
