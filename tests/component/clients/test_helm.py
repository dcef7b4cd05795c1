"""Helm with a chart that has a definition, hooks, roles, settings, secrets, a Deployment and a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_process import Client, Kubectl, environment

import client_programs
from live_instance import Instance

pytestmark = pytest.mark.component

SHOP = Path(__file__).with_name("charts") / "shop"
WAIT = ("--wait", "--timeout=60s")


@pytest.fixture
def helm(instance: Instance, homes: Path, namespace: str) -> Client:
    home = homes / "helm"
    return Client((client_programs.helm(), "--namespace", namespace), environment(instance.kubeconfig, home))


@pytest.fixture
def look(admin: Kubectl, namespace: str) -> Kubectl:
    """kubectl in the release's namespace."""
    return Kubectl(client_programs.kubectl("1.37"), admin.environment, namespace)


@pytest.fixture(scope="module", autouse=True)
def _definition_goes_in_the_end(instance: Instance, homes: Path) -> Iterator[None]:
    yield
    kubectl = Client((client_programs.kubectl("1.37"),), environment(instance.kubeconfig, homes / "admin"))
    kubectl("delete", "crd", "shelves.shop.example.com", "--ignore-not-found", "--timeout=30s")


def release(helm: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(helm("status", name, "-o", "json"))
    return found


def revisions(helm: Client, name: str) -> list[tuple[int, str]]:
    return [(entry["revision"], entry["status"]) for entry in json.loads(helm("history", name, "-o", "json"))]


@pytest.mark.client("Helm", "install --wait, status, list, get, test, upgrade, history, rollback, uninstall")
def test_a_release_lives_a_whole_life(helm: Client, look: Kubectl) -> None:
    assert helm("version", "--template={{.Version}}").startswith(f"v{client_programs.HELM_VERSION}.")
    assert "a says hello." in helm("install", "a", SHOP, *WAIT)
    assert [entry["name"] for entry in json.loads(helm("list", "-o", "json"))] == ["a"]
    assert release(helm, "a")["info"]["status"] == "deployed"
    assert look("get", "deployment", "a", "-o", "jsonpath={.status.readyReplicas}") == "1"
    settings = look.json("cm", "a-settings")["data"]
    assert settings["greeting"] == "hello"
    assert settings["namespaceUid"] == look.json("ns", look.namespace)["metadata"]["uid"]
    assert look("get", "shelf", "a", "-o", "jsonpath={.spec.boards}") == "3"
    assert look("auth", "can-i", "get", "cm", f"--as=system:serviceaccount:{look.namespace}:a") == "yes\n"
    assert look("get", "jobs", "-o", "name") == ""  # its policy deletes a hook that succeeded
    shown = helm("test", "a", "--logs")
    assert "Phase:          Succeeded" in shown
    assert "hello" in shown
    assert "a says bye." in helm("upgrade", "a", SHOP, "--set", "greeting=bye", *WAIT)
    assert look.json("cm", "a-settings")["data"]["greeting"] == "bye"
    managers = look.json("cm", "a-settings", "--show-managed-fields")["metadata"]["managedFields"]
    assert [(entry["manager"], entry["operation"]) for entry in managers] == [("helm", "Apply")]
    assert "greeting: bye" in helm("get", "values", "a")
    assert "kind: Deployment" in helm("get", "manifest", "a")
    helm("rollback", "a", "1", *WAIT)
    assert look.json("cm", "a-settings")["data"]["greeting"] == "hello"
    assert revisions(helm, "a") == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert 'release "a" uninstalled' in helm("uninstall", "a", *WAIT)
    assert look("get", "deployments,services,roles,shelves,pods", "-o", "name", "-l", "app=a") == ""
    assert look("get", "secrets,configmaps", "-o", "name") == "configmap/kube-root-ca.crt\n"
    assert "release: not found" in helm.fails("status", "a")


@pytest.mark.client("Helm", "failures: values schema, a failing hook, --rollback-on-failure, another owner")
def test_failures_are_told_and_undone(helm: Client, look: Kubectl) -> None:
    assert "replicas" in helm.fails("install", "a", SHOP, "--set", "replicas=-1")
    refused = helm.fails("install", "a", SHOP, "--set", "hookFails=true", *WAIT)
    assert "pre-install" in refused
    assert revisions(helm, "a") == [(1, "failed")]
    helm("uninstall", "a")
    look("delete", "jobs", "--all")
    helm("install", "a", SHOP, *WAIT)
    undone = helm.fails(
        "upgrade", "a", SHOP, "--set", "probe=false", "--rollback-on-failure", "--wait", "--timeout=4s"
    )
    assert "has been rolled back due to rollback-on-failure being set" in undone
    assert revisions(helm, "a")[-1] == (3, "deployed")
    assert look("get", "deployment", "a", "-o", "jsonpath={.status.readyReplicas}") == "1"
    look("create", "cm", "other", "--from-literal=x=y")
    taken = look.json("cm", "a-settings")
    assert taken["metadata"]["annotations"]["meta.helm.sh/release-name"] == "a"
    look("create", "serviceaccount", "b")
    refused = helm.fails("install", "b", SHOP)
    assert "invalid ownership metadata" in refused
    helm("uninstall", "a", *WAIT)


@pytest.mark.client("Helm", "upgrade --install, --dry-run=server, --force-conflicts over what others changed")
def test_upgrades_meet_what_others_changed(helm: Client, look: Kubectl) -> None:
    assert "namespaceUid" in helm("template", "a", SHOP, "--dry-run=server")  # looked up in the cluster
    helm("upgrade", "--install", "a", SHOP, "--dry-run=server")
    assert look("get", "deployments", "-o", "name") == ""
    helm("upgrade", "--install", "a", SHOP, *WAIT)
    look("patch", "cm", "a-settings", "-p", '{"data": {"greeting": "edited", "mine": "kept"}}')
    conflict = helm.fails("upgrade", "a", SHOP, "--set", "greeting=new")
    assert "conflict" in conflict
    helm("upgrade", "a", SHOP, "--set", "greeting=new", "--force-conflicts", *WAIT)
    data = look.json("cm", "a-settings")["data"]
    assert (data["greeting"], data["mine"]) == ("new", "kept")
    look("scale", "deployment/a", "--replicas=2")
    look("rollout", "status", "deployment/a", "--timeout=30s")
    helm("uninstall", "a", *WAIT)
