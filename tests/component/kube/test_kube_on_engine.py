"""Client, scheduler and controllers against the embedded API server, over TLS with their own identities."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edgevirt.api.core import ConfigMap
from edgevirt.api.meta import Resource
from edgevirt.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
)
from edgevirt.engine import controllers, scheduler
from edgevirt.engine.apiserver import server
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.kube import errors, kubeconfig
from edgevirt.kube.client import Client, EventType
from edgevirt.kube.events import EventRecorder
from edgevirt.kube.informer import Informer
from edgevirt.kube.leader import LeaderElector

pytestmark = pytest.mark.component

T = TypeVar("T")
DEADLINE = 20.0


class Engine:
    """An API server whose data outlives it, and kubeconfigs for whoever wants to talk to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = 0
        self._authority = Authority.load_or_create(root / "pki")
        leaf = self._authority.issue("kube-apiserver", ips=["127.0.0.1"], server=True)
        self._certificate, self._key = write_leaf(root / "pki", "apiserver", leaf)
        self.ca_file = root / "pki" / "ca.crt"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        settings = server.Settings(
            data_dir=self.root / "data",
            address="127.0.0.1",
            port=self.port or _free_port(),
            certificate=self._certificate,
            key=self._key,
            client_ca=self.ca_file,
        )
        self.port = settings.port
        async with component(lambda started: server.run(settings, started)):
            yield

    def kubeconfig(self, user: str, *groups: str) -> Path:
        leaf = self._authority.issue(user, groups=groups, client=True)
        path = self.root / f"{user.replace(':', '-')}.kubeconfig"
        certificate, key = (file.read_bytes() for file in write_leaf(self.root / "pki", path.stem, leaf))
        kubeconfig.write(path, f"https://127.0.0.1:{self.port}", self.ca_file.read_bytes(), certificate, key)
        return path

    def admin(self) -> Client:
        return Client.from_kubeconfig(self.kubeconfig("admin", "system:masters"), user_agent="test")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def component(run: Callable[[asyncio.Event], Any]) -> AsyncIterator[None]:
    """Run a component until the end of the block; fail if it ends by itself."""
    started = asyncio.Event()
    task = asyncio.ensure_future(run(started))
    waiting = asyncio.ensure_future(started.wait())
    async with asyncio.timeout(DEADLINE):
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
        raise AssertionError("the component ended before it started")
    try:
        yield
        assert not task.done(), "the component ended by itself"
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    one = Engine(tmp_path)
    async with one.serving():
        yield one


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    async with engine.admin() as one:
        yield one


@pytest.fixture
async def controlled(engine: Engine) -> AsyncIterator[None]:
    settings = controllers.Settings(
        engine.kubeconfig("system:kube-controller-manager"), engine.ca_file, node_grace=2.0
    )
    async with component(lambda started: controllers.run(settings, started)):
        yield


@pytest.fixture
async def scheduled(engine: Engine) -> AsyncIterator[None]:
    settings = scheduler.Settings(engine.kubeconfig("system:kube-scheduler"))
    async with component(lambda started: scheduler.run(settings, started)):
        yield


async def until(
    client: Client, resource: Resource[T], name: str, holds: Callable[[T], bool], namespace: str = "ns"
) -> T:
    """Wait by a watch until an object exists and something holds for it."""
    where = namespace if resource.namespaced else None
    chosen = f"metadata.name={name}"
    async with asyncio.timeout(DEADLINE):
        listed = await client.list(resource, namespace=where, field_selector=chosen)
        for obj in listed.items:
            if holds(obj):
                return obj
        events = client.watch(
            resource, namespace=where, field_selector=chosen, resource_version=listed.resource_version
        )
        async with contextlib.aclosing(events):
            async for event in events:
                if event.type in (EventType.ADDED, EventType.MODIFIED) and holds(event.object):
                    return event.object
    raise AssertionError(f"the watch of {name} ended")


async def gone(client: Client, resource: Resource[T], name: str, namespace: str = "ns") -> None:
    where = namespace if resource.namespaced else None
    chosen = f"metadata.name={name}"
    async with asyncio.timeout(DEADLINE):
        listed = await client.list(resource, namespace=where, field_selector=chosen)
        if not listed.items:
            return
        events = client.watch(
            resource, namespace=where, field_selector=chosen, resource_version=listed.resource_version
        )
        async with contextlib.aclosing(events):
            async for event in events:
                if event.type is EventType.DELETED:
                    return
    raise AssertionError(f"the watch of {name} ended")


