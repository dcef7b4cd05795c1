"""Objects the virt-controller tests are about, made from the JSON a client would send."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.api.kubevirt import VirtualMachine, VirtualMachineInstance

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"note": "kept"}},
    "spec": {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}},
}


class Make:
    """Builders; every keyword replaces one top-level part."""

    now = NOW

    def vm(self, strategy: str = "Always", **status: Any) -> VirtualMachine:
        document = {
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "vm-uid",
                "generation": 1,
                "resourceVersion": "7",
            },
            "spec": {"runStrategy": strategy, "template": TEMPLATE},
            "status": status,
        }
        return msgspec.convert(document, VirtualMachine)

    def vmi(
        self, phase: str = "Running", *, deleting: bool = False, ran: float | None = None, **status: Any
    ) -> Any:
        """`ran`: seconds between Running and the end; None for an instance that never ran."""
        entered = [{"phase": "Pending", "phaseTransitionTimestamp": "2026-03-01T11:00:00Z"}]
        if phase == "Running" or ran is not None:
            entered.append({"phase": "Running", "phaseTransitionTimestamp": "2026-03-01T11:00:05Z"})
        if phase in ("Failed", "Succeeded"):
            end = datetime.datetime(2026, 3, 1, 11, 0, 5, tzinfo=datetime.UTC) + datetime.timedelta(
                seconds=ran or 0
            )
            entered.append({"phase": phase, "phaseTransitionTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
        metadata: dict[str, Any] = {
            "name": "web",
            "namespace": "shop",
            "uid": "vmi-uid",
            "resourceVersion": "9",
            "annotations": {"kubevirt.io/vm-generation": "1"},
            "finalizers": ["kubevirt.io/foregroundDeleteVirtualMachine"],
        }
        if deleting:
            metadata["deletionTimestamp"] = "2026-03-01T11:59:00Z"
        document = {
            "metadata": metadata,
            "spec": TEMPLATE["spec"],
            "status": {"phase": phase, "phaseTransitionTimestamps": entered, **status},
        }
        return msgspec.convert(document, VirtualMachineInstance)

    def pod(
        self,
        *,
        node: str = "",
        deleting: bool = False,
        annotations: dict[str, str] | None = None,
        **status: Any,
    ) -> Pod:
        metadata: dict[str, Any] = {
            "name": "virt-launcher-web-x",
            "namespace": "shop",
            "uid": "pod-uid",
            "creationTimestamp": "2026-03-01T11:00:01Z",
            "annotations": annotations or {"kubevirt.io/memory-overhead-bytes": str(150 * 2**20)},
        }
        if deleting:
            metadata["deletionTimestamp"] = "2026-03-01T11:59:00Z"
        spec = {"nodeName": node, "containers": [{"name": "compute", "image": "launcher:1"}]}
        return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Pod)

    def ready_pod(self) -> Pod:
        return self.pod(node="n1", phase="Running", conditions=[{"type": "Ready", "status": "True"}])


@pytest.fixture
def make() -> Make:
    return Make()
