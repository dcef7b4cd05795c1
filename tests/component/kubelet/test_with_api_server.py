"""The whole kubelet behind the real API server, seen with kubectl."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from busybox_image import busybox_image
from edgevirt.engine import kubelet as engine_kubelet
from edgevirt.engine.apiserver import server as api_server
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.engine.pki.identity import role_uri
from edgevirt.kube import kubeconfig
from edgevirt.storage.images.store import ImageStore

from .conftest import make_settings, manifest

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.port = free_port()
        self.admin = base / "admin.conf"
        self.settings: Settings

    def prepare(self) -> api_server.Settings:
        """Certificates and kubeconfigs; returns the API server's settings."""
        pki = self.base / "pki"
        ca = Authority.load_or_create(pki)
        (pki / "ca.pem").write_bytes(ca.cert_pem)
        server = f"https://127.0.0.1:{self.port}"
        admin = ca.issue("admin", groups=["system:masters"], client=True)
        kubeconfig.write(self.admin, server, ca.cert_pem, admin.cert_pem, admin.key_pem)
        node = ca.issue("system:node:node", groups=["system:nodes"], client=True)
        kubeconfig.write(self.base / "node.conf", server, ca.cert_pem, node.cert_pem, node.key_pem)
        serving = write_leaf(pki, "api", ca.issue("api", ips=["127.0.0.1"], server=True))
        calling = write_leaf(pki, "to-kubelet", ca.issue("api", uris=[role_uri("apiserver")], client=True))
        kubelet = write_leaf(pki, "kubelet", ca.issue("kubelet", ips=["127.0.0.1"], server=True))
        self.settings = dataclasses.replace(
            make_settings(self.base),
            kubeconfig=self.base / "node.conf",
            port=free_port(),
            certificate=kubelet[0],
            key=kubelet[1],
            client_ca=pki / "ca.pem",
        )
        return api_server.Settings(
            data_dir=self.base / "data",
            address="127.0.0.1",
            port=self.port,
            certificate=serving[0],
            key=serving[1],
            client_ca=pki / "ca.pem",
            kubelet_ca=pki / "ca.pem",
            kubelet_certificate=calling[0],
            kubelet_key=calling[1],
        )

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            "--kubeconfig",
            str(self.admin),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.base)},
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    api_settings = cluster.prepare()
    images = ImageStore(cluster.settings.images_root)
    await images.import_oci(busybox_image(tmp_path / "busybox"), "localhost/busybox")
    await images.close()
    ready, started = asyncio.Event(), asyncio.Event()
    server = asyncio.create_task(api_server.run(api_settings, ready))
    await asyncio.wait_for(ready.wait(), 20)
    node = asyncio.create_task(engine_kubelet.run(cluster.settings, started))
    waiter = asyncio.create_task(started.wait())
    await asyncio.wait({node, waiter}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    if node.done():
        await node
    assert started.is_set()
    for kind, name in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")):
        body: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
        if kind == "ConfigMap":
            body["data"] = {"ca.crt": "none"}
        await cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))  # else a controller's work
    yield cluster
    await cluster.kubectl("delete", "pods", "--all", "--grace-period=0", "--timeout=20s")
    for task in (node, server):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def document(name: str, *command: str, **spec: Any) -> str:
    body = manifest(name, *command, **spec)
    del body["metadata"]["uid"]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **body})


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
