"""Giving back what a pod has: a release that fails is repeated, less and less often, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import sandbox
from edgevirt.engine.kubelet.cni import CniError
from edgevirt.engine.kubelet.host_ports import HostPorts
from edgevirt.engine.kubelet.pod import PodWorker
from edgevirt.engine.kubelet.preparation import prepare
from edgevirt.engine.kubelet.processes import boot_id
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.engine.kubelet.services import Services
from edgevirt.engine.kubelet.settings import CniSettings
from edgevirt.engine.kubelet.state import PodRecord
from edgevirt.kube.clock import FakeClock

pytestmark = pytest.mark.unit


class FakeApi:
    """Takes what is written and remembers which pods were deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def patch(self, resource: object, name: str, patch: object, **_: object) -> None: ...

    async def delete(self, resource: object, name: str, **_: object) -> None:
        self.deleted.append(name)


class Machine:
    """A machine whose sandboxes are given back at the try number `succeeds`; remembers when it was tried."""

    def __init__(self, directory: Path, succeeds: int) -> None:
        self.clock, self.api = FakeClock(), FakeApi()
        self.tries: list[float] = []
        self._succeeds = succeeds
        quiet = SimpleNamespace(normal=lambda *_: None, warning=lambda *_: None)
        self.services = cast(
            Services,
            SimpleNamespace(
                clock=self.clock,
                api=self.api,
                events=quiet,
                node=SimpleNamespace(address="192.0.2.1"),
                host_ports=HostPorts(CniSettings()),
                runtime=SimpleNamespace(name="crun"),
                pod_dir=lambda uid: directory / "pods" / uid,
                sandbox_dir=lambda uid: directory / "sandboxes" / uid,
                blocking=self._blocking,
            ),
        )

    async def release(self, *_: object) -> None:
        self.tries.append(self.clock.monotonic())
        if len(self.tries) != self._succeeds:
            raise CniError("the plugin does not answer")

    @staticmethod
    async def _blocking(function: Callable[..., Any], *args: object) -> Any:
        return function(*args)


def held(*, deleting: bool) -> tuple[Pod, PodRecord]:
    metadata = {"name": "p", "namespace": "default", "uid": "u-1"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pod = msgspec.convert({"metadata": metadata, "spec": {"containers": [{"name": "a"}]}}, Pod)
    return pod, PodRecord(pod=pod, boot_id=boot_id(), sandbox=True)


async def test_a_release_that_fails_is_repeated_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, succeeds=9)
    monkeypatch.setattr(sandbox, "release", machine.release)
    worker = PodWorker(machine.services, *held(deleting=True))
    task = asyncio.create_task(worker.run())
    await machine.clock.advance(182.0)
    assert machine.tries == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0]
    assert machine.api.deleted == []
    await machine.clock.advance(1.0)
    await task
    assert machine.tries[-1] == 183.0
    assert machine.api.deleted == ["p"]


async def test_nothing_is_prepared_over_what_could_not_be_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, succeeds=0)
    made: list[object] = []
    monkeypatch.setattr(sandbox, "release", machine.release)
    monkeypatch.setattr(sandbox, "make", lambda *given: made.append(given))
    resident = Resident(machine.services, *held(deleting=False))
    await prepare(resident)
    await machine.clock.advance(1.0)
    await prepare(resident)
    assert made == []
    assert not resident.prepared
    assert resident.observe().retry_at == 3.0
