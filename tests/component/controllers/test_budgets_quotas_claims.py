"""Evictions within budgets, usage of quotas, claims in use, and namespaces that end."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from small_cluster import NODE, SmallCluster

from edgevirt.api.core import PersistentVolumeClaim, ResourceQuota
from edgevirt.api.policy import PodDisruptionBudget
from edgevirt.api.resources import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RESOURCE_QUOTAS,
)
from edgevirt.kube import errors

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def budget(name: str, app: str, **bound: Any) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}, **bound},
    }


def allows(count: int) -> Any:
    def look(one: PodDisruptionBudget | None) -> bool:
        status = one.status if one is not None else None
        return status is not None and status.disruptions_allowed == count and bool(status.expected_pods)

    return look


async def test_an_eviction_waits_for_the_budget_and_says_why(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "guarded", "--image=nginx:1", "--replicas=2")
    await cluster.kubectl("rollout", "status", "deployment/guarded", "--timeout=30s")
    await cluster.kubectl("create", "-f", "-", stdin=budget("guard", "guarded", minAvailable=2))
    await cluster.until(POD_DISRUPTION_BUDGETS, "guard", allows(0))
    pods = (await cluster.json("get", "pods", "-l", "app=guarded"))["items"]
    name = pods[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    with pytest.raises(errors.TooManyRequests) as refused:
        await cluster.client.create_subresource(PODS, name, "eviction", eviction, namespace="default")
    assert refused.value.code == 429
    assert str(refused.value) == "Cannot evict pod as it would violate the pod's disruption budget."
    details = refused.value.status.details
    assert details is not None
    assert [(cause.reason, cause.message) for cause in details.causes] == [
        ("DisruptionBudget", "The disruption budget guard needs 2 healthy pods and has 2 currently")
    ]
    await cluster.kubectl("scale", "deployment/guarded", "--replicas=3")
    await cluster.until(POD_DISRUPTION_BUDGETS, "guard", allows(1))
    await cluster.client.create_subresource(PODS, name, "eviction", eviction, namespace="default")
    await cluster.until_all(PODS, lambda all_: name not in [p.metadata.name for p in all_])
    assert "ALLOWED DISRUPTIONS" in await cluster.kubectl("get", "pdb", "guard")
    await cluster.kubectl("delete", "pdb", "guard")
    await cluster.kubectl("delete", "deployment", "guarded")


async def test_percentages_are_of_what_the_deployment_wants(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "share", "--image=nginx:1", "--replicas=4")
    await cluster.kubectl("rollout", "status", "deployment/share", "--timeout=30s")
    await cluster.kubectl("create", "-f", "-", stdin=budget("share", "share", maxUnavailable="50%"))
    await cluster.until(POD_DISRUPTION_BUDGETS, "share", allows(2))
    await cluster.kubectl("delete", "pdb/share", "deployment/share")


def uses(**amounts: str) -> Any:
    def look(one: ResourceQuota | None) -> bool:
        status = one.status if one is not None else None
        return status is not None and {name: status.used.get(name) for name in amounts} == amounts

    return look


async def test_a_quota_counts_what_comes_and_what_goes(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "namespace", "small")
    hard = "--hard=configmaps=3,pods=2,count/deployments.apps=1"
    await cluster.kubectl("create", "quota", "q", hard, "-n", "small")
    await cluster.until(RESOURCE_QUOTAS, "q", uses(configmaps="1", pods="0"), namespace="small")
    await cluster.kubectl("create", "configmap", "a", "-n", "small")
    await cluster.until(RESOURCE_QUOTAS, "q", uses(configmaps="2"), namespace="small")
    await cluster.kubectl("delete", "configmap", "a", "-n", "small")
    await cluster.until(RESOURCE_QUOTAS, "q", uses(configmaps="1"), namespace="small")
    await cluster.kubectl("create", "deployment", "d", "--image=nginx", "--replicas=3", "-n", "small")
    full = uses(**{"pods": "2", "count/deployments.apps": "1"})
    await cluster.until(RESOURCE_QUOTAS, "q", full, namespace="small")
    code, _, err = await cluster.run("create", "deployment", "e", "--image=nginx", "-n", "small")
    assert code == 1
    assert "exceeded quota: q, requested: count/deployments.apps=1" in err
    assert "configmaps" in await cluster.kubectl("describe", "quota", "q", "-n", "small")
    await cluster.kubectl("delete", "namespace", "small", "--timeout=30s")
    await cluster.until(NAMESPACES, "small", lambda one: one is None)


async def test_a_claim_stays_while_a_pod_mounts_it(cluster: SmallCluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    user = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "user"},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "c", "image": "nginx:1"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "kept"}}],
        },
    }
    await cluster.kubectl("create", "-f", "-", stdin=claim)
    await cluster.kubectl("create", "-f", "-", stdin=user)
    await cluster.kubectl("delete", "pvc", "kept", "--wait=false")

    def ending(one: PersistentVolumeClaim | None) -> bool:
        return one is not None and bool(one.metadata.deletion_timestamp)

    await cluster.until(PERSISTENT_VOLUME_CLAIMS, "kept", ending)
    assert "Terminating" in await cluster.kubectl("get", "pvc", "kept")
    await cluster.kubectl("delete", "pod", "user")
    await cluster.until(PERSISTENT_VOLUME_CLAIMS, "kept", lambda one: one is None)


async def test_a_namespace_held_by_a_finalizer_says_what_remains(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "namespace", "held")
    holder = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "h", "namespace": "held", "finalizers": ["example.com/hold"]},
    }
    await cluster.kubectl("create", "-f", "-", stdin=holder)
    await cluster.kubectl("delete", "namespace", "held", "--wait=false")

    def told(one: Any) -> bool:
        conditions = one.status.conditions if one is not None and one.status is not None else ()
        return any(c.type == "NamespaceFinalizersRemaining" and c.status == "True" for c in conditions)

    found = await cluster.until(NAMESPACES, "held", told)
    assert found is not None
    assert found.status is not None
    messages = {c.type: c.message for c in found.status.conditions}
    assert "example.com/hold in 1 resource instances" in messages["NamespaceFinalizersRemaining"]
    await cluster.kubectl(
        "patch", "cm", "h", "-n", "held", "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}})
    )
    await cluster.until(NAMESPACES, "held", lambda one: one is None)
