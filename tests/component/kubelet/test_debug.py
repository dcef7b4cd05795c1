"""Ephemeral containers: kubectl debug, what they see, what becomes of them, what is refused."""

from __future__ import annotations

import asyncio
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
PATH = "/api/v1/namespaces/default/pods/p/ephemeralcontainers"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        command = ("sh", "-c", "trap exit TERM; while true; do sleep 0.1; done")
        await cluster.kubectl("create", "-f", "-", stdin=document("p", *command))
        await cluster.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
        yield cluster


async def debug(cluster: Cluster, name: str, *command: str, target: str = "") -> None:
    options = ["--image=localhost/busybox", "--image-pull-policy=IfNotPresent", f"--container={name}"]
    options += [f"--target={target}"] if target else []
    await cluster.kubectl("debug", "p", "--profile=legacy", *options, "--", *command)


async def ended(cluster: Cluster, name: str) -> dict[str, object]:
    status = f".status.ephemeralContainerStatuses[?(@.name=='{name}')]"
    condition = f"jsonpath={{{status}.state.terminated.exitCode}}"
    await cluster.kubectl("wait", "pod/p", f"--for={condition}", "--timeout=20s")
    pod = json.loads(await cluster.kubectl("get", "pod", "p", "-o", "json"))
    (told,) = [one for one in pod["status"]["ephemeralContainerStatuses"] if one["name"] == name]
    found: dict[str, object] = told["state"]["terminated"]
    return found


async def test_a_debugger_sees_the_processes_of_its_target_and_the_pods_network(cluster: Cluster) -> None:
    address = await cluster.kubectl("get", "pod", "p", "-o", "jsonpath={.status.podIP}")
    script = "cat /proc/1/cmdline | tr '\\0' ' '; ip -o addr; exit 3"
    await debug(cluster, "look", "sh", "-c", script, target="main")
    assert (await ended(cluster, "look"))["exitCode"] == 3
    shown = await cluster.kubectl("logs", "p", "-c", "look")
    assert "trap exit TERM" in shown
    assert address in shown
    phase = await cluster.kubectl("get", "pod", "p", "-o", "jsonpath={.status.phase}")
    assert phase == "Running", "what a debugger ends with is of no weight"


async def test_commands_run_in_a_debugger_and_it_is_never_restarted(cluster: Cluster) -> None:
    await debug(cluster, "stay", "sh", "-c", "until test -e /tmp/go; do sleep 0.05; done")
    path = "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='stay')].state.running.startedAt}"
    await cluster.kubectl("wait", "pod/p", f"--for={path}", "--timeout=20s")
    await cluster.kubectl("exec", "p", "-c", "stay", "--", "touch", "/tmp/go")
    assert (await ended(cluster, "stay"))["exitCode"] == 0


async def test_a_debugger_may_be_talked_to(cluster: Cluster) -> None:
    options = ("--profile=legacy", "--image=localhost/busybox", "--image-pull-policy=IfNotPresent")
    command = ("sh", "-c", "read x; echo got $x")
    process = await cluster.spawn("debug", "-i", "p", *options, "--container=talk", "--", *command)
    async with asyncio.timeout(30):
        out, err = await process.communicate(b"it\n")
    assert b"got it" in out, err


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"name": "x"}, 422, "spec.ephemeralContainers[0].image: Required value"),
        ({"name": "main", "image": "i"}, 422, 'spec.ephemeralContainers[0].name: Duplicate value: "main"'),
        ({"name": "x", "image": "i", "targetContainerName": "y"}, 422, 'targetContainerName: Not found: "y"'),
        (
            {"name": "x", "image": "i", "ports": [{"containerPort": 1}]},
            422,
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ],
)
async def test_what_cannot_be_added_is_refused(
    cluster: Cluster, patch: dict[str, object], code: int, message: str
) -> None:
    body = {"spec": {"ephemeralContainers": [patch]}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    async with cluster.request("PATCH", PATH, data=json.dumps(body), headers=headers) as answer:
        found = await answer.json()
    assert (found["code"], found["reason"]) == (code, "Invalid")
    assert message in found["message"]


async def test_debuggers_cannot_be_changed_removed_or_slipped_in(cluster: Cluster) -> None:
    await debug(cluster, "fixed", "true")
    for patch in (
        [{"op": "remove", "path": "/spec/ephemeralContainers"}],
        [{"op": "replace", "path": "/spec/ephemeralContainers/0/image", "value": "other"}],
    ):
        headers = {"Content-Type": "application/json-patch+json"}
        async with cluster.request("PATCH", PATH, data=json.dumps(patch), headers=headers) as answer:
            assert answer.status == 422
            assert "existing ephemeral containers" in (await answer.json())["message"]
    added = [{"op": "remove", "path": "/spec/ephemeralContainers"}]
    main = PATH.removesuffix("/ephemeralcontainers")
    async with cluster.request("PATCH", main, data=json.dumps(added), headers=headers) as answer:
        assert answer.status == 422
        assert "pod updates may not change fields other than" in (await answer.json())["message"]
    body = json.loads(document("born", "true"))
    body["spec"]["ephemeralContainers"] = [{"name": "x", "image": "i"}]
    code, _, err = await cluster.run("create", "-f", "-", stdin=json.dumps(body).encode())
    assert code == 1
    assert b"spec.ephemeralContainers: Forbidden: cannot be set on create" in err
