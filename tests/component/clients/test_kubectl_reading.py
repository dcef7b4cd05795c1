"""kubectl get in all its forms: what tables, selectors, pages and watches look like to a user."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from client_process import Client, Kubectl, columns

pytestmark = pytest.mark.component


@pytest.fixture
def fruits(kubectl: Kubectl) -> Kubectl:
    """Three config maps with labels, made in another order than their names'."""
    for name, color in (("cherry", "red"), ("apple", "red"), ("banana", "yellow")):
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "labels": {"color": color, "length": str(len(name))}},
                "data": {"name": name},
            }
        )
    return kubectl


@pytest.mark.client("kubectl", "get: table, wide, yaml, json, name, jsonpath, go-template, custom-columns")
def test_get_shows_objects_in_every_output(fruits: Kubectl) -> None:
    table = columns(fruits("get", "configmaps"))
    assert table[0] == ["NAME", "DATA", "AGE"]
    assert [row[:2] for row in table[1:]] == [
        ["apple", "1"],
        ["banana", "1"],
        ["cherry", "1"],
        ["kube-root-ca.crt", "1"],
    ]
    assert columns(fruits("get", "cm/apple", "-o", "wide"))[0] == ["NAME", "DATA", "AGE"]
    assert fruits("get", "cm", "apple", "-o", "name") == "configmap/apple\n"
    assert "kind: ConfigMap" in fruits("get", "cm", "apple", "-o", "yaml").splitlines()
    assert fruits.json("cm", "apple")["data"] == {"name": "apple"}
    assert fruits("get", "cm", "-o", "jsonpath={.items[*].data.name}", "-l", "color") == "apple banana cherry"
    template = "{{range .items}}{{.metadata.name}},{{end}}"
    assert fruits("get", "cm", "-o", f"go-template={template}", "-l", "color=red") == "apple,cherry,"
    shown = fruits(
        "get", "cm", "-l", "color", "-o", "custom-columns=FRUIT:.data.name,COLOR:.metadata.labels.color"
    )
    assert columns(shown) == [["FRUIT", "COLOR"], ["apple", "red"], ["banana", "yellow"], ["cherry", "red"]]
    assert fruits("get", "cm", "-l", "color=yellow", "--no-headers").split()[:2] == ["banana", "1"]


@pytest.mark.client("kubectl", "get: -l, --field-selector, --sort-by, -A, --show-labels, -L, --chunk-size")
def test_get_selects_sorts_and_pages(fruits: Kubectl, admin: Kubectl) -> None:
    names = ("-o", "jsonpath={.items[*].metadata.name}")
    assert fruits("get", "cm", "-l", "color in (red),length!=5", *names) == "cherry"
    assert fruits("get", "cm", "-l", "!color", *names) == "kube-root-ca.crt"
    assert fruits("get", "cm", "--field-selector=metadata.name=banana", *names) == "banana"
    assert (
        fruits("get", "cm", "--field-selector=metadata.name!=banana", "-l", "color", *names) == "apple cherry"
    )
    refusal = fruits.fails("get", "cm", "--field-selector=data.name=apple")
    assert '"data.name" is not a known field selector: only "metadata.name", "metadata.namespace"' in refusal
    by_length = fruits("get", "cm", "-l", "color", "--sort-by=.metadata.labels.length", "--no-headers")
    assert [line.split()[0] for line in by_length.splitlines()] in (
        ["apple", "banana", "cherry"],
        ["apple", "cherry", "banana"],
    )
    by_age = fruits("get", "cm", "-l", "color", "--sort-by=.metadata.resourceVersion", "--no-headers")
    assert [line.split()[0] for line in by_age.splitlines()] == ["cherry", "apple", "banana"]
    everywhere = columns(fruits("get", "cm", "-A"))
    assert everywhere[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert [fruits.namespace, "apple"] in [row[:2] for row in everywhere]
    assert ["kube-system", "kube-root-ca.crt"] in [row[:2] for row in everywhere]
    labels = columns(fruits("get", "cm", "banana", "--show-labels", "-L", "color"))
    assert labels == [
        ["NAME", "DATA", "AGE", "COLOR", "LABELS"],
        ["banana", "1", labels[1][2], "yellow", "color=yellow,length=6"],
    ]
    pages = fruits.run("get", "cm", "--chunk-size=1", "-v=6")
    assert len(columns(pages.stdout)) == 5
    assert pages.stderr.count("limit=1") == 4
    assert pages.stderr.count("continue=") == 3


@pytest.mark.client("kubectl", "get: several kinds, files, raw paths, what is not there")
def test_get_reads_several_kinds_and_tells_what_is_missing(fruits: Kubectl) -> None:
    shown = fruits("get", "cm/apple", "sa/default", "ns/" + fruits.namespace)
    assert "configmap/apple " in shown
    assert "serviceaccount/default " in shown
    assert f"namespace/{fruits.namespace} " in shown
    manifest = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "apple"}}'
    assert fruits("get", "-f", "-", "-o", "name", stdin=manifest) == "configmap/apple\n"
    assert fruits("get", "--raw", "/healthz") == "ok"
    assert '"kind":"ConfigMapList"' in fruits(
        "get", "--raw", f"/api/v1/namespaces/{fruits.namespace}/configmaps"
    )
    assert fruits.fails("get", "cm", "fig") == 'Error from server (NotFound): configmaps "fig" not found\n'
    assert fruits("get", "cm", "fig", "--ignore-not-found") == ""
    assert fruits.fails("get", "gadgets") == 'error: the server doesn\'t have a resource type "gadgets"\n'
    assert fruits.run("get", "secrets").stderr == f"No resources found in {fruits.namespace} namespace.\n"


