"""kubectl with Deployments, Jobs and CronJobs: create, scale, roll out, undo, expose."""

from __future__ import annotations

import json

import pytest
from busybox_pod import IMAGE, pod
from client_process import Kubectl, columns

pytestmark = pytest.mark.component

SLEEP = ("--", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")


@pytest.fixture
def shop(kubectl: Kubectl) -> Kubectl:
    """A Deployment `shop` of two pods that is rolled out; its pods end at once."""
    document = json.loads(
        kubectl("create", "deployment", "shop", f"--image={IMAGE}", "--dry-run=client", "-o", "json")
    )
    document["spec"]["replicas"] = 2
    template = document["spec"]["template"]["spec"]
    template["containers"][0]["command"] = list(SLEEP[1:])
    template["terminationGracePeriodSeconds"] = 0
    assert kubectl("apply", "-f", "-", stdin=json.dumps(document)) == "deployment.apps/shop created\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/shop", "--timeout=60s")
    return kubectl


@pytest.mark.client("kubectl", "create deployment; rollout status, history, undo, restart, pause and resume")
def test_deployments_roll_out_and_back(shop: Kubectl) -> None:
    assert columns(shop("get", "deployment", "shop"))[1][:4] == ["shop", "2/2", "2", "2"]
    assert shop("get", "deploy", "shop", "-o", "wide").split()[5:8] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    container = shop("get", "deploy/shop", "-o", "jsonpath={.spec.template.spec.containers[0].name}")
    assert "updated" in shop("set", "env", "deployment/shop", "STEP=two")
    assert "successfully rolled out" in shop("rollout", "status", "deployment/shop", "--timeout=60s")
    history = columns(shop("rollout", "history", "deployment/shop"))
    assert [row[0].split()[0] for row in history if row and row[0][:1].isdigit()] == ["1", "2"]
    assert "STEP:" in shop("rollout", "history", "deployment/shop", "--revision=2")
    assert "rolled back" in shop("rollout", "undo", "deployment/shop")
    shop("rollout", "status", "deployment/shop", "--timeout=60s")
    assert "STEP" not in shop("get", "deploy/shop", "-o", "jsonpath={.spec.template.spec.containers[0].env}")
    assert shop("rollout", "pause", "deployment/shop") == "deployment.apps/shop paused\n"
    shop("set", "image", "deployment/shop", f"{container}=localhost/busybox:latest")
    assert shop.json("deploy", "shop")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert shop("rollout", "resume", "deployment/shop") == "deployment.apps/shop resumed\n"
    shop("rollout", "status", "deployment/shop", "--timeout=60s")
    assert shop("rollout", "restart", "deployment/shop") == "deployment.apps/shop restarted\n"
    shop("rollout", "status", "deployment/shop", "--timeout=60s")
    described = shop("describe", "deployment", "shop")
    assert "2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in described
    assert "NewReplicaSet:" in described
    assert "ScalingReplicaSet" in described


@pytest.mark.client("kubectl", "Deployments: scale, wait, expose, set resources, delete --cascade=orphan")
def test_deployments_are_scaled_and_exposed(shop: Kubectl) -> None:
    assert shop("scale", "deployment/shop", "--replicas=1") == "deployment.apps/shop scaled\n"
    shop("wait", "deployment/shop", "--for=condition=Available", "--timeout=60s")
    assert "updated" in shop("set", "resources", "deployment/shop", "--limits=memory=64Mi")
    shop("rollout", "status", "deployment/shop", "--timeout=60s")
    assert shop("expose", "deployment", "shop", "--port=80", "--target-port=8080") == "service/shop exposed\n"
    assert shop("get", "svc", "shop", "-o", "jsonpath={.spec.selector.app}") == "shop"
    everything = shop("get", "all", "-o", "name")
    for name in ("deployment.apps/shop", "service/shop", "replicaset.apps/shop-", "pod/shop-"):
        assert name in everything
    shop("delete", "deployment", "shop", "--cascade=orphan")
    sets = shop("get", "rs", "-o", "name").split()
    assert sets
    shop("delete", *sets, "--cascade=foreground", "--timeout=60s")
    assert shop("get", "pods", "-o", "name") == ""


