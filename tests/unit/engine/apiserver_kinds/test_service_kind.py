"""Services as they are written: addresses and ports handed out, kept, refused and given back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.kinds.service import Services
from edgevirt.engine.apiserver.kinds.service_network import ServiceNetwork, Taken
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.request import UserInfo

pytestmark = pytest.mark.unit

Json = dict[str, Any]
CONTEXT = WriteContext(UserInfo("u"), "2026-01-01T00:00:00Z")
PORTS = [{"port": 80, "protocol": "TCP", "targetPort": 80}]


class World:
    """Services of one network, as the write path treats them."""

    def __init__(self, subnet: str = "10.96.0.0/24", ports: range = range(30000, 30004)) -> None:
        self.network = ServiceNetwork(subnet, ports, random_below=lambda _: 0)
        self.strategy = Services(self.network)

    def create(self, name: str, **spec: Any) -> Json:
        obj: Json = {
            "metadata": {"name": name, "uid": name},
            "spec": {"type": "ClusterIP", "ports": copy.deepcopy(PORTS), **spec},
        }
        try:
            self.strategy.prepare_for_create(obj, CONTEXT)
            faults = self.strategy.validate(obj, None)
            if faults:
                raise AssertionError([f"{one.field}: {one.message}" for one in faults])
            self.network.stored("ADDED", obj)
        finally:
            self.strategy.settle(obj)
        return obj

    def update(self, old: Json, **spec: Any) -> Json:
        obj = copy.deepcopy(old)
        obj["spec"].update(spec)
        try:
            self.strategy.prepare_for_update(obj, old, CONTEXT)
            faults = self.strategy.validate(obj, old)
            if faults:
                raise AssertionError([f"{one.field}: {one.message}" for one in faults])
            self.network.stored("MODIFIED", obj)
        finally:
            self.strategy.settle(obj)
        return obj


def faults(strategy: Services, spec: Json) -> list[str]:
    obj = {"metadata": {"name": "x"}, "spec": {"type": "ClusterIP", "ports": PORTS, **spec}}
    return [f"{one.field}: {one.message}" for one in strategy.validate(obj, None)]


def test_a_service_gets_an_address_above_those_people_choose() -> None:
    world = World()
    spec = world.create("a")["spec"]
    assert spec["clusterIP"] == "10.96.0.17"
    assert spec["clusterIPs"] == ["10.96.0.17"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert world.create("b")["spec"]["clusterIP"] == "10.96.0.18"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.96.0.9", "failed to allocate IP 10.96.0.9: provided IP is already allocated"),
        (
            "10.97.0.1",
            "failed to allocate IP 10.97.0.1: the provided IP (10.97.0.1) is not in the valid range. "
            "The range of valid IPs is 10.96.0.0/24",
        ),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(address: str, message: str) -> None:
    world = World()
    world.create("a", clusterIP="10.96.0.9")
    with pytest.raises(StatusError) as caught:
        world.create("b", clusterIP=address)
    assert caught.value.message == (
        f'Service "b" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: {message}'
    )


def test_what_a_failed_write_held_is_free_again() -> None:
    world = World()
    obj: Json = {"metadata": {"name": "a", "uid": "a"}, "spec": {"type": "ClusterIP", "ports": PORTS}}
    world.strategy.prepare_for_create(obj, CONTEXT)
    with pytest.raises(Taken):
        world.network.take_address(obj["spec"]["clusterIP"], "b")
    world.strategy.settle(obj)
    world.network.take_address(obj["spec"]["clusterIP"], "b")


def test_a_deleted_service_gives_its_address_back() -> None:
    world = World("10.96.0.0/29")
    made = [world.create(str(number)) for number in range(6)]
    with pytest.raises(StatusError, match="range is full"):
        world.create("one too many")
    world.network.stored("DELETED", made[3])
    assert world.create("again")["spec"]["clusterIP"] == made[3]["spec"]["clusterIP"]


def test_node_ports_are_chosen_kept_and_not_given_twice() -> None:
    world = World()
    one = world.create("a", type="NodePort")
    assert one["spec"]["ports"][0]["nodePort"] == 30000
    without = world.update(one, ports=copy.deepcopy(PORTS))
    assert without["spec"]["ports"][0]["nodePort"] == 30000, "left out is not given up"
    with pytest.raises(StatusError) as caught:
        world.create("b", type="NodePort", ports=[{"port": 80, "nodePort": 30000}])
    assert "spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated" in str(
        caught.value
    )
    with pytest.raises(StatusError, match="The range of valid ports is 30000-30003"):
        world.create("c", type="NodePort", ports=[{"port": 80, "nodePort": 80}])


def test_a_changed_type_keeps_what_both_have_and_gives_the_rest_back() -> None:
    world = World()
    node_port = world.create("a", type="NodePort")
    plain = world.update(node_port, type="ClusterIP")
    assert "nodePort" not in plain["spec"]["ports"][0]
    assert plain["spec"]["clusterIP"] == node_port["spec"]["clusterIP"]
    assert world.create("b", type="NodePort")["spec"]["ports"][0]["nodePort"] == 30000
    outside = world.update(plain, type="ExternalName", externalName="x.example.com")
    assert "clusterIP" not in outside["spec"]
    back = world.update(outside, type="ClusterIP", externalName="")
    assert back["spec"]["clusterIP"]


def test_the_address_of_a_service_never_changes() -> None:
    world = World()
    one = world.create("a")
    with pytest.raises(AssertionError, match=r"spec.clusterIPs\[0\].*may not change once set"):
        world.update(one, clusterIP="10.96.0.99")


def test_a_headless_service_has_no_address_and_whatever_families_its_maker_wants() -> None:
    world = World()
    spec = world.create("a", clusterIP="None")["spec"]
    assert (spec["clusterIPs"], spec["ipFamilyPolicy"]) == (["None"], "RequireDualStack")
    selected = world.create("b", clusterIP="None", selector={"a": "b"})["spec"]
    assert selected["ipFamilies"] == ["IPv4"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": []}, ["spec.ports: Required value"]),
        (
            {"ports": [{"port": 0, "targetPort": 70000}]},
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            {"ports": [{"port": 1}, {"port": 2}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            {"ports": [{"port": 1, "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ({"type": "ExternalName"}, ["spec.externalName: Required value"]),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            [
                'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
                "Cluster is not configured for dual-stack services"
            ],
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {"clusterIP": "x", "clusterIPs": ["x"]},
            [
                'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, '
                "(e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
    ],
)
def test_a_service_that_makes_no_sense_is_refused(spec: Json, expected: list[str]) -> None:
    assert faults(World().strategy, spec) == expected


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("; drop", "must be a valid IP address"),
        ("127.0.0.1", "may not be in the loopback range"),
        ("0.0.0.0", "may not be unspecified"),
        ("169.254.169.254", "may not be in the link-local range"),
        ("224.0.0.1", "may not be in the link-local multicast range"),
    ],
)
def test_external_address_that_is_the_machines_own_is_refused(address: str, why: str) -> None:
    (found,) = faults(World().strategy, {"externalIPs": ["192.0.2.1", address]})
    assert found.startswith("spec.externalIPs[1]:")
    assert why in found
