"""StatefulSets, DaemonSets, Jobs and CronJobs from kubectl to their end."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from small_cluster import NODE, SmallCluster

from edgevirt.api.apps import DaemonSet, StatefulSet
from edgevirt.api.batch import Job
from edgevirt.api.core import Pod
from edgevirt.api.resources import DAEMON_SETS, JOBS, NODES, PODS, STATEFUL_SETS

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def pod_template(app: str, image: str = "nginx:1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": pod_template(name),
            **spec,
        },
    }


def job(name: str, command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", command]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def holds(one: Job | None, kind: str) -> bool:
    conditions = one.status.conditions if one is not None and one.status is not None else ()
    return any(c.type == kind and c.status == "True" for c in conditions)


def mine(pods: tuple[Pod, ...], app: str) -> list[Pod]:
    return [pod for pod in pods if pod.metadata.labels.get("app") == app]


async def test_a_stateful_set_makes_its_pods_in_order_and_updates_them_backwards(
    cluster: SmallCluster,
) -> None:
    await cluster.kubectl(
        "apply", "-f", "-", stdin=workload("StatefulSet", "db", replicas=3, serviceName="db")
    )
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=30s")
    pods = sorted(
        (await cluster.json("get", "pods", "-l", "app=db"))["items"], key=lambda p: p["metadata"]["name"]
    )
    assert [pod["metadata"]["name"] for pod in pods] == ["db-0", "db-1", "db-2"]
    assert pods[1]["spec"]["hostname"] == "db-1"
    assert pods[1]["spec"]["subdomain"] == "db"
    created = [int(pod["metadata"]["resourceVersion"]) for pod in pods]
    assert created == sorted(created)
    patch = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}
    await cluster.kubectl("patch", "statefulset", "db", "-p", json.dumps(patch))
    await cluster.kubectl("set", "image", "statefulset/db", "c=nginx:2")

    def updated(expected: list[str]) -> Any:
        def look(all_: tuple[Pod, ...]) -> bool:
            found = sorted(mine(all_, "db"), key=lambda pod: pod.metadata.name)
            return [p.spec.containers[0].image if p.spec else "" for p in found] == expected

        return look

    await cluster.until_all(PODS, updated(["nginx:1", "nginx:1", "nginx:2"]))
    patch["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0
    await cluster.kubectl("patch", "statefulset", "db", "-p", json.dumps(patch))
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=30s")
    await cluster.until_all(PODS, updated(["nginx:2"] * 3))

    def complete(one: StatefulSet | None) -> bool:
        status = one.status if one is not None else None
        return status is not None and status.current_revision == status.update_revision != ""

    await cluster.until(STATEFUL_SETS, "db", complete)
    assert "2" in await cluster.kubectl("rollout", "history", "statefulset/db")
    await cluster.kubectl("rollout", "undo", "statefulset/db")
    await cluster.until_all(PODS, updated(["nginx:1"] * 3))
    await cluster.kubectl("scale", "statefulset/db", "--replicas=1")
    pods_left = await cluster.until_all(PODS, lambda all_: len(mine(all_, "db")) == 1)
    assert mine(pods_left, "db")[0].metadata.name == "db-0"
    await cluster.kubectl("delete", "statefulset", "db")
    await cluster.until_all(PODS, lambda all_: not mine(all_, "db"))


async def test_a_stateful_set_gives_every_pod_its_claim(cluster: SmallCluster) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    await cluster.kubectl(
        "apply",
        "-f",
        "-",
        stdin=workload(
            "StatefulSet",
            "kept",
            podManagementPolicy="Parallel",
            replicas=2,
            volumeClaimTemplates=[claim],
            persistentVolumeClaimRetentionPolicy=policy,
        ),
    )
    pods = await cluster.until_all(PODS, lambda all_: len(mine(all_, "kept")) == 2)
    spec = mine(pods, "kept")[0].spec
    assert spec is not None
    volume = next(one for one in spec.volumes if one.name == "data")
    assert volume.persistent_volume_claim is not None
    assert volume.persistent_volume_claim.claim_name.startswith("data-kept-")
    claims = (await cluster.json("get", "pvc", "-l", "app=kept"))["items"]
    assert {one["metadata"]["name"] for one in claims} == {"data-kept-0", "data-kept-1"}
    assert {one["status"]["phase"] for one in claims} == {"Pending"}, "nothing here provides volumes"
    await cluster.kubectl("delete", "statefulset", "kept")
    await cluster.until_all(PODS, lambda all_: not mine(all_, "kept"))


async def test_a_daemon_set_runs_on_our_node_as_its_taints_allow(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("DaemonSet", "agent"))
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")
    (pod,) = (await cluster.json("get", "pods", "-l", "app=agent"))["items"]
    assert pod["spec"]["nodeName"] == NODE
    await cluster.kubectl("set", "image", "daemonset/agent", "c=nginx:2")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=30s")
    assert "2" in await cluster.kubectl("rollout", "history", "daemonset/agent")
    await cluster.kubectl("taint", "node", NODE, "off=limits:NoExecute")

    def desired(count: int) -> Any:
        def look(one: DaemonSet | None) -> bool:
            return (
                one is not None
                and one.status is not None
                and one.status.desired_number_scheduled == count
                and one.status.current_number_scheduled == count
            )

        return look

    await cluster.until(DAEMON_SETS, "agent", desired(0))
    await cluster.until_all(PODS, lambda all_: not mine(all_, "agent"))
    await cluster.kubectl("taint", "node", NODE, "off-")
    await cluster.until(DAEMON_SETS, "agent", desired(1))
    await cluster.kubectl("delete", "daemonset", "agent")


async def test_a_job_runs_to_its_completions_and_counts_every_pod_once(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "job", "one", "--image=busybox", "--", "sh", "-c", "exit 0")
    await cluster.kubectl("wait", "--for=condition=Complete", "job/one", "--timeout=30s")
    await cluster.kubectl("apply", "-f", "-", stdin=job("many", "exit 0", completions=5, parallelism=2))
    done = await cluster.until(JOBS, "many", lambda one: holds(one, "Complete"))
    assert done is not None
    assert done.status is not None
    assert done.status.succeeded == 5
    assert not done.status.failed
    assert done.status.completion_time
    listing = await cluster.kubectl("get", "jobs", "many")
    assert "Complete" in listing
    assert "5/5" in listing
    pods = (await cluster.json("get", "pods", "-l", "job-name=many"))["items"]
    assert len(pods) == 5
    assert not any(pod["metadata"].get("finalizers") for pod in pods)
    await cluster.kubectl("delete", "job", "many", "one")
    await cluster.until_all(
        PODS, lambda all_: not any(p.metadata.labels.get("job-name") == "many" for p in all_)
    )


async def test_an_indexed_job_gives_every_pod_its_number(cluster: SmallCluster) -> None:
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    await cluster.kubectl("apply", "-f", "-", stdin=job("numbered", "exit 0", **spec))
    done = await cluster.until(JOBS, "numbered", lambda one: holds(one, "Complete"))
    assert done is not None
    assert done.status is not None
    assert done.status.completed_indexes == "0-2"


async def test_a_job_that_fails_too_often_is_failed(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=job("broken", "exit 3", backoffLimit=0))
    failed = await cluster.until(JOBS, "broken", lambda one: holds(one, "Failed"))
    assert failed is not None
    assert failed.status is not None
    (reason,) = [c.reason for c in failed.status.conditions if c.type == "Failed"]
    assert reason == "BackoffLimitExceeded"
    assert failed.status.failed == 1
    code, _, err = await cluster.run("wait", "--for=condition=Complete", "job/broken", "--timeout=1s")
    assert code != 0, err


async def test_a_job_past_its_deadline_is_failed_and_its_pods_ended(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=job("long", "sleep inf", activeDeadlineSeconds=1))
    failed = await cluster.until(JOBS, "long", lambda one: holds(one, "Failed"))
    assert failed is not None
    assert failed.status is not None
    assert {c.reason for c in failed.status.conditions} == {"DeadlineExceeded"}
    await cluster.until_all(
        PODS, lambda all_: not any(p.metadata.labels.get("job-name") == "long" for p in all_)
    )


async def test_a_suspended_job_waits_and_a_finished_one_expires(cluster: SmallCluster) -> None:
    spec = {"suspend": True, "ttlSecondsAfterFinished": 0}
    await cluster.kubectl("apply", "-f", "-", stdin=job("later", "exit 0", **spec))
    await cluster.until(JOBS, "later", lambda one: holds(one, "Suspended"))
    assert not (await cluster.json("get", "pods", "-l", "job-name=later"))["items"]
    await cluster.kubectl("patch", "job", "later", "-p", '{"spec":{"suspend":false}}')
    await cluster.until(JOBS, "later", lambda one: one is None)


async def test_suspending_a_running_job_costs_it_no_failure(cluster: SmallCluster) -> None:
    spec = {"parallelism": 2, "completions": 2, "backoffLimit": 0}
    await cluster.kubectl("apply", "-f", "-", stdin=job("paused", "sleep inf", **spec))

    def running(one: Job | None) -> bool:
        return one is not None and one.status is not None and one.status.ready == 2

    await cluster.until(JOBS, "paused", running)
    await cluster.kubectl("patch", "job", "paused", "-p", '{"spec":{"suspend":true}}')
    await cluster.until_all(
        PODS, lambda all_: not any(p.metadata.labels.get("job-name") == "paused" for p in all_)
    )
    suspended = await cluster.until(JOBS, "paused", lambda one: holds(one, "Suspended"))
    assert suspended is not None
    assert suspended.status is not None
    assert not suspended.status.failed
    await cluster.kubectl("patch", "job", "paused", "-p", '{"spec":{"suspend":false}}')
    await cluster.until(JOBS, "paused", running)
    await cluster.kubectl("delete", "job", "paused")


async def test_orphaned_pods_of_a_job_are_held_by_nothing(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=job("left", "sleep inf"))

    def made(all_: tuple[Pod, ...]) -> list[Pod]:
        return [pod for pod in all_ if pod.metadata.labels.get("job-name") == "left"]

    await cluster.until_all(PODS, lambda all_: bool(made(all_)) and bool(made(all_)[0].metadata.finalizers))
    await cluster.kubectl("delete", "job", "left", "--cascade=orphan")
    pods = await cluster.until_all(PODS, lambda all_: not any(p.metadata.finalizers for p in made(all_)))
    (orphan,) = made(pods)
    assert not orphan.metadata.owner_references
    await cluster.kubectl("delete", "pod", orphan.metadata.name, "--timeout=20s")


async def test_a_cron_job_makes_jobs_and_lends_its_template(cluster: SmallCluster) -> None:
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {"schedule": "@every 1s", "jobTemplate": {"spec": job("tick", "exit 0")["spec"]}},
    }
    await cluster.kubectl("create", "-f", "-", stdin=cron)
    await cluster.until_all(JOBS, lambda all_: any(j.metadata.name.startswith("tick-") for j in all_))
    await cluster.kubectl("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    if await cluster.speaks_batch_v1():
        await cluster.kubectl("create", "job", "now", "--from=cronjob/tick")
        await cluster.kubectl("wait", "--for=condition=Complete", "job/now", "--timeout=30s")
    assert "@every 1s" in await cluster.kubectl("get", "cronjob", "tick")
    await cluster.kubectl("delete", "cronjob", "tick")
    await cluster.until(JOBS, "now", lambda one: one is None)


async def test_the_node_is_drained_of_what_somebody_runs_elsewhere(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("Deployment", "guest"))
    await cluster.kubectl("rollout", "status", "deployment/guest", "--timeout=30s")
    (pod,) = (await cluster.json("get", "pods", "-l", "app=guest"))["items"]
    await cluster.kubectl("drain", NODE, "--force", "--ignore-daemonsets", "--timeout=30s")
    node = await cluster.client.get(NODES, NODE)
    assert node.spec is not None
    assert node.spec.unschedulable
    pods = await cluster.until_all(
        PODS, lambda all_: [p.metadata.uid for p in mine(all_, "guest")] != [pod["metadata"]["uid"]]
    )
    assert all(p.spec is not None and not p.spec.node_name for p in mine(pods, "guest"))
    await cluster.kubectl("uncordon", NODE)
    await cluster.kubectl("rollout", "status", "deployment/guest", "--timeout=30s")
    await cluster.kubectl("delete", "deployment", "guest")