async def make_namespace(client: Client, name: str = "ns") -> None:
    await client.create(NAMESPACES, {"metadata": {"name": name}})


async def make_furnished_namespace(client: Client) -> None:
    """A namespace in which pods can be made: its service account is there."""
    await make_namespace(client)
    await until(client, SERVICE_ACCOUNTS, "default", lambda one: True)


async def make_node(client: Client, name: str = "n1", memory: str = "1Gi") -> None:
    await client.create(NODES, {"metadata": {"name": name}})
    status = {
        "allocatable": {"cpu": "4", "memory": memory, "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
    }
    await client.patch(NODES, name, {"status": status}, subresource="status")


def pod(name: str, memory: str = "600Mi", owner: dict[str, Any] | None = None) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"memory": memory}}}
    meta: dict[str, Any] = {"name": name}
    if owner:
        meta["ownerReferences"] = [owner]
    return {"metadata": meta, "spec": {"containers": [container]}}


def owned_by(owner: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        **more,
    }


def condition(obj: Any, type_: str) -> Any:
    found = (one for one in (obj.status.conditions if obj.status else ()) if one.type == type_)
    return next(found, None)


async def test_an_informer_misses_nothing_when_the_server_restarts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    engine = Engine(tmp_path)
    told: list[str] = []
    async with contextlib.AsyncExitStack() as stack:

        def handle(old: ConfigMap | None, new: ConfigMap | None) -> None:
            one = new or old
            assert one is not None
            told.append(("+" if old is None else "~" if new is not None else "-") + one.metadata.name)
            seen.set()

        seen = asyncio.Event()

        async def until_told(last: str) -> None:
            async with asyncio.timeout(DEADLINE):
                while last not in told:
                    seen.clear()
                    await seen.wait()

        async with engine.serving():
            client = await stack.enter_async_context(engine.admin())
            await make_namespace(client)
            informer = Informer(client, CONFIG_MAPS, "ns")
            informer.add_handler(handle)
            following = asyncio.create_task(informer.run())
            stack.callback(following.cancel)
            await informer.synced()
            for name in ("a", "b"):
                await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, namespace="ns")
            await until_told("+b")
        async with engine.serving():
            await client.delete(CONFIG_MAPS, "a", namespace="ns")
            await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, namespace="ns")
            await until_told("+c")
            assert told == ["+a", "+b", "-a", "+c"]


async def test_a_pod_is_scheduled_and_one_that_does_not_fit_says_why(client: Client, scheduled: None) -> None:
    await make_namespace(client)
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace="ns")
    await make_node(client)
    for name in ("first", "second"):
        await client.create(PODS, pod(name), namespace="ns")
    bound = await until(client, PODS, "first", lambda one: bool(one.spec and one.spec.node_name))
    assert bound.spec is not None
    assert bound.spec.node_name == "n1"
    assert condition(bound, "PodScheduled").status == "True"
    held = await until(client, PODS, "second", lambda one: condition(one, "PodScheduled") is not None)
    said = condition(held, "PodScheduled")
    assert (said.status, said.reason) == ("False", "Unschedulable")
    assert said.message.startswith("0/1 nodes are available: 1 Insufficient memory. ")
    await client.patch(
        PODS, "first", {"status": {"phase": "Succeeded"}}, namespace="ns", subresource="status"
    )
    await until(client, PODS, "second", lambda one: bool(one.spec and one.spec.node_name))
    reasons = {event.reason for event in (await client.list(EVENTS, namespace="ns")).items}
    assert {"Scheduled", "FailedScheduling"} <= reasons


async def test_namespaces_are_furnished_and_can_be_deleted_with_all_they_hold(
    client: Client, controlled: None, engine: Engine
) -> None:
    await make_furnished_namespace(client)
    ca = await until(client, CONFIG_MAPS, "kube-root-ca.crt", lambda one: True)
    assert ca.data["ca.crt"] == engine.ca_file.read_text()
    await client.create(PODS, pod("p"), namespace="ns")
    await client.create(
        CONFIG_MAPS, {"metadata": {"name": "held", "finalizers": ["test/hold"]}}, namespace="ns"
    )
    await client.delete(NAMESPACES, "ns")
    held = await until(
        client,
        NAMESPACES,
        "ns",
        lambda one: getattr(condition(one, "NamespaceFinalizersRemaining"), "status", "") == "True",
    )
    assert "test/hold in 1 resource instances" in condition(held, "NamespaceFinalizersRemaining").message
    await client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, namespace="ns")
    await gone(client, NAMESPACES, "ns")


