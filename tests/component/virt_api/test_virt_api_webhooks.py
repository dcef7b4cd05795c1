"""Webhooks over TLS, as an API server calls them: without a client certificate."""

from __future__ import annotations

from typing import Any

import pytest
from virt_api_surroundings import VirtApi, patched

pytestmark = pytest.mark.component

Json = dict[str, Any]
USER = {"userInfo": {"username": "alice"}}
HANDLER = {
    "userInfo": {
        "username": "system:serviceaccount:kubevirt:kubevirt-handler",
        "extra": {"authentication.kubernetes.io/node-name": ["n1"]},
    }
}


def vmi() -> Json:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {
            "domain": {"devices": {}, "memory": {"guest": "128Mi"}},
            "volumes": [{"name": "boot", "containerDisk": {"image": "registry.example/vm:1"}}],
        },
    }


def vm() -> Json:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {
            "running": True,
            "template": {"metadata": {"creationTimestamp": None}, "spec": vmi()["spec"]},
        },
    }


async def test_instance_is_completed_and_then_accepted(virt_api: VirtApi) -> None:
    answer = await virt_api.review("/virtualmachineinstances-mutate", {"object": vmi(), **USER})
    complete = patched(vmi(), answer)
    assert complete["status"]["phase"] == "Pending"
    answer = await virt_api.review("/virtualmachineinstances-validate-create", {"object": complete, **USER})
    assert answer["allowed"], answer


async def test_machine_is_completed_and_then_accepted_with_a_warning(virt_api: VirtApi) -> None:
    complete = patched(vm(), await virt_api.review("/virtualmachines-mutate", {"object": vm(), **USER}))
    assert complete["spec"]["template"]["spec"]["domain"]["firmware"]["uuid"]
    answer = await virt_api.review("/virtualmachines-validate", {"object": complete, **USER})
    assert answer["allowed"], answer
    assert len(answer["warnings"]) == 1


async def test_refusal_carries_field_reason_and_message(virt_api: VirtApi) -> None:
    bad = vm()
    bad["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": {}}
    answer = await virt_api.review("/virtualmachines-validate", {"object": bad, "name": "a", **USER})
    assert not answer["allowed"]
    status = answer["status"]
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["causes"] == [
        {
            "field": "spec.template.spec.affinity",
            "reason": "FieldValueNotSupported",
            "message": "spec.template.spec.affinity is not supported yet; leave it out",
        }
    ]
    assert "not supported yet" in status["message"]


async def test_node_agent_may_write_the_status_of_its_own_guests_only(virt_api: VirtApi) -> None:
    old = {**vmi(), "status": {"nodeName": "n1", "phase": "Scheduled"}}
    new = {**vmi(), "status": {"nodeName": "n1", "phase": "Running"}}
    request = {"operation": "UPDATE", "object": new, "oldObject": old}
    assert "patch" not in await virt_api.review("/virtualmachineinstances-mutate", {**request, **HANDLER})
    path = "/virtualmachineinstances-validate-update"
    assert (await virt_api.review(path, {**request, **HANDLER}))["allowed"]
    elsewhere = {**request, "oldObject": {**old, "status": {"nodeName": "n2"}}}
    assert not (await virt_api.review(path, {**elsewhere, **HANDLER}))["allowed"]


async def test_status_written_by_a_user_is_reverted(virt_api: VirtApi) -> None:
    old = {**vmi(), "status": {"phase": "Running"}}
    new = {**vmi(), "status": {"phase": "Succeeded"}}
    request = {"operation": "UPDATE", "object": new, "oldObject": old, **USER}
    answer = await virt_api.review("/virtualmachineinstances-mutate", request)
    assert patched(new, answer) == old


async def test_second_configuration_object_is_refused(virt_api: VirtApi) -> None:
    kubevirt = {"metadata": {"name": "other", "namespace": "x"}, "spec": {}}
    answer = await virt_api.review("/kubevirt-validate-create", {"object": kubevirt, **USER})
    assert "kubevirt/kubevirt" in answer["status"]["message"]
    request = {"operation": "UPDATE", "object": kubevirt, "oldObject": kubevirt, **USER}
    assert (await virt_api.review("/kubevirt-validate-update", request))["allowed"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"request": {"object": {}}}'])
async def test_what_is_no_review_is_answered_with_400(virt_api: VirtApi, body: bytes) -> None:
    url = f"{virt_api.url}/virtualmachines-validate"
    async with virt_api.session.post(url, data=body, ssl=virt_api.anonymous) as answer:
        assert answer.status == 400
