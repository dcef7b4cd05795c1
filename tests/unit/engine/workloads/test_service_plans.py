"""Endpoints and EndpointSlices: which pods, at which ports, in which state, and with how few writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pod_maker import pod

from edgevirt.api.core import (
    Container,
    ContainerPort,
    Endpoints,
    EndpointSubset,
    Pod,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
)
from edgevirt.api.core import EndpointAddress as Address
from edgevirt.api.core import EndpointPort as CorePort
from edgevirt.api.discovery import EndpointSlice
from edgevirt.api.meta import ObjectMeta
from edgevirt.engine.controllers.services import mirroring
from edgevirt.engine.controllers.services.backends import backends, is_ours
from edgevirt.engine.controllers.services.endpoints import subsets
from edgevirt.engine.controllers.services.following import view
from edgevirt.engine.controllers.services.slices_plan import MAX_ENDPOINTS, contents, labels_of, plan

pytestmark = pytest.mark.unit


def service(*ports: ServicePort, **spec: Any) -> Service:
    chosen = ports or (ServicePort(port=80, target_port=8080, protocol="TCP"),)
    return Service(
        metadata=ObjectMeta(name="s", namespace="n", uid="s", labels={"team": "x"}),
        spec=ServiceSpec(**{"selector": {"a": "b"}, "cluster_ip": "10.96.0.9", "ports": chosen, **spec}),
    )


def answering(name: str, address: str, port_name: str = "", number: int = 0, **more: Any) -> Pod:
    ports = (ContainerPort(name=port_name, container_port=number, protocol="TCP"),) if port_name else ()
    spec = PodSpec(node_name="box", containers=(Container(name="c", ports=ports),))
    made = pod(name, labels={"a": "b"}, spec=spec, **more)
    assert made.status is not None
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, pod_ip=address))


def states(one: Service, *pods: Pod) -> dict[str, tuple[bool, bool, bool]]:
    return {b.address: (b.ready, b.serving, b.terminating) for b in backends(one, pods)}


def test_pods_with_an_address_that_match_and_have_not_ended_are_behind_a_service() -> None:
    found = states(
        service(),
        answering("a", "10.1.0.10"),
        answering("b", "10.1.0.9", ready=False),
        answering("c", "10.1.0.3", deleting=True),
        answering("d", "10.1.0.4", phase="Succeeded"),
        answering("e", ""),
        pod("stranger"),
    )
    assert found == {
        "10.1.0.3": (False, True, True),
        "10.1.0.9": (False, False, False),
        "10.1.0.10": (True, True, False),
    }
    assert list(found) == ["10.1.0.3", "10.1.0.9", "10.1.0.10"], "in numeric order"


def test_a_service_may_publish_who_is_not_ready() -> None:
    one = service(publish_not_ready_addresses=True)
    assert states(one, answering("a", "10.1.0.2", ready=False)) == {"10.1.0.2": (True, False, False)}


def test_a_named_port_is_looked_up_in_each_pod() -> None:
    one = service(ServicePort(name="http", port=80, target_port="web", protocol="TCP"))
    behind = backends(
        one,
        [
            answering("old", "10.1.0.2", "web", 8080),
            answering("new", "10.1.0.3", "web", 9090),
            answering("none", "10.1.0.4", "other", 1),
        ],
    )
    assert [(b.address, b.ports[0].number) for b in behind] == [("10.1.0.2", 8080), ("10.1.0.3", 9090)]
    assert len(contents(behind)) == 2, "different ports need different slices"
    assert [subset.ports[0].port for subset in subsets(behind, everybody=False)] == [8080, 9090]


def test_only_services_with_a_selector_are_ours() -> None:
    assert is_ours(service())
    assert not is_ours(service(selector={}))
    assert not is_ours(service(type="ExternalName"))


def test_endpoints_leave_out_pods_that_are_going() -> None:
    behind = backends(
        service(),
        [
            answering("a", "10.1.0.2"),
            answering("b", "10.1.0.3", ready=False),
            answering("c", "10.1.0.4", deleting=True),
        ],
    )
    (subset,) = subsets(behind, everybody=False)
    assert [one.ip for one in subset.addresses] == ["10.1.0.2"]
    assert [one.ip for one in subset.not_ready_addresses] == ["10.1.0.3"]


def test_slices_are_full_at_a_hundred_and_one_is_there_even_if_nobody_answers() -> None:
    many = backends(service(), [answering(f"p{n}", f"10.1.{n // 250}.{n % 250 + 1}") for n in range(250)])
    assert [len(one.endpoints) for one in contents(many)] == [MAX_ENDPOINTS, MAX_ENDPOINTS, 50]
    assert [len(one.endpoints) for one in contents(())] == [0]


def test_slices_that_are_right_are_left_alone_and_others_changed_in_place() -> None:
    one = service()
    behind = backends(one, [answering("a", "10.1.0.2")])
    (content,) = contents(behind)
    right = EndpointSlice(
        metadata=ObjectMeta(name="s-1", labels=labels_of(one)),
        endpoints=content.endpoints,
        ports=content.ports,
    )
    same = plan(one, behind, [right])
    assert (same.create, same.update, same.delete) == ((), (), ())
    wrong = msgspec.structs.replace(right, endpoints=())
    changed = plan(one, behind, [wrong])
    assert (len(changed.create), len(changed.update), len(changed.delete)) == (0, 1, 0)
    surplus = plan(one, behind, [right, wrong])
    assert surplus.delete == (wrong,)
    assert len(plan(one, behind, []).create) == 1


def test_heartbeats_of_a_pod_concern_no_service() -> None:
    one = answering("a", "10.1.0.2")
    assert one.status is not None
    again = msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, message="still here"))
    assert view(one) == view(again)
    assert view(one) != view(answering("a", "10.1.0.2", ready=False))


def test_endpoints_made_by_hand_are_mirrored_unless_they_say_no() -> None:
    by_hand = Endpoints(
        metadata=ObjectMeta(name="s", namespace="n", uid="e"),
        subsets=(
            EndpointSubset(
                addresses=(Address(ip="192.0.2.1"),),
                not_ready_addresses=(Address(ip="192.0.2.2"),),
                ports=(CorePort(port=80, protocol="TCP"),),
            ),
        ),
    )
    (content,) = mirroring.contents(by_hand)
    assert [(e.addresses, e.conditions and e.conditions.ready) for e in content.endpoints] == [
        (("192.0.2.1",), True),
        (("192.0.2.2",), False),
    ]
    assert mirroring.is_mirrored(by_hand)
    skipped = ObjectMeta(name="s", labels={"endpointslice.kubernetes.io/skip-mirror": "true"})
    assert not mirroring.is_mirrored(msgspec.structs.replace(by_hand, metadata=skipped))
