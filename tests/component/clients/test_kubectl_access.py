"""kubectl auth, create token, config: who a user is, what they may do, what they are told otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from client_process import Kubectl, columns

pytestmark = pytest.mark.component


@pytest.fixture
def robot(kubectl: Kubectl) -> str:
    """A service account that may read pods; how it is impersonated."""
    kubectl("create", "sa", "robot")
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=pods")
    kubectl(
        "create", "rolebinding", "readers", "--role=reader", f"--serviceaccount={kubectl.namespace}:robot"
    )
    return f"--as=system:serviceaccount:{kubectl.namespace}:robot"


@pytest.mark.client("kubectl", "auth can-i with verbs, subresources, URLs, --as, --as-group, --list")
def test_can_i_asks_for_oneself_and_others(kubectl: Kubectl, robot: str) -> None:
    assert kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    assert kubectl("auth", "can-i", "list", "pods", robot) == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "pods", robot).stdout == "no\n"
    assert kubectl.run("auth", "can-i", "get", "pods", "--subresource=log", robot).stdout == "no\n"
    assert kubectl.run("auth", "can-i", "list", "pods", "-n", "default", robot).stdout == "no\n"
    assert kubectl("auth", "can-i", "get", "/healthz", "--as=x", "--as-group=system:authenticated") == "yes\n"
    assert kubectl("auth", "can-i", "get", "nodes", "--as=x", "--as-group=system:masters") == "yes\n"
    assert kubectl.run("auth", "can-i", "list", "pods", "-q", robot).stdout == ""
    rules = columns(kubectl("auth", "can-i", "--list", robot))
    assert rules[0] == ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]
    assert ["pods", "[]", "[]", "[get list watch]"] in rules
    everything = kubectl("auth", "can-i", "--list")
    assert "*.*" in everything


@pytest.mark.client("kubectl", "requests as another user: what is forbidden and how it is told")
def test_what_is_forbidden_is_named(kubectl: Kubectl, robot: str) -> None:
    kubectl("get", "pods", robot)
    user = robot.removeprefix("--as=")
    assert kubectl.fails("get", "secrets", robot) == (
        f'Error from server (Forbidden): secrets is forbidden: User "{user}" cannot list resource "secrets" '
        f'in API group "" in the namespace "{kubectl.namespace}"\n'
    )
    assert 'cannot get resource "nodes" in API group "" at the cluster scope' in kubectl.fails(
        "get", "node/n", robot
    )
    assert "is forbidden" in kubectl.fails("create", "cm", "c", robot)
    refused = kubectl.fails("create", "role", "more", "--verb=delete", "--resource=pods", robot)
    assert "is forbidden" in refused


@pytest.mark.client(
    "kubectl", "auth whoami and create token, bound and for an audience; requests with the token"
)
def test_tokens_identify_their_account(kubectl: Kubectl, robot: str, tmp_path: Path) -> None:
    if not kubectl.modern:
        pytest.skip("Debian's kubectl has neither command")
    who = json.loads(kubectl("auth", "whoami", "-o", "json"))
    assert "system:masters" in who["status"]["userInfo"]["groups"]
    assert columns(kubectl("auth", "whoami", robot))[1][1] == robot.removeprefix("--as=")
    token = kubectl("create", "token", "robot", "--duration=20m").strip()
    user = ("--token", token, "--kubeconfig", without_user(kubectl, tmp_path))
    shown = json.loads(kubectl("auth", "whoami", "-o", "json", *user))["status"]["userInfo"]
    assert shown["username"] == robot.removeprefix("--as=")
    assert f"system:serviceaccounts:{kubectl.namespace}" in shown["groups"]
    kubectl("get", "pods", *user)
    assert "(Forbidden)" in kubectl.fails("get", "secrets", *user)
    other = kubectl("create", "token", "robot", "--audience=elsewhere").strip()
    refused = kubectl.fails("get", "pods", "--token", other, "--kubeconfig", without_user(kubectl, tmp_path))
    assert "You must be logged in to the server" in refused
    kubectl.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bound"}})
    bound = kubectl(
        "create", "token", "robot", "--bound-object-kind=Secret", "--bound-object-name=bound"
    ).strip()
    user = ("--token", bound, "--kubeconfig", without_user(kubectl, tmp_path))
    kubectl("get", "pods", *user)
    kubectl("delete", "secret", "bound")
    assert "You must be logged in to the server" in kubectl.fails("get", "pods", *user)
    assert 'serviceaccounts "none" not found' in kubectl.fails("create", "token", "none")


def without_user(kubectl: Kubectl, directory: Path) -> str:
    """A kubeconfig with the cluster alone."""
    path = directory / "cluster-only.yaml"
    if not path.exists():
        config = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        config["users"] = [{"name": user["name"], "user": {}} for user in config["users"]]
        path.write_text(json.dumps(config))
    return str(path)


@pytest.mark.client("kubectl", "auth reconcile")
def test_reconcile_adds_what_is_missing(kubectl: Kubectl) -> None:
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    role = kubectl.json("role", "r")
    role["rules"] = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    shown = kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    assert "reconciled" in shown
    rules = kubectl.json("role", "r")["rules"]
    assert sorted(rule["resources"][0] for rule in rules) == ["configmaps", "pods"]
    kubectl("auth", "reconcile", "-f", "-", "--remove-extra-permissions", stdin=json.dumps(role))
    assert [rule["resources"] for rule in kubectl.json("role", "r")["rules"]] == [["configmaps"]]


@pytest.mark.client("kubectl", "config: contexts and namespaces; wrong credentials, wrong CA, nobody there")
def test_connection_errors_are_clear(kubectl: Kubectl, tmp_path: Path) -> None:
    copy = tmp_path / "config"
    copy.write_text(Path(kubectl.environment["KUBECONFIG"]).read_text())
    here = ("--kubeconfig", str(copy))
    context = kubectl("config", "current-context", *here).strip()
    kubectl("config", "set-context", "--current", "--namespace=kube-system", *here)
    assert kubectl(
        "config", "view", "--minify", "-o", "jsonpath={.contexts[0].context.namespace}", *here
    ) == ("kube-system")
    assert context in kubectl("config", "get-contexts", "-o", "name", *here)
    empty = without_user(kubectl, tmp_path)
    refused = kubectl.fails("get", "pods", "--token", "nonsense", "--kubeconfig", empty)
    assert refused == "error: You must be logged in to the server (Unauthorized)\n"
    document = yaml.safe_load(copy.read_text())
    del document["clusters"][0]["cluster"]["certificate-authority-data"]
    untrusting = ("--kubeconfig", str(tmp_path / "untrusting.yaml"))
    Path(untrusting[1]).write_text(json.dumps(document))
    assert "certificate signed by unknown authority" in kubectl.fails("get", "ns", *untrusting)
    assert "ok" in kubectl("get", "--raw", "/healthz", *untrusting, "--insecure-skip-tls-verify")
    assert "refused" in kubectl.fails("get", "ns", *here, "--server=https://127.0.0.1:1")
