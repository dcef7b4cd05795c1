"""Texts that tools and people read."""

from __future__ import annotations

import msgspec
import pytest

from edgevirt.api.core import Pod
from edgevirt.engine.kubelet import wording

pytestmark = pytest.mark.unit

POD = msgspec.convert(
    {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]},
    },
    Pod,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.656, "656ms"),
        (1.32, "1.32s"),
        (10, "10s"),
        (80, "1m20s"),
        (160, "2m40s"),
        (300, "5m0s"),
        (3605, "1h0m5s"),
    ],
)
def test_durations_read_as_gos(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_pods_and_containers_are_named_as_in_events() -> None:
    assert wording.pod_name(POD) == "p_ns(u)"
    assert wording.field_path(POD, "a") == "spec.containers{a}"
    assert wording.field_path(POD, "b") == "spec.initContainers{b}"
    assert wording.field_path(POD, "c") == ""
