from __future__ import annotations

import gc

import pytest
from fake_api import FakeApi, InMemoryClient, client_for, serve

from edgevirt.kube import errors, memory
from edgevirt.kube.clock import FakeClock
from edgevirt.kube.discovery import discover

pytestmark = pytest.mark.unit


async def test_every_kind_is_found_once_with_its_verbs() -> None:
    served = await discover(InMemoryClient(FakeApi(), FakeClock()))
    found = {entry.resource.group_resource: entry for entry in served.resources}
    assert found["pods"].resource.namespaced
    assert not found["nodes"].resource.namespaced
    assert found["leases.coordination.k8s.io"].resource.kind == "Lease"
    assert found["pods"].verbs >= {"list", "watch", "deletecollection"}
    assert len(found) == len(served.resources)
    assert served.failed == frozenset()


async def test_a_group_that_cannot_be_asked_is_named_and_does_not_hide_the_others() -> None:
    class Broken(FakeApi):
        def _discovery(self, path: str) -> dict[str, object] | None:
            return None if path == "/apis/coordination.k8s.io/v1" else super()._discovery(path)

    served = await discover(InMemoryClient(Broken(), FakeClock()))
    assert served.failed == {"coordination.k8s.io/v1"}
    assert "pods" in {entry.resource.plural for entry in served.resources}


async def test_the_preferred_version_of_a_kind_is_taken_and_subresources_are_no_kinds() -> None:
    api = FakeApi()
    api.kinds["kubevirt.io/v1"] = [("virtualmachines", "VirtualMachine", True)]
    groups = (
        b'{"groups":[{"name":"kubevirt.io","versions":[{"version":"v1alpha3"},{"version":"v1"}],'
        b'"preferredVersion":{"version":"v1"}}]}'
    )
    kinds = (
        b'{"kind":"APIResourceList","resources":[{"name":"virtualmachines","kind":"VirtualMachine","namespaced":true,"verbs":["list"]},'
        b'{"name":"virtualmachines/status","kind":"VirtualMachine","verbs":["get"]}]}'
    )
    async with serve(api) as server, client_for(server) as client:
        server.raw_answers.extend(
            (200, body, {}) for body in (groups, b'{"kind":"APIResourceList"}', kinds, kinds)
        )
        served = await discover(client)
    (entry,) = served.resources
    assert entry.resource.version == "v1"


async def test_without_a_list_of_groups_there_is_no_answer() -> None:
    api = FakeApi()
    api.unreachable = True
    with pytest.raises(errors.ConnectionFailed):
        await discover(InMemoryClient(api, FakeClock()))


def test_freezing_takes_the_heap_out_of_collections() -> None:
    try:
        assert memory.freeze_heap() > 0
    finally:
        gc.unfreeze()
    assert gc.get_freeze_count() == 0
