from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import NodeSelector, PersistentVolume, PersistentVolumeClaim, Pod
from edgevirt.engine.scheduler.claims import examine

pytestmark = pytest.mark.unit

POD = msgspec.convert(
    {
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "disk"}}]},
    },
    Pod,
)


def claim(phase: str = "Bound", volume: str = "pv", **meta: Any) -> PersistentVolumeClaim:
    return msgspec.convert(
        {
            "metadata": {"name": "disk", "namespace": "ns", **meta},
            "spec": {"volumeName": volume},
            "status": {"phase": phase},
        },
        PersistentVolumeClaim,
    )


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, 'persistentvolumeclaim "disk" not found'),
        (claim(deletionTimestamp="2026-01-01T00:00:00Z"), 'persistentvolumeclaim "disk" is being deleted'),
        (claim("Pending", ""), "pod has unbound immediate PersistentVolumeClaims"),
        (claim(), 'persistentvolume "pv" of claim "disk" not found'),
    ],
)
def test_a_claim_that_is_not_usable_yet_holds_the_pod(
    found: PersistentVolumeClaim | None, problem: str
) -> None:
    assert examine(POD, lambda name: found, lambda name: None).problem == problem


def test_the_affinity_of_a_bound_volume_is_passed_on() -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]}
    volume = msgspec.convert({"spec": {"nodeAffinity": {"required": required}}}, PersistentVolume)
    found = examine(POD, lambda name: claim(), lambda name: volume)
    assert found.problem == ""
    assert found.affinities == (msgspec.convert(required, NodeSelector),)


def test_a_pod_without_claims_needs_nothing() -> None:
    assert examine(Pod(), lambda name: None, lambda name: None).problem == ""