@pytest.mark.client("kubectl", "get --watch, --output-watch-events: tables, names, jsonpath, by selector")
def test_get_watches(fruits: Kubectl, admin: Kubectl) -> None:
    get = ("get", "cm", "--output-watch-events")
    with (
        fruits.started(*get, "-w", "-l", "color=red") as table,
        fruits.started("get", "cm", "-w", "-o", "name") as names,
        fruits.started("get", "cm", "apple", "-w", "-o", "jsonpath={.data.name}{'\\n'}") as one,
    ):
        assert table.until("EVENT").split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert table.until("apple").split()[:3] == ["ADDED", "apple", "1"]
        assert table.until("cherry").split()[:3] == ["ADDED", "cherry", "1"]
        assert one.until("apple") == "apple"
        fruits("patch", "cm", "apple", "-p", '{"data": {"name": "pome", "more": ""}}')
        assert one.until("pome") == "pome"
        assert table.until("apple").split()[:3] == ["MODIFIED", "apple", "2"]
        fruits("label", "cm", "banana", "color=red", "--overwrite")
        assert table.until("banana").split()[:3] == ["ADDED", "banana", "1"]
        fruits("label", "cm", "cherry", "color=black", "--overwrite")
        assert table.until("cherry").split()[:3] == ["DELETED", "cherry", "1"]
        fruits("delete", "cm", "banana")
        assert table.until("banana").split()[:3] == ["DELETED", "banana", "1"]
        names.until("configmap/banana")


@pytest.mark.client(
    "kubectl", "api-resources, api-versions, version, cluster-info, with and without its cache"
)
def test_the_server_introduces_itself(kubectl: Kubectl) -> None:
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "rbac.authorization.k8s.io/v1", "kubevirt.io/v1"} <= set(versions)
    table = columns(kubectl("api-resources", "--cached=false"))
    assert table[0][:2] == ["NAME", "SHORTNAMES"]
    assert ["configmaps", "cm", "v1", "true", "ConfigMap"] in table
    assert ["virtualmachines", "vm,vms", "kubevirt.io/v1", "true", "VirtualMachine"] in table
    names = kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    assert "nodes" in names
    assert "customresourcedefinitions.apiextensions.k8s.io" in names
    assert "configmaps" not in names
    assert kubectl("api-resources", "--api-group=policy", "-o", "name") == "poddisruptionbudgets.policy\n"
    assert "is running at" in kubectl("cluster-info")
    version = kubectl.run("version", "-o", "json")
    assert '"serverVersion"' in version.stdout
    # With its cache it asks for nothing but the object.
    requests = kubectl.run("get", "cm", "-v=6").stderr
    assert requests.count("GET https://") == requests.count("GET ") <= 1 or requests.count('verb="GET"') == 1


