"""Ports of containers: a node writes rules of its packet filter from them."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.pods import container_faults

pytestmark = pytest.mark.unit


def faults(**port: Any) -> list[str]:
    spec = {"containers": [{"name": "a", "image": "i", "ports": [port]}]}
    return [f"{cause.field}: {cause.message}" for cause in container_faults(spec)]


def test_ports_with_and_without_an_address_are_accepted() -> None:
    for address in ("", "0.0.0.0", "192.0.2.1", "fd00::1"):
        assert faults(containerPort=80, hostPort=8080, hostIP=address) == []


@pytest.mark.parametrize("address", ["x", "1.2.3.4 accept; }", "fe80::1%eth0", "1.2.3.4\n"])
def test_host_address_that_is_none_is_refused(address: str) -> None:
    (found,) = faults(containerPort=80, hostPort=80, hostIP=address)
    assert found.startswith("spec.containers[0].ports[0].hostIP: Invalid value")
    assert "must be a valid IP address" in found


@pytest.mark.parametrize("field", ["containerPort", "hostPort"])
@pytest.mark.parametrize("number", [-1, 65536])
def test_port_out_of_range_is_refused(field: str, number: int) -> None:
    (found,) = faults(**{"containerPort": 80, field: number})
    where = f"spec.containers[0].ports[0].{field}"
    assert found == f"{where}: Invalid value: {number}: must be between 1 and 65535, inclusive"
