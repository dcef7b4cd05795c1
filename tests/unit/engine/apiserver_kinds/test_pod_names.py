"""Names within a pod: a node makes directories of them."""

from __future__ import annotations

import pytest

from edgevirt.engine.apiserver.kinds import ephemeral_containers
from edgevirt.engine.apiserver.kinds.pods import container_faults

pytestmark = pytest.mark.unit

BAD = ["../../../../../etc", "..", "a/b", ".", "A", "a\n"]


@pytest.mark.parametrize("name", BAD)
def test_volume_whose_name_leads_elsewhere_is_refused(name: str) -> None:
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": name, "mountPath": "/m"}]}
    found = container_faults({"containers": [container], "volumes": [{"name": name, "emptyDir": {}}]})
    assert [cause.field for cause in found] == ["spec.volumes[0].name"]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_container_whose_name_leads_elsewhere_is_refused(field: str, name: str) -> None:
    found = container_faults({field: [{"name": name, "image": "i"}]})
    assert [cause.field for cause in found] == [f"spec.{field}[0].name"]


@pytest.mark.parametrize("name", BAD)
def test_ephemeral_container_whose_name_leads_elsewhere_is_refused(name: str) -> None:
    found = ephemeral_containers.faults({"ephemeralContainers": [{"name": name, "image": "i"}]}, {})
    assert [cause.field for cause in found] == ["spec.ephemeralContainers[0].name"]