async def test_garbage_is_collected_in_all_three_ways(client: Client, controlled: None) -> None:
    await make_furnished_namespace(client)
    for name, propagation in (("back", "Background"), ("fore", "Foreground"), ("orphan", "Orphan")):
        owner = await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, namespace="ns")
        dependent = pod(f"{name}-child", owner=owned_by(owner, blockOwnerDeletion=True))
        await client.create(PODS, dependent, namespace="ns")
        await client.delete(CONFIG_MAPS, name, namespace="ns", propagation=propagation)
    for name in ("back", "fore", "orphan"):
        await gone(client, CONFIG_MAPS, name)
    for name in ("back-child", "fore-child"):
        await gone(client, PODS, name)
    left = await client.get(PODS, "orphan-child", namespace="ns")
    assert left.metadata.owner_references == ()


async def test_an_object_of_a_new_kind_owns_its_pods(client: Client, controlled: None) -> None:
    await make_furnished_namespace(client)
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList"}
    await client.create(
        CUSTOM_RESOURCE_DEFINITIONS,
        {
            "metadata": {"name": "boxes.example.test"},
            "spec": {"group": "example.test", "scope": "Namespaced", "names": names, "versions": [version]},
        },
    )
    await until(
        client,
        CUSTOM_RESOURCE_DEFINITIONS,
        "boxes.example.test",
        lambda one: getattr(condition(one, "Established"), "status", "") == "True",
    )
    boxes = Resource("example.test", "v1", "boxes", "Box", dict)
    box = await client.create(boxes, {"metadata": {"name": "b"}}, namespace="ns")
    reference = {"apiVersion": "example.test/v1", "kind": "Box", "name": "b", "uid": box["metadata"]["uid"]}
    await client.create(PODS, pod("p", owner=reference), namespace="ns")
    await client.delete(boxes, "b", namespace="ns")
    await gone(client, PODS, "p")


async def test_a_silent_node_is_tainted_and_keeps_its_pods(client: Client, controlled: None) -> None:
    await make_furnished_namespace(client)
    await make_node(client)
    await client.create(PODS, {**pod("p"), "spec": {**pod("p")["spec"], "nodeName": "n1"}}, namespace="ns")
    node = await until(client, NODES, "n1", lambda one: bool(one.spec and one.spec.taints))
    assert node.spec is not None
    assert {taint.effect for taint in node.spec.taints} == {"NoSchedule"}
    assert (await client.get(PODS, "p", namespace="ns")).metadata.deletion_timestamp == ""
    beat = [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:01:00Z"}]
    await client.patch(NODES, "n1", {"status": {"conditions": beat}}, subresource="status")
    await until(client, NODES, "n1", lambda one: not (one.spec and one.spec.taints))


async def test_events_are_counted_and_one_leads(client: Client) -> None:
    await make_namespace(client)
    owner = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="ns")
    recorder = EventRecorder(client, component="test")
    recording = asyncio.create_task(recorder.run())
    for _ in range(3):
        recorder.warning(owner, "Sad", "nothing works")
    async with asyncio.timeout(DEADLINE):
        await recorder.flush()
    recording.cancel()
    (event,) = (await client.list(EVENTS, namespace="ns")).items
    assert (event.count, event.reason, event.type) == (3, "Sad", "Warning")
    led = []

    async def lead() -> None:
        led.append((await client.get(LEASES, "lock", namespace="ns")).spec)

    async with asyncio.timeout(DEADLINE):
        await LeaderElector(client, "ns", "lock", "me").run(lead)
    assert led[0] is not None
    assert led[0].holder_identity == "me"
    released = await client.get(LEASES, "lock", namespace="ns")
    assert released.spec is not None
    assert released.spec.holder_identity == ""


async def test_identities_can_do_their_own_work_only(engine: Engine, client: Client) -> None:
    await make_namespace(client)
    path = engine.kubeconfig("system:kube-scheduler")
    async with Client.from_kubeconfig(path, user_agent="test") as limited:
        assert (await limited.list(PODS)).items == ()
        with pytest.raises(errors.Forbidden, match="system:kube-scheduler"):
            await limited.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace="ns")
