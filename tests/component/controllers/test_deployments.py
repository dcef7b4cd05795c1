"""Deployments from kubectl to ready pods: rollout, history, undo, pause, scale, cascading deletion."""

from __future__ import annotations

import shutil

import pytest
from small_cluster import SmallCluster

from edgevirt.api.apps import Deployment, ReplicaSet
from edgevirt.api.core import Pod
from edgevirt.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def names(pods: tuple[Pod, ...], app: str) -> list[str]:
    return [pod.metadata.name for pod in pods if pod.metadata.labels.get("app") == app]


async def test_a_deployment_lives_a_whole_life(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "web", "--image=nginx:1")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await cluster.kubectl("scale", "deployment/web", "--replicas=3")
    await cluster.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await cluster.kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    history = await cluster.kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    pods = await cluster.until_all(PODS, lambda all_: len(names(all_, "web")) == 3)
    images = {p.spec.containers[0].image for p in pods if p.spec and p.metadata.labels.get("app") == "web"}
    assert images == {"nginx:2"}
    await cluster.kubectl("rollout", "undo", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    found = await cluster.json("get", "deployment", "web")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert "Conditions:" in await cluster.kubectl("describe", "deployment", "web")
    await cluster.kubectl("rollout", "restart", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    await cluster.kubectl("delete", "deployment", "web")
    await cluster.until_all(PODS, lambda all_: not names(all_, "web"))


async def test_a_paused_deployment_waits_until_it_is_resumed(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "calm", "--image=nginx:1")
    await cluster.kubectl("rollout", "status", "deployment/calm", "--timeout=30s")
    await cluster.kubectl("rollout", "pause", "deployment/calm")
    await cluster.kubectl("set", "image", "deployment/calm", "nginx=nginx:2")

    def paused(one: Deployment | None) -> bool:
        status = one.status if one is not None else None
        return status is not None and any(c.reason == "DeploymentPaused" for c in status.conditions)

    await cluster.until(DEPLOYMENTS, "calm", paused)
    sets = await cluster.json("get", "replicasets", "-l", "app=calm")
    assert len(sets["items"]) == 1
    await cluster.kubectl("rollout", "resume", "deployment/calm")
    await cluster.kubectl("rollout", "status", "deployment/calm", "--timeout=30s")
    sets = await cluster.json("get", "replicasets", "-l", "app=calm")
    assert len(sets["items"]) == 2


async def test_deleting_without_cascade_leaves_orphans_which_a_namesake_adopts(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "left", "--image=nginx:1")
    await cluster.kubectl("rollout", "status", "deployment/left", "--timeout=30s")
    (before,) = (await cluster.json("get", "replicasets", "-l", "app=left"))["items"]
    await cluster.kubectl("delete", "deployment", "left", "--cascade=orphan")

    def orphaned(all_: tuple[ReplicaSet, ...]) -> bool:
        return any(
            one.metadata.uid == before["metadata"]["uid"] and not one.metadata.owner_references
            for one in all_
        )

    await cluster.until_all(REPLICA_SETS, orphaned)
    await cluster.kubectl("create", "deployment", "left", "--image=nginx:1")
    await cluster.kubectl("rollout", "status", "deployment/left", "--timeout=30s")
    (after,) = (await cluster.json("get", "replicasets", "-l", "app=left"))["items"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
    await cluster.kubectl("delete", "deployment", "left", "--cascade=foreground")
    await cluster.until_all(PODS, lambda all_: not names(all_, "left"))


async def test_a_rollout_that_makes_no_progress_times_out(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "stuck", "--image=slow:1")
    await cluster.kubectl("patch", "deployment", "stuck", "-p", '{"spec":{"progressDeadlineSeconds":1}}')
    code, _, err = await cluster.run("rollout", "status", "deployment/stuck", "--timeout=30s")
    assert code == 1
    assert 'deployment "stuck" exceeded its progress deadline' in err
    await cluster.kubectl("delete", "deployment", "stuck")


async def test_recreating_never_runs_two_versions_at_once(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "single", "--image=nginx:1")
    strategy = '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'
    await cluster.kubectl("patch", "deployment", "single", "-p", strategy)
    await cluster.kubectl("rollout", "status", "deployment/single", "--timeout=30s")
    await cluster.kubectl("set", "image", "deployment/single", "nginx=nginx:2")
    await cluster.kubectl("rollout", "status", "deployment/single", "--timeout=30s")
    pods = (await cluster.json("get", "pods", "-l", "app=single"))["items"]
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["nginx:2"]
