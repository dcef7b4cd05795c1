"""kubectl create, apply, diff, edit, replace, patch: what users write and what the server makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from client_process import Kubectl, Object, documents

pytestmark = pytest.mark.component


def config_map(name: str = "a", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.mark.client(
    "kubectl", "create: configmap, secret, sa, role, rolebinding, clusterrole, quota, priorityclass, service"
)
def test_create_generates_objects(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("[a]\nb=1\n")
    suffix = kubectl.namespace
    assert (
        kubectl("create", "cm", "c", "--from-literal=k=v", f"--from-file={file}") == "configmap/c created\n"
    )
    assert kubectl.json("cm", "c")["data"] == {"k": "v", "settings.ini": "[a]\nb=1\n"}
    kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert kubectl.json("secret", "s")["data"] == {"k": "dg=="}
    registry = ("--docker-server=r.example.com", "--docker-username=u", "--docker-password=p")
    kubectl("create", "secret", "docker-registry", "d", *registry)
    assert kubectl.json("secret", "d")["type"] == "kubernetes.io/dockerconfigjson"
    assert kubectl("create", "sa", "robot") == "serviceaccount/robot created\n"
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log", "--resource-name=p")
    assert kubectl.json("role", "reader")["rules"] == [
        {
            "apiGroups": [""],
            "resourceNames": ["p"],
            "resources": ["pods", "pods/log"],
            "verbs": ["get", "list"],
        }
    ]
    kubectl(
        "create", "rolebinding", "readers", "--role=reader", f"--serviceaccount={suffix}:robot", "--user=u"
    )
    binding = kubectl.json("rolebinding", "readers")
    assert [subject["kind"] for subject in binding["subjects"]] == ["User", "ServiceAccount"]
    kubectl("create", "clusterrole", suffix, "--verb=get", "--non-resource-url=/metrics")
    kubectl("create", "clusterrolebinding", suffix, f"--clusterrole={suffix}", "--group=g")
    kubectl("create", "priorityclass", suffix, "--value=7", "--description=text")
    assert kubectl.json("priorityclass", suffix)["preemptionPolicy"] == "PreemptLowerPriority"
    kubectl("delete", f"clusterrole/{suffix}", f"clusterrolebinding/{suffix}", f"priorityclass/{suffix}")
    kubectl("create", "quota", "q", "--hard=configmaps=9")
    kubectl("create", "service", "clusterip", "web", "--tcp=80:8080")
    assert kubectl.json("service", "web")["spec"]["ports"][0]["targetPort"] == 8080
    kubectl("create", "service", "externalname", "other", "--external-name=example.com")
    if kubectl.modern:  # Debian's asks for a version of it that Kubernetes has dropped
        kubectl("create", "pdb", "budget", "--selector=a=b", "--min-available=50%")
        assert kubectl.json("pdb", "budget")["spec"]["minAvailable"] == "50%"
    shown = kubectl.fails("create", "sa", "robot")
    assert 'serviceaccounts "robot" already exists' in shown
    dry = yaml.safe_load(
        kubectl("create", "cm", "dry", "--from-literal=k=v", "--dry-run=server", "-o", "yaml")
    )
    assert dry["metadata"]["uid"]
    assert 'configmaps "dry" not found' in kubectl.fails("get", "cm", "dry")


@pytest.mark.client(
    "kubectl", "create -f: several documents, generateName, validation, unknown fields and kinds"
)
def test_create_reads_manifests(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config_map("a", k="v")))
    (tmp_path / "b.json").write_text(json.dumps(config_map("b", k="v")))
    assert kubectl("create", "-f", tmp_path) == "configmap/a created\nconfigmap/b created\n"
    generated = config_map()
    generated["metadata"] = {"generateName": "some-"}
    name = kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(generated)).strip()
    assert name.startswith("configmap/some-")
    assert len(name) == len("configmap/some-") + 5
    assert 'configmaps "a" already exists' in kubectl.fails("create", "-f", tmp_path / "a.yaml")
    invalid = config_map("Not_A_Name")
    assert (
        'The ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: "Not_A_Name"'
        in kubectl.fails("create", "-f", "-", stdin=json.dumps(invalid))
    )
    unknown = {**config_map("c"), "dta": {}}
    shown = kubectl.fails("create", "-f", "-", stdin=json.dumps(unknown))
    assert 'unknown field "dta"' in shown
    wrong = config_map("c")
    wrong["data"] = {"k": 1}
    shown = kubectl.fails("create", "-f", "-", stdin=json.dumps(wrong))
    assert "data" in shown
    no_kind = {"apiVersion": "v1", "kind": "Gadget", "metadata": {"name": "g"}}
    assert 'no matches for kind "Gadget" in version "v1"' in kubectl.fails(
        "create", "-f", "-", stdin=json.dumps(no_kind)
    )
    assert (
        kubectl("create", "-f", "-", "--validate=false", stdin=json.dumps(unknown)) == "configmap/c created\n"
    )
    if kubectl.modern:
        warned = kubectl.run(
            "create", "-f", "-", "--validate=warn", stdin=json.dumps({**unknown, "metadata": {"name": "d"}})
        )
        assert warned.stderr == 'Warning: unknown field "dta"\n'
        assert warned.stdout == "configmap/d created\n"


@pytest.mark.client("kubectl", "apply: create, change, unchanged, removed fields, --dry-run=client|server")
def test_apply_merges_three_ways(kubectl: Kubectl) -> None:
    assert kubectl.apply(config_map(x="1", y="2")) == "configmap/a created\n"
    assert kubectl.apply(config_map(x="1", y="2")) == "configmap/a unchanged\n"
    kubectl("patch", "cm", "a", "-p", '{"data": {"z": "3"}}')
    assert kubectl.apply(config_map(x="9")) == "configmap/a configured\n"
    assert kubectl.json("cm", "a")["data"] == {"x": "9", "z": "3"}
    document = json.dumps(config_map(x="dry"))
    for mode, words in (("client", "(dry run)"), ("server", "(server dry run)")):
        assert (
            kubectl("apply", "-f", "-", f"--dry-run={mode}", stdin=document)
            == f"configmap/a configured {words}\n"
        )
    assert kubectl.json("cm", "a")["data"]["x"] == "9"
    plain = kubectl.run("create", "cm", "b")
    assert plain.returncode == 0
    warned = kubectl.run("apply", "-f", "-", stdin=json.dumps(config_map("b", x="1")))
    assert "last-applied-configuration" in warned.stderr
    assert "last-applied" not in kubectl("apply", "view-last-applied", "cm/b")
    assert kubectl(
        "apply", "set-last-applied", "-f", "-", stdin=json.dumps(config_map("b", x="1"))
    ).startswith("configmap/b ")


@pytest.mark.client("kubectl", "apply of pods: strategic merge of lists, immutable fields")
def test_apply_merges_lists_by_key(kubectl: Kubectl) -> None:
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {
            "selector": {"a": "b"},
            "ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}],
        },
    }
    kubectl.apply(service)
    kubectl("patch", "svc", "s", "-p", '{"spec": {"ports": [{"name": "z", "port": 82}]}}')
    service["spec"]["ports"] = [{"name": "x", "port": 80, "targetPort": 8080}]
    assert kubectl.apply(service) == "service/s configured\n"
    ports = kubectl.json("svc", "s")["spec"]["ports"]
    assert sorted((p["name"], p["port"], p["targetPort"]) for p in ports) == [("x", 80, 8080), ("z", 82, 82)]
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"nowhere": "yes"}},
    }
    kubectl.apply(pod)
    pod["spec"]["containers"][0]["command"] = ["x"]
    shown = kubectl.fails("apply", "-f", "-", stdin=json.dumps(pod))
    assert 'The Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than' in shown
    pod["spec"]["containers"][0] = {"name": "c", "image": "other"}
    assert kubectl.apply(pod) == "pod/p configured\n"


@pytest.mark.client(
    "kubectl", "apply --server-side: ownership, conflicts, --force-conflicts, --field-manager"
)
def test_server_side_apply_guards_ownership(kubectl: Kubectl) -> None:
    def apply(manager: str, *options: str, code: int = 0, **data: str) -> str:
        done = kubectl.run(
            "apply",
            "--server-side",
            f"--field-manager={manager}",
            "-f",
            "-",
            *options,
            stdin=json.dumps(config_map(**data)),
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert apply("one", x="1", y="1") == "configmap/a serverside-applied\n"
    refused = apply("two", code=1, x="2", y="1")
    assert 'Apply failed with 1 conflict: conflict with "one": .data.x' in refused
    assert "--force-conflicts" in refused
    assert apply("two", "--force-conflicts", x="2", y="1") == "configmap/a serverside-applied\n"
    # One lets go of everything; what two owns too stays.
    apply("one")
    assert kubectl.json("cm", "a")["data"] == {"x": "2", "y": "1"}
    assert "serverside-applied (server dry run)" in apply("two", "--dry-run=server", z="3")
    apply("two", z="3")
    assert kubectl.json("cm", "a")["data"] == {"z": "3"}
    kubectl("patch", "cm", "a", "-p", '{"data": {"z": "4"}}')
    refused = apply("two", code=1, z="3")
    assert 'conflict with "kubectl-patch"' in refused or 'conflict with "kubectl"' in refused


@pytest.mark.client("kubectl", "apply: from client-side to server-side and back")
def test_apply_changes_sides(kubectl: Kubectl) -> None:
    kubectl.apply(config_map(x="1", y="1"))
    document = json.dumps(config_map(x="2"))
    assert kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=document) == (
        "configmap/a serverside-applied\n"
    )
    if kubectl.modern:  # Debian's leaves y to its client-side self
        assert kubectl.json("cm", "a")["data"] == {"x": "2"}
    assert kubectl.apply(config_map(x="3")) == "configmap/a configured\n"
    assert kubectl.json("cm", "a")["data"]["x"] == "3"


@pytest.mark.client("kubectl", "apply --prune by label and by ApplySet")
def test_apply_prunes_what_is_no_longer_given(kubectl: Kubectl) -> None:
    def labelled(name: str) -> Object:
        return {**config_map(name, k="v"), "metadata": {"name": name, "labels": {"app": "x"}}}

    def apply(*names: str) -> str:
        text = documents(*map(labelled, names))
        allowed = (
            "--prune-allowlist=core/v1/ConfigMap" if kubectl.modern else "--prune-whitelist=core/v1/ConfigMap"
        )
        return kubectl("apply", "-f", "-", "--prune", "-l", "app=x", allowed, stdin=text)

    assert apply("a", "b") == "configmap/a created\nconfigmap/b created\n"
    assert "configmap/b pruned" in apply("a")
    assert kubectl("get", "cm", "-l", "app=x", "-o", "name") == "configmap/a\n"
    if not kubectl.modern:
        return

    def apply_set(*names: str) -> str:
        text = documents(*(config_map(name, k="v") for name in names))
        return kubectl("apply", "-f", "-", "--prune", "--applyset=mine", stdin=text, KUBECTL_APPLYSET="true")

    assert "configmap/d created" in apply_set("c", "d")
    assert "configmap/d pruned" in apply_set("c")
    assert 'configmaps "d" not found' in kubectl.fails("get", "cm", "d")
    assert kubectl.json("secret", "mine")["metadata"]["annotations"][
        "applyset.kubernetes.io/contains-group-kinds"
    ]


@pytest.mark.client("kubectl", "diff, client-side and --server-side")
def test_diff_shows_what_apply_would_change(kubectl: Kubectl) -> None:
    kubectl.apply(config_map(x="1"))
    assert kubectl("diff", "-f", "-", stdin=json.dumps(config_map(x="1"))) == ""
    for options in ((), ("--server-side", "--force-conflicts")):
        done = kubectl.run("diff", "-f", "-", *options, stdin=json.dumps(config_map(x="2")))
        assert done.returncode == 1, done.stderr
        assert '-  x: "1"\n+  x: "2"\n' in done.stdout
    new = kubectl.run("diff", "-f", "-", stdin=json.dumps(config_map("new", x="1")))
    assert new.returncode == 1
    assert "+kind: ConfigMap" in new.stdout
    assert kubectl("get", "cm", "new", "--ignore-not-found") == ""


@pytest.mark.client("kubectl", "edit, replace and replace --force")
def test_edit_and_replace_write_whole_objects(kubectl: Kubectl) -> None:
    kubectl.create(config_map(x="1"))
    assert kubectl("edit", "cm", "a", EDITOR="sed -i s/x:.*/x:\\ edited/") == "configmap/a edited\n"
    assert kubectl.json("cm", "a")["data"] == {"x": "edited"}
    assert "Edit cancelled, no changes made." in kubectl.run("edit", "cm", "a", EDITOR="true").stderr
    before = kubectl.json("cm", "a")
    before["data"] = {"x": "replaced"}
    assert kubectl("replace", "-f", "-", stdin=json.dumps(before)) == "configmap/a replaced\n"
    shown = kubectl.fails("replace", "-f", "-", stdin=json.dumps(before))
    assert 'Operation cannot be fulfilled on configmaps "a": the object has been modified' in shown
    missing = kubectl.fails("replace", "-f", "-", stdin=json.dumps(config_map("none")))
    assert 'configmaps "none" not found' in missing
    done = kubectl("replace", "--force", "-f", "-", stdin=json.dumps(config_map(x="anew")))
    assert "deleted" in done
    assert done.endswith("configmap/a replaced\n")
    after = kubectl.json("cm", "a")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.client("kubectl", "patch: strategic, merge and JSON, --subresource, what is refused")
def test_patch_takes_three_forms(kubectl: Kubectl) -> None:
    service = {"spec": {"selector": {"a": "b"}, "ports": [{"name": "x", "port": 80}]}}
    kubectl.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, **service})
    assert kubectl("patch", "svc", "s", "-p", '{"spec": {"ports": [{"port": 80, "targetPort": 1}]}}') == (
        "service/s patched\n"
    )
    assert kubectl.json("svc", "s")["spec"]["ports"][0]["name"] == "x"
    merge = '{"spec": {"ports": [{"name": "y", "port": 81}]}, "metadata": {"labels": {"l": "1"}}}'
    kubectl("patch", "svc", "s", "--type=merge", "-p", merge)
    assert [p["name"] for p in kubectl.json("svc", "s")["spec"]["ports"]] == ["y"]
    kubectl("patch", "svc", "s", "--type=json", "-p", '[{"op": "remove", "path": "/metadata/labels"}]')
    assert "labels" not in kubectl.json("svc", "s")["metadata"]
    assert kubectl("patch", "svc", "s", "-p", "{}") == "service/s patched (no change)\n"
    shown = kubectl.fails("patch", "svc", "s", "--type=json", "-p", '[{"op": "remove", "path": "/none"}]')
    assert "The request is invalid" in shown
    shown = kubectl.fails("patch", "svc", "s", "-p", '{"spec": {"type": "Strange"}}')
    assert 'The Service "s" is invalid' in shown
    assert "spec.type" in shown
    assert 'services "none" not found' in kubectl.fails("patch", "svc", "none", "-p", "{}")
    if kubectl.modern:
        status = '{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}'
        kubectl("patch", "svc", "s", "--subresource=status", "-p", status)
        assert kubectl("get", "svc", "s", "--subresource=status", "-o", "jsonpath={.status.loadBalancer}")


@pytest.mark.client("kubectl", "label and annotate: set, overwrite, remove, by selector, what is refused")
def test_labels_and_annotations_are_written(kubectl: Kubectl) -> None:
    kubectl.create(config_map("a"), config_map("b"))
    assert kubectl("label", "cm", "a", "b", "tier=one") == "configmap/a labeled\nconfigmap/b labeled\n"
    assert "--overwrite is false" in kubectl.fails("label", "cm", "a", "tier=two")
    kubectl("label", "cm", "a", "tier=two", "--overwrite")
    kubectl("label", "cm", "-l", "tier=one", "found=yes")
    assert kubectl("get", "cm", "-l", "found", "-o", "name") == "configmap/b\n"
    kubectl("label", "cm", "a", "tier-")
    assert "labels" not in kubectl.json("cm", "a")["metadata"]
    assert "a valid label must be an empty string or consist of" in kubectl.fails("label", "cm", "a", "x=?")
    assert kubectl("annotate", "cm", "--all", "note=text", "--overwrite").count("annotate") >= 2
    assert "--overwrite is false" in kubectl.fails("annotate", "cm", "a", "note=other")
    kubectl("annotate", "cm", "a", "note-")
    assert "note" not in kubectl.json("cm", "a")["metadata"].get("annotations", {})
    version = kubectl.json("cm", "b")["metadata"]["resourceVersion"]
    stale = kubectl.fails("annotate", "cm", "b", "x=y", "--resource-version=1")
    assert "the object has been modified" in stale
    kubectl("annotate", "cm", "b", "x=y", f"--resource-version={version}")
