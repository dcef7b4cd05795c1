"""The real kubectl against a real server: what users do, through TLS, with nothing of ours in between."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import yaml
from api_server_under_test import Running

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "machines.test.example.com"},
    "spec": {
        "group": "test.example.com",
        "scope": "Namespaced",
        "names": {"plural": "machines", "singular": "machine", "kind": "Machine", "shortNames": ["mach"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [{"name": "Cores", "type": "integer", "jsonPath": ".spec.cores"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "cores": {"type": "integer", "minimum": 1, "default": 1},
                                    "replicas": {"type": "integer"},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            },
            {
                "name": "v1alpha1",
                "served": True,
                "storage": False,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            },
        ],
    },
}


class Kubectl:
    def __init__(self, api: Running, home: Path) -> None:
        self._home = home
        self._config = home / "kubeconfig"
        self._config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {"name": "c", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}
                    ],
                    "users": [{"name": "u", "user": {"token": "admin"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env={"KUBECONFIG": str(self._config), "HOME": str(self._home), "PATH": "/usr/bin:/bin"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, document: object = None) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        text = json.dumps(document).encode() if document is not None else None
        async with asyncio.timeout(60):
            out, err = await process.communicate(text)
        return process.returncode or 0, out.decode(), err.decode()

    async def __call__(self, *arguments: str, document: object = None) -> str:
        code, out, err = await self.run(*arguments, document=document)
        assert code == 0, f"kubectl {arguments}: {out}{err}"
        return out


@pytest.fixture
def kubectl(api: Running, tmp_path: Path) -> Kubectl:
    return Kubectl(api, tmp_path)


def config_map(**data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


async def test_config_map_lives_a_whole_life(kubectl: Kubectl) -> None:
    assert "created" in await kubectl("create", "-f", "-", document=config_map(x="1"))
    assert "a      1" in await kubectl("get", "cm", "a")
    assert "configured" in await kubectl("apply", "-f", "-", document=config_map(x="2", y="3"))
    assert "unchanged" in await kubectl("apply", "-f", "-", document=config_map(x="2", y="3"))
    await kubectl("label", "cm", "a", "color=red")
    await kubectl("patch", "cm", "a", "--type=json", "-p", '[{"op":"remove","path":"/data/y"}]')
    await kubectl("patch", "cm", "a", "-p", '{"data":{"z":"9"}}')
    stored = json.loads(await kubectl("get", "cm", "a", "-o", "json"))
    assert stored["data"] == {"x": "2", "z": "9"}
    assert "red" in await kubectl("get", "cm", "-l", "color=red", "-L", "color")
    assert "deleted" in await kubectl("delete", "cm", "a")
    code, _, err = await kubectl.run("get", "cm", "a")
    assert code == 1
    assert 'configmaps "a" not found' in err


async def test_server_side_apply_reports_conflicts(kubectl: Kubectl) -> None:
    await kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", document=config_map(x="1"))
    code, _, err = await kubectl.run(
        "apply", "--server-side", "--field-manager=two", "-f", "-", document=config_map(x="2")
    )
    assert code == 1
    assert 'conflict with "one": .data.x' in err
    await kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=two",
        "-f",
        "-",
        document=config_map(x="2"),
    )
    assert json.loads(await kubectl("get", "cm", "a", "-o", "json"))["data"] == {"x": "2"}


async def test_custom_resource_is_served_listed_explained_and_cleaned_up(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", document=CRD)
    await kubectl("wait", "--for=condition=Established", "crd/machines.test.example.com", "--timeout=10s")
    machine = {
        "apiVersion": "test.example.com/v1",
        "kind": "Machine",
        "metadata": {"name": "m"},
        "spec": {"replicas": 2},
    }
    await kubectl("apply", "-f", "-", document=machine)
    table = await kubectl("get", "mach")
    assert table.split() == ["NAME", "CORES", "m", "1"]
    assert "cores" in await kubectl("explain", "machine.spec")
    other = json.loads(await kubectl("get", "machines.v1alpha1.test.example.com", "m", "-o", "json"))
    assert other["apiVersion"] == "test.example.com/v1alpha1"
    assert "scaled" in await kubectl("scale", "machine/m", "--replicas=5")
    await kubectl(
        "patch", "mach", "m", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":5}}'
    )
    stored = json.loads(await kubectl("get", "mach", "m", "-o", "json"))
    assert (stored["spec"]["replicas"], stored["status"]["replicas"]) == (5, 5)
    machine["spec"] = {"cores": 0}
    code, _, err = await kubectl.run("apply", "-f", "-", document=machine)
    assert code == 1
    assert "spec.cores in body should be greater than or equal to 1" in err
    machine["spec"] = {"coars": 3}
    code, _, err = await kubectl.run("apply", "-f", "-", document=machine)
    assert code == 1
    assert 'unknown field "spec.coars"' in err
    await kubectl("delete", "crd", "machines.test.example.com", "--timeout=20s")
    assert "machines" not in await kubectl("api-resources", "--cached=false")


async def test_watch_shows_changes_as_they_happen(kubectl: Kubectl) -> None:
    watch = await kubectl.start("get", "cm", "-w", "--output-watch-events")
    assert watch.stdout is not None
    try:
        async with asyncio.timeout(30):
            await kubectl("create", "cm", "a", "--from-literal=x=1")
            await kubectl("delete", "cm", "a")
            seen = b""
            while b"DELETED" not in seen:
                line = await watch.stdout.readline()
                assert line, seen
                seen += line
    finally:
        watch.kill()
        await watch.wait()
    assert b"ADDED" in seen


async def test_namespace_describe_and_api_resources_work(kubectl: Kubectl) -> None:
    await kubectl("create", "ns", "team")
    assert "Active" in await kubectl("describe", "ns", "team")
    listed = await kubectl("api-resources")
    assert "pods" in listed
    assert "customresourcedefinitions" in listed
    assert "Server Version: v1.36" in await kubectl("version")
    assert "yes" in await kubectl("auth", "can-i", "create", "pods")


async def test_pod_on_a_node_is_deleted_gracefully(kubectl: Kubectl) -> None:
    await kubectl("create", "sa", "default")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"},
    }
    await kubectl("create", "-f", "-", document=pod)
    await kubectl("delete", "pod", "p", "--wait=false")
    stored = json.loads(await kubectl("get", "pod", "p", "-o", "json"))
    assert stored["metadata"]["deletionGracePeriodSeconds"] == 30
    await kubectl("delete", "pod", "p", "--grace-period=0", "--force", "--wait=true")
    code, _, _ = await kubectl.run("get", "pod", "p")
    assert code == 1


async def test_dry_run_leaves_nothing_behind(kubectl: Kubectl) -> None:
    await kubectl("create", "cm", "a", "--dry-run=server")
    code, _, _ = await kubectl.run("get", "cm", "a")
    assert code == 1
    await kubectl("create", "cm", "b", "--from-literal=x=1")
    out = await kubectl.run("diff", "-f", "-", document={**config_map(x="2"), "metadata": {"name": "b"}})
    assert '+  x: "2"' in out[1]


async def test_typed_commands_that_send_protobuf_are_understood(kubectl: Kubectl) -> None:
    await kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert json.loads(await kubectl("get", "secret", "s", "-o", "json"))["data"] == {"k": "dg=="}
    await kubectl("create", "sa", "robot")
    assert (await kubectl("create", "token", "robot", "--duration=1h")).count(".") == 2
    await kubectl("create", "role", "r", "--verb=get,list", "--resource=pods")
    await kubectl("create", "rolebinding", "rb", "--role=r", "--serviceaccount=default:robot")
    await kubectl("create", "clusterrole", "cr", "--verb=get", "--non-resource-url=/x")
    await kubectl("create", "clusterrolebinding", "crb", "--clusterrole=cr", "--user=me")
    await kubectl("create", "priorityclass", "high", "--value=7", "--description=text")
    await kubectl("create", "pdb", "budget", "--selector=a=b", "--min-available=50%")
    await kubectl("create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80:8080")
    listed = json.loads(
        await kubectl("get", "role/r", "rolebinding/rb", "pdb/budget", "svc/headless", "-o", "json")
    )
    role, binding, budget, service = listed["items"]
    assert role["rules"] == [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]
    assert budget["spec"]["minAvailable"] == "50%"
    assert service["spec"]["ports"][0]["targetPort"] == 8080
    priority = json.loads(await kubectl("get", "priorityclass", "high", "-o", "json"))
    assert (priority["value"], priority["description"]) == (7, "text")
    assert "admin" in await kubectl("auth", "whoami")
