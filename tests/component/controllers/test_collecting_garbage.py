"""Owners and dependents on the real API server: foreground, background, orphans, cycles, absent owners."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from small_cluster import SmallCluster

from edgevirt.api.resources import CONFIG_MAPS, SECRETS

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def reference(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **more,
    }


async def make(cluster: SmallCluster, kind: str, name: str, *owners: dict[str, Any], **meta: Any) -> Any:
    document = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "ownerReferences": list(owners), **meta},
    }
    return json.loads(await cluster.kubectl("create", "-f", "-", "-o", "json", stdin=document))


async def test_two_kinds_that_own_each_other_can_both_be_deleted(cluster: SmallCluster) -> None:
    first = await make(cluster, "ConfigMap", "hen")
    second = await make(cluster, "Secret", "egg", reference(first, blockOwnerDeletion=True))
    owners = {"metadata": {"ownerReferences": [reference(second, blockOwnerDeletion=True)]}}
    await cluster.kubectl("patch", "cm", "hen", "--type=merge", "-p", json.dumps(owners))
    await cluster.kubectl("delete", "cm", "hen", "--cascade=foreground", "--timeout=30s")
    await cluster.until(SECRETS, "egg", lambda one: one is None)
    await cluster.until(CONFIG_MAPS, "hen", lambda one: one is None)


async def test_a_foreground_deletion_waits_for_a_dependent_that_is_held(cluster: SmallCluster) -> None:
    owner = await make(cluster, "ConfigMap", "waiting")
    await make(
        cluster,
        "Secret",
        "held",
        reference(owner, blockOwnerDeletion=True),
        finalizers=["example.com/hold"],
    )
    await cluster.kubectl("delete", "cm", "waiting", "--cascade=foreground", "--wait=false")
    await cluster.until(
        SECRETS, "held", lambda one: one is not None and bool(one.metadata.deletion_timestamp)
    )
    kept = await cluster.json("get", "cm", "waiting")
    assert kept["metadata"]["finalizers"] == ["foregroundDeletion"]
    free = json.dumps({"metadata": {"finalizers": None}})
    await cluster.kubectl("patch", "secret", "held", "--type=merge", "-p", free)
    await cluster.until(CONFIG_MAPS, "waiting", lambda one: one is None)


async def test_orphans_outlive_their_owner_and_a_second_owner_keeps_what_it_owns(
    cluster: SmallCluster,
) -> None:
    gone = await make(cluster, "ConfigMap", "gone")
    stays = await make(cluster, "ConfigMap", "stays")
    await make(cluster, "Secret", "orphan", reference(gone))
    await make(cluster, "Secret", "shared", reference(gone), reference(stays))
    await cluster.kubectl("delete", "cm", "gone", "--cascade=orphan")
    await cluster.until(SECRETS, "orphan", lambda one: one is not None and not one.metadata.owner_references)
    left = await cluster.until(
        SECRETS, "shared", lambda one: one is not None and len(one.metadata.owner_references) == 1
    )
    assert left is not None
    assert left.metadata.owner_references[0].name == "stays"
    await cluster.kubectl("delete", "cm", "stays", "--cascade=background")
    await cluster.until(SECRETS, "shared", lambda one: one is None)
    assert (await cluster.json("get", "secret", "orphan"))["metadata"]["name"] == "orphan"


async def test_an_owner_that_never_was_takes_its_dependent_along(cluster: SmallCluster) -> None:
    never = {
        "kind": "ConfigMap",
        "metadata": {"name": "never", "uid": "0d7a2e0e-0000-4000-8000-000000000000"},
    }
    await make(cluster, "Secret", "lost", reference(never))
    await cluster.until(SECRETS, "lost", lambda one: one is None)
