"""Resource metrics: kubectl top, the API group, who may read it, and the kubelet's own endpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .cluster_under_test import Cluster, document, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
    pytest.mark.asyncio(loop_scope="module"),
]
GROUP = "/apis/metrics.k8s.io/v1beta1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        busy = "while :; do :; done"
        held = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); touch /tmp/held; while true; do sleep 1; done"
        limited = {"resources": {"limits": {"cpu": "200m"}}}
        probed = {"readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/held"]}, "periodSeconds": 1}}
        for name, script, container in (("busy", busy, limited), ("held", held, probed)):
            body = document(name, "sh", "-c", script, terminationGracePeriodSeconds=0, container=container)
            await cluster.kubectl("create", "-f", "-", stdin=body)
            await cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=20s")
        await cluster.kubectl("label", "pod", "held", "what=memory")
        yield cluster


async def test_top_shows_what_pods_and_nodes_use(cluster: Cluster) -> None:
    lines = (await cluster.kubectl("top", "pods", "--no-headers")).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert set(rows) == {"busy", "held"}
    cpu, memory = int(rows["busy"][0].removesuffix("m")), int(rows["held"][1].removesuffix("Mi"))
    assert 100 <= cpu <= 320, "of the 200m it is limited to"
    assert 15 <= memory <= 120
    assert int(rows["held"][0].removesuffix("m")) < 100
    (line,) = (await cluster.kubectl("top", "nodes", "--no-headers")).splitlines()
    name, used, _, _, _ = line.split()
    assert name == "node"
    assert int(used.removesuffix("m")) >= 50
    containers = await cluster.kubectl("top", "pod", "held", "--containers", "--no-headers")
    assert containers.split()[:2] == ["held", "main"]


async def test_selectors_and_tables_work(cluster: Cluster) -> None:
    shown = await cluster.kubectl("get", "pods.metrics.k8s.io", "-l", "what=memory")
    header, row = shown.splitlines()
    assert header.split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    assert row.startswith("held ")
    assert row.endswith("s")
    status, text = await cluster.get(f"{GROUP}/namespaces/default/pods?fieldSelector=metadata.name%3Dbusy")
    assert [item["metadata"]["name"] for item in json.loads(text)["items"]] == ["busy"]
    assert (status, json.loads(text)["kind"]) == (200, "PodMetricsList")


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("namespaces/default/pods/none", 404, 'podmetrics.metrics.k8s.io "default/none" not found'),
        ("nodes/none", 404, 'nodemetrics.metrics.k8s.io "none" not found'),
        ("nodes?watch=true", 405, "the server does not allow this method"),
    ],
)
async def test_what_is_not_measured_is_not_found(
    cluster: Cluster, path: str, code: int, message: str
) -> None:
    status, text = await cluster.get(f"{GROUP}/{path}")
    assert (status, json.loads(text)["code"]) == (code, code)
    assert message in json.loads(text)["message"]


async def test_clients_find_the_group_as_where_a_metrics_server_runs(cluster: Cluster) -> None:
    path = "jsonpath={.status.conditions[?(@.type=='Available')].status}"
    assert await cluster.kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "-o", path) == "True"
    listed = (await cluster.kubectl("api-resources", "--api-group=metrics.k8s.io", "--no-headers")).split()
    assert {"NodeMetrics", "PodMetrics"} <= set(listed)
    explained = await cluster.kubectl("explain", "pods", "--api-version=metrics.k8s.io/v1beta1")
    assert "PodMetrics" in explained


async def test_who_may_view_may_see_usage(cluster: Cluster) -> None:
    status, _ = await cluster.get(f"{GROUP}/namespaces/default/pods", user="viewer")
    assert status == 403
    role = json.loads(
        await cluster.kubectl("get", "clusterrole", "system:aggregated-metrics-reader", "-o", "json")
    )
    for name in ("view", "edit", "admin"):
        assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"
    await cluster.kubectl("create", "clusterrolebinding", "viewer", "--clusterrole=view", "--user=viewer")
    status, _ = await cluster.get(f"{GROUP}/namespaces/default/pods", user="viewer")
    assert status == 200


async def test_the_kubelet_publishes_counters(cluster: Cluster) -> None:
    status, text = await cluster.get("/api/v1/nodes/node/proxy/metrics/resource")
    assert status == 200
    assert 'container_memory_working_set_bytes{container="main",namespace="default",pod="held"} ' in text
    status, text = await cluster.get("/api/v1/nodes/node/proxy/stats/summary")
    found = json.loads(text)
    assert found["node"]["nodeName"] == "node"
    assert {pod["podRef"]["name"] for pod in found["pods"]} == {"busy", "held"}


async def test_a_node_that_does_not_answer_is_left_out(cluster: Cluster) -> None:
    lost = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "lost"},
        "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    }
    lost["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 1}}  # type: ignore[index]
    await cluster.kubectl("create", "-f", "-", stdin=json.dumps(lost))
    status, text = await cluster.get(f"{GROUP}/nodes")
    assert (status, [item["metadata"]["name"] for item in json.loads(text)["items"]]) == (200, ["node"])
