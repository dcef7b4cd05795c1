"""The whole kubelet behind the real API server, as clients see it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from busybox_image import busybox_image
from edgevirt.engine import kubelet as engine_kubelet
from edgevirt.engine.apiserver import server as api_server
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.engine.pki.identity import role_uri
from edgevirt.kube import kubeconfig
from edgevirt.storage.images.store import ImageStore

from .conftest import make_settings, manifest


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
        self.certificates: dict[str, tuple[Path, Path]] = {}

    def prepare(self) -> api_server.Settings:
        """Certificates and kubeconfigs; returns the API server's settings."""
        pki = self.base / "pki"
        ca = Authority.load_or_create(pki)
        (pki / "ca.pem").write_bytes(ca.cert_pem)
        server = f"https://127.0.0.1:{self.port}"
        admin = ca.issue("admin", groups=["system:masters"], client=True)
        for user in ("viewer", "system:node:node"):
            groups = ["system:nodes"] if user.startswith("system:node") else []
            certificate = ca.issue(user, groups=groups, client=True)
            self.certificates[user] = write_leaf(pki, user.replace(":", "-"), certificate)
        self.certificates["admin"] = write_leaf(pki, "admin", admin)
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
        code, out, err = await self.run(*arguments, stdin=stdin.encode())
        assert code == 0, err.decode()
        return out.decode()

    async def run(
        self, *arguments: str, stdin: bytes = b"", program: str = "kubectl", env: Mapping[str, str] = {}
    ) -> tuple[int, bytes, bytes]:
        """Exit code, output and error output."""
        process = await self.spawn(*arguments, program=program, env=env)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out, err

    async def spawn(
        self, *arguments: str, program: str = "kubectl", env: Mapping[str, str] = {}, **stdio: Any
    ) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            program,
            "--kubeconfig",
            str(self.admin),
            *arguments,
            **{"stdin": pipe, "stdout": pipe, "stderr": pipe, **stdio},
            env={"PATH": os.environ["PATH"], "HOME": str(self.base), **env},
        )

    async def get(self, path: str, upgrade: str = "", user: str = "admin") -> tuple[int, str]:
        """Status and body of a plain GET."""
        headers = {"Connection": "Upgrade", "Upgrade": upgrade} if upgrade else {}
        headers["X-Stream-Protocol-Version"] = "v4.channel.k8s.io"
        async with self.request("GET", path, user=user, headers=headers) as answer:
            return answer.status, await answer.text()

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, path: str, user: str = "admin", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request as the user of a certificate of this cluster."""
        url = f"https://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, URL(url, encoded=True), ssl=self.tls(user), allow_redirects=False, **options
            ) as answer,
        ):
            yield answer

    def tls(self, user: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.base / "pki" / "ca.pem"))
        context.load_cert_chain(*self.certificates[user])
        return context


@contextlib.asynccontextmanager
async def running_cluster(base: Path) -> AsyncIterator[Cluster]:
    """API server and kubelet with the busybox image; pods are deleted at the end."""
    cluster = Cluster(base)
    api_settings = cluster.prepare()
    images = ImageStore(cluster.settings.images_root)
    await images.import_oci(busybox_image(base / "busybox"), "localhost/busybox")
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
