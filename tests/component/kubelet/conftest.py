"""A kubelet on a throw-away root with its own bridge, driven through a small in-memory API."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busybox_image import busybox_image
from edgevirt.api.core import ConfigMap, ObjectReference, Pod, Secret
from edgevirt.api.meta import KubeObject, Resource, Status
from edgevirt.engine.kubelet import kubelet
from edgevirt.engine.kubelet.devices import DeviceRegistry
from edgevirt.engine.kubelet.pods import Pods
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.settings import CniSettings, Settings
from edgevirt.kube.client import PatchType
from edgevirt.kube.errors import NotFound
from edgevirt.storage.images.host import HostImage

HOST_IMAGE = "edgevirt.host/root:latest"


class FakeApi:
    """Pods, config maps and secrets in memory; pod changes go to `on_change` as a watch would tell them."""

    def __init__(self) -> None:
        self.pods: dict[tuple[str, str], Pod] = {}
        self.objects: dict[tuple[str, str, str], KubeObject] = {}
        self.on_change: Callable[[Pod | None, Pod | None], None] = lambda old, new: None
        self.patches: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()
        self._background: set[asyncio.Task[None]] = set()

    def add(self, manifest: Mapping[str, Any]) -> Pod:
        pod = msgspec.convert(manifest, Pod)
        self._set(None, pod)
        return pod

    def put(self, pod: Pod) -> None:
        """The pod is written anew."""
        self._set(self.pods[_key(pod)], pod)

    def ask_deletion(self, pod: Pod, grace: int) -> None:
        old = self.pods[_key(pod)]
        document = msgspec.to_builtins(old)
        document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        document["metadata"]["deletionGracePeriodSeconds"] = grace
        self._set(old, msgspec.convert(document, Pod))

    async def get(
        self, resource: Resource[Any], name: str, *, namespace: str = "", subresource: str = ""
    ) -> Any:
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise NotFound(Status(code=404, reason="NotFound", message=f"{name} not found"))
        return found

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        status = {"token": "the-token", "expirationTimestamp": "2100-01-01T00:00:00Z"}
        return json.dumps({"status": status}).encode()

    async def patch(
        self,
        resource: Resource[Any],
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Any:
        old = self.pods.get((namespace, name))
        if old is None or old.metadata.uid != patch["metadata"]["uid"]:
            raise NotFound(Status(code=404, reason="NotFound"))
        self.patches.append(patch["status"])
        document = msgspec.to_builtins(old)
        document["status"] = {k: v for k, v in patch["status"].items() if v is not None and k[0] != "$"}
        new = msgspec.convert(_without_nulls(document), Pod)
        self._set(old, new)
        return new

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        *,
        namespace: str = "",
        grace_period_seconds: int | None = None,
        uid: str = "",
    ) -> None:
        self._set(self.pods[(namespace, name)], None)

    def _set(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod
        if new is None:
            self.pods.pop(_key(pod))
        else:
            self.pods[_key(pod)] = new
        self.on_change(old, new)
        task = asyncio.ensure_future(self._tell())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], Any], timeout: float = 20.0) -> None:
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(condition)

    def status(self, pod: Pod) -> Any:
        found = self.pods.get(_key(pod))
        return found.status if found else None

    def phase(self, pod: Pod) -> str:
        status = self.status(pod)
        return status.phase if status else ""

    async def gone(self, pod: Pod, timeout: float = 20.0) -> None:
        await self.until(lambda: _key(pod) not in self.pods, timeout)


class FakeEvents:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.places: list[tuple[str, str]] = []
        self.told: Callable[[str], None] = lambda reason: None
        self._news = asyncio.Event()

    def normal(self, obj: ObjectReference, reason: str, message: str) -> None:
        self.seen.append((reason, message))
        self.places.append((reason, obj.field_path))
        self.told(reason)
        self._news.set()

    def warning(self, obj: ObjectReference, reason: str, message: str) -> None:
        self.normal(obj, reason, message)

    async def until(self, reason: str, message: str, timeout: float = 20.0) -> None:
        """Wait until this event has been recorded."""
        async with asyncio.timeout(timeout):
            while (reason, message) not in self.seen:
                self._news.clear()
                await self._news.wait()


class Node:
    """The kubelet under test. `restart()` ends it as a stop of the process would, and starts another."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api = FakeApi()
        self.events = FakeEvents()
        self.devices = DeviceRegistry()
        self.services: Services
        self.pods: Pods
        self._stack: contextlib.AsyncExitStack
        self._task: asyncio.Task[None]

    async def start(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self.services = await self._stack.enter_async_context(
            kubelet.services(self.settings, self.api, self.events, self.devices)
        )
        self.pods = Pods(self.services)
        started = asyncio.Event()
        current = {pod.metadata.uid: pod for pod in self.api.pods.values()}
        self._task = asyncio.create_task(self.pods.run(started, current))
        waiter = asyncio.create_task(started.wait())
        await asyncio.wait({self._task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        self.api.on_change = self.pods.see

    async def stop(self) -> None:
        self.api.on_change = lambda old, new: None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def put(self, name: str, **data: str) -> None:
        self.api.objects[("configmaps", "default", name)] = ConfigMap(data=data)
        self.api.objects[("secrets", "default", name)] = Secret(
            data={key: value.encode() for key, value in data.items()}
        )

    def leftovers(self) -> dict[str, list[str]]:
        """Everything in the kernel and on disk that pods of this node may have left."""
        settings = self.settings
        root, run = str(settings.root_dir), str(settings.run_dir)
        own = {root, run}
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{settings.cgroup_prefix}/pod*")]
        groups += [str(path) for path in Path("/sys/fs/cgroup").glob(f"{settings.cgroup_prefix}/pod*")]
        leases = settings.root_dir / "cni" / "leases" / settings.cni.network
        bridge = Path("/sys/class/net", settings.cni.bridge, "brif")
        return {
            "mounts": [
                m for m in mounts if m.startswith((root, run)) and m not in own and "/layers/" not in m
            ],
            "cgroups": groups,
            "addresses": [p.name for p in leases.glob("*.*.*.*")],
            "interfaces": os.listdir(bridge) if bridge.exists() else [],
            "sandboxes": [p.name for p in (settings.run_dir / "sandboxes").glob("*")],
            "containers": [p.name for p in (settings.run_dir / "runtime").glob("*")],
            "pods": [p.name for p in settings.pods_dir.glob("*")],
            "holds": [str(p) for p in (settings.images_root / "holds").glob("*/*")],
            "processes": processes_of(root),
        }


def processes_of(root: str) -> list[str]:
    """Command lines that name our root: shims and runtimes of ours."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if root in line and "pytest" not in line and "victim.py" not in line:
                found.append(line)
    return found


def make_settings(base: Path) -> Settings:
    tag = secrets.token_hex(3)
    number = int(tag[:2], 16)
    layer = base / "layer"
    layer.mkdir(parents=True, exist_ok=True)
    nothing = base / "nothing"
    return Settings(
        kubeconfig=nothing,
        node_name="node",
        root_dir=base / "root",
        run_dir=base / "run",
        address="127.0.0.1",
        port=0,
        certificate=nothing,
        key=nothing,
        client_ca=nothing,
        cni=CniSettings(bridge=f"ev{tag}", subnet=f"10.199.{number}.0/24", network=f"net{tag}"),
        cgroup_prefix=f"edgevirt-test-{tag}",
        host_images=((HOST_IMAGE, HostImage(layer)),),
    )


def tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def settings_to(settings: Settings) -> dict[str, str]:
    """What another process needs to be a kubelet on the same directories."""
    return {
        "base": str(settings.root_dir.parent),
        "bridge": settings.cni.bridge,
        "subnet": settings.cni.subnet,
        "network": settings.cni.network,
        "prefix": settings.cgroup_prefix,
    }


def settings_from(values: dict[str, str]) -> Settings:
    settings = make_settings(Path(values["base"]))
    network = CniSettings(bridge=values["bridge"], subnet=values["subnet"], network=values["network"])
    return dataclasses.replace(settings, cni=network, cgroup_prefix=values["prefix"])


@pytest.fixture(autouse=True)
def _needs_root_and_tools() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("crun", "nft"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    if not Path("/usr/lib/cni/bridge").exists():
        pytest.skip("needs the CNI plugins")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(make_settings(tmp_path))
    await node.start()
    await node.services.images.import_oci(busybox_image(tmp_path / "busybox"), "localhost/busybox")
    yield node
    for pod in tuple(node.api.pods.values()):
        node.api.ask_deletion(pod, 0)
    await node.api.until(lambda: not node.api.pods)
    await node.stop()
    left = {kind: found for kind, found in node.leftovers().items() if found}
    assert left == {}
    assert not Path("/sys/class/net", node.settings.cni.bridge).exists()
    assert node.settings.cni.bridge not in tables()
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in mounts


def manifest(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """A pod of one container `main` on the busybox image; keywords replace parts of the spec."""
    container: dict[str, Any] = {"name": "main", "image": "localhost/busybox", "command": list(command)}
    container.update(spec.pop("container", {}))
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"{name}-{secrets.token_hex(4)}"},
        "spec": {"nodeName": "node", "containers": [container], "restartPolicy": "Never", **spec},
    }


def _key(pod: Pod) -> tuple[str, str]:
    return pod.metadata.namespace, pod.metadata.name


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
