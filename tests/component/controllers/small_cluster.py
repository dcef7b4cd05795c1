"""The real API server, controllers and scheduler, with a kubelet that only pretends.

The pretended kubelet reports every pod of its node as running and ready at once, ends those whose command is
`exit N`, gives each an address, and lets deleted pods go: what controllers have to see, without a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from edgevirt.api.core import Pod
from edgevirt.api.meta import Resource
from edgevirt.api.resources import NODES, PODS
from edgevirt.engine import controllers, scheduler
from edgevirt.engine.apiserver import server as api_server
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.kube import errors, kubeconfig
from edgevirt.kube.client import Client
from edgevirt.kube.clock import timestamp
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import split_key

NODE = "box"
T = TypeVar("T")


class PretendedKubelet:
    """One node, always ready. Pods whose image contains "slow" never become ready."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pods: Informer[Pod] = Informer(client, PODS, field_selector=f"spec.nodeName={NODE}")
        self._work: asyncio.Queue[str] = asyncio.Queue()
        self._addresses = 0
        self._pods.add_handler(self._changed)

    async def run(self, started: asyncio.Event) -> None:
        node = {
            "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}},
            "spec": {},
        }
        await self._client.create(NODES, node)
        await self._client.patch(NODES, NODE, self._status(), subresource="status")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pods.run())
            await self._pods.synced()
            started.set()
            while True:
                await self._act(await self._work.get())

    def _status(self) -> dict[str, Any]:
        now = timestamp(self._client.clock.now())
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        room = {"cpu": "64", "memory": "64Gi", "pods": "500"}
        return {"status": {"conditions": [ready], "capacity": room, "allocatable": room}}

    def _changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None:
            self._work.put_nowait(f"{new.metadata.namespace}/{new.metadata.name}")

    async def _act(self, key: str) -> None:
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        if pod is None:
            return
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            if pod.metadata.deletion_timestamp:
                await self._client.delete(
                    PODS, name, namespace=namespace, grace_period_seconds=0, uid=pod.metadata.uid
                )
            elif pod.status is None or pod.status.phase in ("", "Pending"):
                status = {"status": self._pod_status(pod)}
                await self._client.patch(PODS, name, status, namespace=namespace, subresource="status")

    def _pod_status(self, pod: Pod) -> dict[str, Any]:
        assert pod.spec is not None
        self._addresses += 1
        address = f"10.9.{self._addresses // 250}.{self._addresses % 250 + 1}"
        now = timestamp(self._client.clock.now())
        container = pod.spec.containers[0]
        words = re.search(r"exit (\d+)", " ".join((*container.command, *container.args)))
        ready = words is None and "slow" not in container.image
        state: dict[str, Any] = {"running": {"startedAt": now}}
        phase = "Running"
        if words is not None:
            code = int(words.group(1))
            phase = "Failed" if code else "Succeeded"
            state = {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}}
        conditions = [
            {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now}
            for kind in ("Ready", "ContainersReady")
        ]
        return {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [
                *conditions,
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
            ],
            "containerStatuses": [
                {
                    "name": container.name,
                    "image": container.image,
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }


class SmallCluster:
    """A client of the administrator, and kubectl."""

    def __init__(self, client: Client, config: Path, kubectl: str = "kubectl") -> None:
        self.client = client
        self.config = config
        self._kubectl = kubectl

    async def run(self, *arguments: str, stdin: Any = None) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            self._kubectl,
            f"--kubeconfig={self.config}",
            f"--cache-dir={self.config.parent / 'cache'}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        body = stdin if isinstance(stdin, str) else json.dumps(stdin) if stdin is not None else ""
        async with asyncio.timeout(60):
            out, err = await process.communicate(body.encode())
        return process.returncode or 0, out.decode(), err.decode()

    async def kubectl(self, *arguments: str, stdin: Any = None) -> str:
        """What kubectl prints; it must succeed."""
        code, out, err = await self.run(*arguments, stdin=stdin)
        assert code == 0, f"kubectl {' '.join(arguments)}: {out}{err}"
        return out

    async def speaks_batch_v1(self) -> bool:
        """kubectl before 1.21 makes jobs from cron jobs of batch/v1beta1 only, which is gone."""
        found = json.loads(await self.kubectl("version", "--client", "-o", "json"))
        return int(re.sub(r"\D", "", found["clientVersion"]["minor"])) >= 21

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.kubectl(*arguments, "-o", "json"))

    async def until(
        self,
        resource: Resource[T],
        name: str,
        holds: Callable[[T | None], bool],
        namespace: str = "default",
        timeout: float = 30.0,
    ) -> T | None:
        """The object as soon as `holds(object)`, with None for one that is not there; by watching."""
        informer = Informer(self.client, resource, namespace=namespace if resource.namespaced else None)
        reached = asyncio.Event()
        where = namespace if resource.namespaced else ""

        def look(old: T | None, new: T | None) -> None:
            if informer.has_synced and holds(informer.get(name, where)):
                reached.set()

        informer.add_handler(look)
        task = asyncio.create_task(informer.run())
        try:
            async with asyncio.timeout(timeout):
                await informer.synced()
                if not holds(informer.get(name, where)):
                    await reached.wait()
        except TimeoutError:
            raise AssertionError(f"{resource.kind} {name} is {informer.get(name, where)}") from None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return informer.get(name, where)

    async def until_all(
        self,
        resource: Resource[T],
        holds: Callable[[tuple[T, ...]], bool],
        namespace: str = "default",
        timeout: float = 30.0,
    ) -> tuple[T, ...]:
        """All objects of a kind as soon as `holds(objects)`."""
        informer = Informer(self.client, resource, namespace=namespace)
        reached = asyncio.Event()

        def look(old: T | None, new: T | None) -> None:
            if informer.has_synced and holds(tuple(informer.items())):
                reached.set()

        informer.add_handler(look)
        task = asyncio.create_task(informer.run())
        try:
            async with asyncio.timeout(timeout):
                await informer.synced()
                if not holds(tuple(informer.items())):
                    await reached.wait()
        except TimeoutError:
            raise AssertionError(f"{resource.plural} are {tuple(informer.items())}") from None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return tuple(informer.items())


@contextlib.asynccontextmanager
async def small_cluster(base: Path, kubectl: str = "kubectl") -> AsyncIterator[SmallCluster]:
    pki = base / "pki"
    ca = Authority.load_or_create(pki)
    (pki / "ca.pem").write_bytes(ca.cert_pem)
    serving = write_leaf(pki, "api", ca.issue("api", ips=["127.0.0.1"], server=True))
    server = api_server.ApiServer(
        api_server.Settings(
            data_dir=base / "data",
            address="127.0.0.1",
            port=0,
            certificate=serving[0],
            key=serving[1],
            client_ca=pki / "ca.pem",
            token_key_dir=pki,
        )
    )
    await server.open()
    await server.listen()
    url = f"https://127.0.0.1:{server.port}"
    users = {
        "admin": ca.issue("admin", groups=["system:masters"], client=True),
        "controllers": ca.issue("system:kube-controller-manager", client=True),
        "scheduler": ca.issue("system:kube-scheduler", client=True),
    }
    for name, leaf in users.items():
        kubeconfig.write(base / f"{name}.conf", url, ca.cert_pem, leaf.cert_pem, leaf.key_pem)

    async def serve(started: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                server.work(tasks)
                started.set()
        finally:
            await server.close()

    async with Client.from_kubeconfig(base / "admin.conf", user_agent="test") as client:
        parts: list[Callable[[asyncio.Event], Any]] = [
            serve,
            lambda ready: controllers.run(
                controllers.Settings(base / "controllers.conf", pki / "ca.pem"), ready
            ),
            lambda ready: scheduler.run(scheduler.Settings(base / "scheduler.conf"), ready),
            PretendedKubelet(client).run,
        ]
        tasks = []
        try:
            for part in parts:
                ready = asyncio.Event()
                task = asyncio.create_task(part(ready))
                tasks.append(task)
                waiting = asyncio.create_task(ready.wait())
                await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
                waiting.cancel()
                if task.done():
                    task.result()
                assert ready.is_set()
            yield SmallCluster(client, base / "admin.conf", kubectl)
        finally:
            for task in reversed(tasks):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
