"""The quality of service a pod gets when it is created."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.pods import qos_class

pytestmark = pytest.mark.unit

FIXED = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("own", "container", "expected"),
    [
        ({}, {}, "BestEffort"),
        ({}, {"requests": {"cpu": "1"}}, "Burstable"),
        ({}, FIXED, "Guaranteed"),
        (FIXED, {}, "Guaranteed"),
        (FIXED, {"requests": {"cpu": "1"}}, "Guaranteed"),
        ({"requests": {"cpu": "1"}}, FIXED, "Burstable"),
    ],
)
def test_resources_of_the_pod_itself_decide(
    own: dict[str, Any], container: dict[str, Any], expected: str
) -> None:
    assert qos_class({"resources": own, "containers": [{"resources": container}]}) == expected
