"""Deployments, Jobs and a DaemonSet with the real kubelet and runtime, and controllers that are restarted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgevirt.engine import controllers, scheduler
from edgevirt.engine.pki.authority import Authority
from edgevirt.kube import kubeconfig

from .cluster_under_test import Cluster, running_cluster

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]

IMAGE = "localhost/busybox"
STEADY = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


@contextlib.asynccontextmanager
async def control_plane(cluster: Cluster) -> AsyncIterator[None]:
    """Controllers and scheduler beside the cluster's API server."""
    pki = cluster.base / "pki"
    ca, server = Authority.load_or_create(pki), f"https://127.0.0.1:{cluster.port}"
    for user in ("kube-controller-manager", "kube-scheduler"):
        leaf = ca.issue(f"system:{user}", client=True)
        path = cluster.base / f"{user}.conf"
        kubeconfig.write(path, server, ca.cert_pem, leaf.cert_pem, leaf.key_pem)
    settings = controllers.Settings(cluster.base / "kube-controller-manager.conf", pki / "ca.pem")
    ready = [asyncio.Event(), asyncio.Event()]
    tasks = [
        asyncio.create_task(controllers.run(settings, ready[0])),
        asyncio.create_task(
            scheduler.run(scheduler.Settings(cluster.base / "kube-scheduler.conf"), ready[1])
        ),
    ]
    try:
        async with asyncio.timeout(30):
            for event in ready:
                await event.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path) as cluster:
        yield cluster


def workload(kind: str, name: str, **spec: Any) -> str:
    container = {
        "name": "c",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", STEADY],
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2},
    }
    selector = {"matchLabels": {"app": name}}
    document = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}}
    return json.dumps({**document, "spec": {"selector": selector, "template": template, **spec}})


async def test_workloads_run_roll_and_end_on_the_real_node(cluster: Cluster) -> None:
    async with control_plane(cluster):
        await cluster.kubectl("create", "-f", "-", stdin=workload("Deployment", "web", replicas=2))
        await cluster.kubectl("create", "-f", "-", stdin=workload("DaemonSet", "agent"))
        await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
        await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=40s")
        await cluster.kubectl("set", "env", "deployment/web", "VERSION=2")
    # The rollout has begun, and nobody watches it: whoever comes next finishes it.
    async with control_plane(cluster):
        await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
        pods = json.loads(await cluster.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        assert len(living) == 2
        assert {pod["spec"]["containers"][0]["env"][0]["value"] for pod in living} == {"2"}
        command = ["--image", IMAGE, "--", "sh", "-c", "echo counted"]
        await cluster.kubectl("create", "job", "once", *command)
        await cluster.kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=40s")
        assert await cluster.kubectl("logs", "job/once") == "counted\n"
        await cluster.kubectl("delete", "deployment,daemonset,job", "--all", "--cascade=foreground")
        await cluster.kubectl("wait", "--for=delete", "pods", "--all", "--timeout=40s")
        assert not (await cluster.kubectl("get", "replicasets,pods", "-o", "name")).strip()
