"""PriorityClasses that users may make, the one that may be the default, and claims that may grow."""

from __future__ import annotations

from typing import Any

import pytest
from object_reader_fake import PODS, FakeReader, served, write

from edgevirt.engine.apiserver.admission.claim_resize import ClaimResize
from edgevirt.engine.apiserver.admission.pod_defaults import OneDefaultPriority, Priority
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.kinds.priority_class import PriorityClasses

pytestmark = pytest.mark.unit

Json = dict[str, Any]
CLASSES = served("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
CLAIMS = served("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def priority(name: str, value: int = 1, **more: Any) -> Json:
    return {"metadata": {"name": name}, "value": value, **more}


def refusal(plugin: Any, attributes: Any) -> str:
    try:
        plugin.admit(attributes)
    except StatusError as error:
        return error.message.partition("forbidden: ")[2]
    return ""


@pytest.mark.parametrize(
    ("new", "old", "problem"),
    [
        (priority("a", 10**9), None, ""),
        (priority("a", 10**9 + 1), None, "maximum allowed value of a user defined priority is 1000000000"),
        (priority("system-x"), None, "system-x is not a known system priority class"),
        (priority("system-node-critical", 2000001000), None, ""),
        (priority("system-node-critical", 1), None, "must be 2000001000"),
        (priority("a", 2), priority("a", 1), "may not be changed in an update."),
        (
            priority("a", preemptionPolicy="Never"),
            priority("a", preemptionPolicy="PreemptLowerPriority"),
            "field is immutable",
        ),
        (priority("a", preemptionPolicy="x"), None, 'Unsupported value: "x"'),
    ],
)
def test_values_and_names_of_the_system_are_reserved(new: Json, old: Json | None, problem: str) -> None:
    found = [cause.message for cause in PriorityClasses().validate(new, old)]
    assert any(problem in message for message in found) if problem else not found


def test_only_one_class_is_the_default() -> None:
    reader = FakeReader()
    reader.put("scheduling.k8s.io", "priorityclasses", priority("first", globalDefault=True))
    plugin = OneDefaultPriority(reader)
    text = "PriorityClass first is already marked as default. Only one default can exist"
    assert refusal(plugin, write(CLASSES, priority("second", globalDefault=True))) == text
    assert refusal(plugin, write(CLASSES, priority("second"))) == ""
    again = priority("first", globalDefault=True)
    assert refusal(plugin, write(CLASSES, again, again)) == ""


def test_a_pod_cannot_choose_another_preemption_than_its_class() -> None:
    reader = FakeReader()
    reader.put("scheduling.k8s.io", "priorityclasses", priority("calm", preemptionPolicy="Never"))
    pod = {
        "metadata": {"name": "p"},
        "spec": {"priorityClassName": "calm", "preemptionPolicy": "PreemptLowerPriority"},
    }
    assert "the string value of PreemptionPolicy (PreemptLowerPriority) must not" in refusal(
        Priority(reader), write(PODS, pod)
    )


def claim(size: str, phase: str = "Bound", storage_class: str | None = "fast") -> Json:
    spec: Json = {"resources": {"requests": {"storage": size}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("old", "size", "problem"),
    [
        (claim("1Gi"), "2Gi", ""),
        (claim("1Gi"), "1Gi", ""),
        (claim("1Gi", "Pending"), "2Gi", "Only bound persistent volume claims can be expanded"),
        (claim("1Gi", storage_class="slow"), "2Gi", "must support resize"),
        (claim("1Gi", storage_class=None), "2Gi", "must support resize"),
    ],
)
def test_a_claim_grows_where_its_class_can(old: Json, size: str, problem: str) -> None:
    reader = FakeReader()
    reader.put(
        "storage.k8s.io", "storageclasses", {"metadata": {"name": "fast"}, "allowVolumeExpansion": True}
    )
    reader.put("storage.k8s.io", "storageclasses", {"metadata": {"name": "slow"}})
    new = {**old, "spec": {**old["spec"], "resources": {"requests": {"storage": size}}}}
    found = refusal(ClaimResize(reader), write(CLAIMS, new, old))
    assert problem in found if problem else found == ""