@pytest.mark.client("kubectl", "create job, cronjob and job --from=cronjob; wait and logs of a job")
def test_jobs_run_to_their_end(kubectl: Kubectl) -> None:
    image = f"--image={IMAGE}"
    assert kubectl("create", "job", "once", image, "--", "echo", "hello") == "job.batch/once created\n"
    kubectl("wait", "job/once", "--for=condition=Complete", "--timeout=60s")
    assert kubectl("logs", "job/once") == "hello\n"
    row = columns(kubectl("get", "job", "once"))[1]
    assert "1/1" in row
    assert "Pods Statuses:" in kubectl("describe", "job", "once")
    kubectl("create", "job", "fails", image, "--", "false")
    kubectl("patch", "job", "fails", "-p", '{"spec": {"backoffLimit": 0}}')
    kubectl("wait", "job/fails", "--for=condition=Failed", "--timeout=60s")
    if kubectl.modern:  # Debian's asks for a version of it that Kubernetes has dropped
        kubectl("create", "cronjob", "often", image, "--schedule=0 0 1 1 *", "--", "echo", "again")
        assert "0 0 1 1 *" in kubectl("get", "cronjob", "often")
        kubectl("create", "job", "now", "--from=cronjob/often")
        kubectl("wait", "job/now", "--for=condition=Complete", "--timeout=60s")
        assert kubectl("logs", "job/now") == "again\n"
    kubectl("delete", "job", "once", "--timeout=60s")
    assert kubectl("get", "pods", "-l", "job-name=once", "-o", "name") == ""


@pytest.mark.client("kubectl", "drain of a node with a PodDisruptionBudget in the way; uncordon")
def test_drain_respects_budgets(kubectl: Kubectl, admin: Kubectl) -> None:
    if kubectl.version == (1, 36):
        pytest.skip("takes its time, and 1.37 does the same")
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    kubectl.create(pod("alone", "sleep", "1000"))
    kubectl("wait", "pod/alone", "--for=condition=Ready", "--timeout=60s")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "alone"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "alone"}}},
    }
    kubectl.create(budget)
    settled = ("pdb/alone", "-n", kubectl.namespace, "--for=jsonpath={.status.currentHealthy}=1")
    admin("wait", *settled, "--timeout=30s")
    try:
        refused = kubectl.fails("drain", node, "--pod-selector=app=alone", "--force", "--timeout=6s")
        assert "Cannot evict pod as it would violate the pod's disruption budget" in refused
        kubectl("delete", "pdb", "alone")
        kubectl("drain", node, "--pod-selector=app=alone", "--force", "--timeout=60s")
        assert kubectl("get", "pod", "alone", "--ignore-not-found") == ""
    finally:
        kubectl("uncordon", node)


@pytest.mark.client("kubectl", "rollout status, history, restart and undo of StatefulSets and DaemonSets")
def test_sets_roll_out_and_back(kubectl: Kubectl) -> None:
    container = {"name": "main", "image": IMAGE, "command": list(SLEEP[1:])}
    template = {
        "metadata": {"labels": {"app": "set"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"selector": {"matchLabels": {"app": "set"}}, "template": template}
    meta = {"metadata": {"name": "set"}}
    kubectl.create(
        {"apiVersion": "apps/v1", "kind": "StatefulSet", **meta, "spec": {"serviceName": "set", **spec}},
        {"apiVersion": "apps/v1", "kind": "DaemonSet", **meta, "spec": spec},
    )
    for kind in ("statefulset", "daemonset"):
        kubectl("rollout", "status", f"{kind}/set", "--timeout=60s")
        kubectl("set", "env", f"{kind}/set", "STEP=two")
        kubectl("rollout", "status", f"{kind}/set", "--timeout=60s")
        history = kubectl("rollout", "history", f"{kind}/set").split()
        assert "1" in history
        assert "2" in history
        assert "rolled back" in kubectl("rollout", "undo", f"{kind}/set")
        kubectl("rollout", "status", f"{kind}/set", "--timeout=60s")
        assert kubectl("get", f"{kind}/set", "-o", "jsonpath={.spec.template.spec.containers[0].env}") == ""
        assert "restarted" in kubectl("rollout", "restart", f"{kind}/set")
        kubectl("rollout", "status", f"{kind}/set", "--timeout=60s")
    assert kubectl("get", "pod", "set-0").split()[6] == "1/1"
