"""Reading and writing API objects."""

from __future__ import annotations

import typing

import msgspec
import pytest

from edgevirt.api import core
from edgevirt.api.core import Container, Pod, PodSpec
from edgevirt.api.meta import ObjectMeta

pytestmark = pytest.mark.unit


def test_every_core_type_resolves_its_annotations() -> None:
    for name in core.__all__:
        assert typing.get_type_hints(getattr(core, name)) is not None


def test_a_pod_is_written_in_camel_case_without_defaults() -> None:
    pod = Pod(
        api_version="v1",
        kind="Pod",
        metadata=ObjectMeta(name="p"),
        spec=PodSpec(containers=(Container(name="c", image="i", image_pull_policy="Never"),)),
    )
    assert msgspec.json.decode(msgspec.json.encode(pod)) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "imagePullPolicy": "Never"}]},
    }


def test_unknown_fields_are_skipped_when_reading() -> None:
    pod = msgspec.json.decode(b'{"kind": "Pod", "spec": {"newField": {"a": 1}, "nodeName": "n"}}', type=Pod)
    assert pod.spec is not None
    assert pod.spec.node_name == "n"


def test_objects_are_made_by_keyword_and_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ObjectMeta("name")  # type: ignore[call-arg, arg-type]  # the mistake is the point
    with pytest.raises(AttributeError):
        ObjectMeta().name = "x"  # type: ignore[misc]  # the mistake is the point
