"""The whole kubelet behind the real API server, seen with kubectl."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .cluster_under_test import Cluster, document, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path) as cluster:
        yield cluster


async def test_pod_lives_from_create_to_delete_under_kubectl(cluster: Cluster) -> None:
    assert " Ready " in await cluster.kubectl("get", "nodes", "--no-headers")
    lease = await cluster.kubectl("get", "lease", "-n", "kube-node-lease", "node", "-o", "name")
    assert lease.strip() == "lease.coordination.k8s.io/node"
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    command = f"echo hello $(/bin/busybox head -c 3 {token}); while true; do sleep 0.1; done"
    spec = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": True}
    await cluster.kubectl("create", "-f", "-", stdin=document("p", "sh", "-c", command, **spec))
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    assert await cluster.kubectl("logs", "p") == "hello eyJ\n"
    stamped = await cluster.kubectl("logs", "p", "--timestamps", "--tail=1")
    assert stamped.startswith("20")
    assert stamped.endswith("Z hello eyJ\n")
    events = await cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    assert "Started" in events
    await cluster.kubectl("delete", "pod", "p", "--timeout=20s")
    assert list(cluster.settings.pods_dir.iterdir()) == []


async def test_exit_code_reaches_kubectl(cluster: Cluster) -> None:
    await cluster.kubectl("create", "-f", "-", stdin=document("q", "sh", "-c", "echo done; exit 4"))
    await cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/q", "--timeout=20s")
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    assert await cluster.kubectl("get", "pod", "q", "-o", path) == "4"
    assert await cluster.kubectl("logs", "q", "--follow") == "done\n"
    await cluster.kubectl("delete", "pod", "q", "--timeout=20s")
