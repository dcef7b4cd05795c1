"""LimitRanges: what containers get that say nothing, and what is out of bounds."""

from __future__ import annotations

from typing import Any

import pytest
from object_reader_fake import PODS, FakeReader, served, write

from edgevirt.engine.apiserver.admission.limit_ranger import (
    ANNOTATION,
    LimitBounds,
    LimitDefaults,
    LimitRanges,
)
from edgevirt.engine.apiserver.errors import StatusError

pytestmark = pytest.mark.unit

Json = dict[str, Any]
CLAIMS = served("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def ranges(*limits: Json) -> LimitRanges:
    reader = FakeReader()
    reader.put(
        "", "limitranges", {"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": list(limits)}}
    )
    return LimitRanges(reader)


def pod(**resources: Json) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}}


def refusal(made: LimitRanges, document: Json, resource: Any = PODS) -> str:
    try:
        LimitBounds(made).admit(write(resource, document))
    except StatusError as error:
        return error.message.partition("forbidden: ")[2]
    return ""


def test_defaults_fill_what_is_open_and_are_told_in_an_annotation() -> None:
    made = ranges({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}})
    document = pod()
    document["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "1"}}}]
    LimitDefaults(made).admit(write(PODS, document))
    assert document["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "100m"},
        "limits": {"cpu": "500m"},
    }
    assert document["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert document["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c; "
        "cpu limit for init container i"
    )


def test_what_is_said_stays_as_it_is() -> None:
    made = ranges({"type": "Container", "default": {"cpu": "500m"}})
    document = pod(limits={"cpu": "1"})
    LimitDefaults(made).admit(write(PODS, document))
    assert document == pod(limits={"cpu": "1"})


def test_every_bound_that_is_broken_is_named() -> None:
    made = ranges({"type": "Container", "max": {"cpu": "800m"}, "min": {"cpu": "50m"}})
    assert refusal(made, pod(requests={"cpu": "10m"}, limits={"cpu": "900m"})) == (
        "[minimum cpu usage per Container is 50m, but request is 10m, "
        "maximum cpu usage per Container is 800m, but limit is 900m]"
    )
    assert refusal(made, pod()) == (
        "[minimum cpu usage per Container is 50m.  No request is specified, "
        "maximum cpu usage per Container is 800m.  No limit is specified]"
    )
    assert refusal(made, pod(requests={"cpu": "50m"}, limits={"cpu": "800m"})) == ""


def test_a_pod_is_bounded_as_a_whole() -> None:
    made = ranges({"type": "Pod", "max": {"memory": "1Gi"}})
    document = pod(limits={"memory": "600Mi"})
    document["spec"]["containers"].append({"name": "d", "resources": {"limits": {"memory": "600Mi"}}})
    assert refusal(made, document) == "maximum memory usage per Pod is 1Gi, but limit is 1200Mi"


def test_the_ratio_of_limit_to_request_is_bounded() -> None:
    made = ranges({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}})
    assert refusal(made, pod(requests={"cpu": "100m"}, limits={"cpu": "300m"})) == (
        "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"
    )
    assert "no limit is specified" in refusal(made, pod(requests={"cpu": "100m"}))


def test_claims_are_bounded_by_their_size() -> None:
    made = ranges({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}})

    def claim(size: str) -> Json:
        return {"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": size}}}}

    assert refusal(made, claim("1Mi"), CLAIMS) == (
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    )
    assert refusal(made, claim("3Gi"), CLAIMS) == (
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    )
    assert refusal(made, claim("2Gi"), CLAIMS) == ""


def test_another_namespace_and_a_deleted_range_bound_nothing() -> None:
    reader = FakeReader()
    made = LimitRanges(reader)
    assert refusal(made, pod()) == ""
    limit = {"type": "Container", "min": {"cpu": "1"}}
    reader.put(
        "", "limitranges", {"metadata": {"name": "l", "namespace": "other"}, "spec": {"limits": [limit]}}
    )
    assert refusal(made, pod()) == ""
    reader.put("", "limitranges", {"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": [limit]}})
    assert refusal(made, pod()) != ""
    reader.drop("", "limitranges", "ns", "l")
    assert refusal(made, pod()) == ""