@pytest.mark.client("kubectl", "explain, also --recursive, of built-in and custom kinds")
def test_explain_tells_of_every_field(kubectl: Kubectl) -> None:
    pod = kubectl("explain", "pod")
    assert "KIND:       Pod" in pod or "KIND:     Pod" in pod
    assert "spec" in pod
    container = kubectl("explain", "pods.spec.containers.resources")
    assert "limits" in container
    assert "requests" in container
    everything = kubectl("explain", "pod", "--recursive")
    assert "terminationGracePeriodSeconds" in everything
    assert "preStop" in everything
    machine = kubectl("explain", "vm.spec", "--recursive")
    assert "runStrategy" in machine
    assert "containerDisk" in machine
    assert "does not exist" in kubectl.fails("explain", "pod.spec.nonsense")
    if kubectl.modern:
        assert "preStop" in kubectl("explain", "pod", "--recursive", "--output=plaintext-openapiv2")


@pytest.mark.client("kubectl", "explain of every kind that the server has; describe of all objects of a kind")
def test_every_kind_can_be_explained_and_described(kubectl: Kubectl) -> None:
    rows = [line.split() for line in kubectl("api-resources", "--verbs=list", "--no-headers").splitlines()]
    kinds = [(row[0], row[-3]) for row in rows]
    assert ("pods", "v1") in kinds
    if not kubectl.modern:  # Debian's finds only the first of two kinds whose plural is the same
        kinds = list({plural: (plural, version) for plural, version in reversed(kinds)}.values())
    for plural, api_version in kinds:
        # In its name alone kubectl takes a kind's group for another's, or for a field.
        explained = kubectl("explain", plural, f"--api-version={api_version}")
        assert "FIELDS:" in explained, plural
        assert "metadata" in explained, plural
    described = kubectl("describe", "nodes,namespaces,crds,apiservices,clusterroles,priorityclasses")
    assert "CustomResourceDefinition" in described


@pytest.mark.client("kubectl", "proxy; apply, get and delete -k with a generator")
def test_proxy_and_kustomize_work(fruits: Kubectl, tmp_path: Path) -> None:
    with fruits.started("proxy", "--port=0") as proxy:
        port = proxy.until("Starting to serve on").rpartition(":")[2]
        path = f"http://127.0.0.1:{port}/api/v1/namespaces/{fruits.namespace}/configmaps/apple"
        with urllib.request.urlopen(path, timeout=20) as answer:
            assert json.load(answer)["data"] == {"name": "apple"}
    (tmp_path / "kustomization.yaml").write_text(
        f"namespace: {fruits.namespace}\nconfigMapGenerator: [{{name: made, literals: [a=b]}}]\n"
    )
    assert "created" in fruits("apply", "-k", tmp_path)
    assert fruits("get", "-k", tmp_path, "-o", "jsonpath={.data.a}") == "b"
    assert "deleted" in fruits("delete", "-k", tmp_path)


@pytest.mark.client("kubectl", "completion of kinds and names from the server; get --watch-only")
def test_the_shell_completes_and_watches_only(fruits: Kubectl) -> None:
    if not fruits.modern:
        pytest.skip("Debian's completes in the shell, by other commands")
    where = ("-n", fruits.namespace)
    bare = Client((fruits.program,), fruits.environment)  # no options may stand before the command here
    assert "apple" in bare("__complete", "get", "configmaps", *where, "a").splitlines()
    assert "configmaps" in bare("__complete", "get", "config").splitlines()
    with fruits.started("get", "cm", "--watch-only", "-v=6") as watch:
        watch.until("watch=true")
        fruits("label", "cm", "apple", "seen=yes")
        assert watch.until("apple ").split()[0] == "apple"
    assert not any(line.startswith("banana") for line in watch.seen)
