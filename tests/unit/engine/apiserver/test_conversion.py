"""What a conversion webhook may answer, and what of its answer counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgevirt.engine.apiserver.conversion import ConversionEndpoint, Converter, NotConverted, read_answer
from edgevirt.engine.apiserver.errors import StatusError

pytestmark = pytest.mark.unit

Json = dict[str, Any]
ORIGINAL: Json = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"x": "y"}},
    "spec": {"old": 1},
}
CONVERTED: Json = {**ORIGINAL, "apiVersion": "example.com/v2", "spec": {"new": 1}}


def answer(**changes: Any) -> bytes:
    response = {"uid": "u1", "result": {"status": "Success"}, "convertedObjects": [CONVERTED], **changes}
    review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response}
    return json.dumps(review).encode()


def read(data: bytes) -> list[Json]:
    return read_answer(data, "u1", [ORIGINAL], "example.com/v2")


def test_a_converted_object_keeps_its_metadata_but_for_labels_and_annotations() -> None:
    metadata = {
        **ORIGINAL["metadata"],
        "resourceVersion": "9",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
    }
    (found,) = read(answer(convertedObjects=[{**CONVERTED, "metadata": metadata}]))
    assert found["spec"] == {"new": 1}
    assert found["metadata"] == {**ORIGINAL["metadata"], "labels": {"a": "b"}, "annotations": {"c": "d"}}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "json parse error"),
        (b"[]", "the answer is no object"),
        (
            b'{"kind":"X"}',
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind=X",
        ),
        (answer(uid="other"), 'expected response.uid="u1", got "other"'),
        (answer(result={"status": "Failure", "message": "cannot"}), "cannot"),
        (answer(convertedObjects=[]), "returned 0 objects, expected 1"),
        (answer(convertedObjects=["x"]), "returned invalid object at index 0"),
        (
            answer(convertedObjects=[ORIGINAL]),
            "invalid groupVersion (expected example.com/v2, received example.com/v1)",
        ),
        (
            answer(convertedObjects=[{**CONVERTED, "kind": "Other"}]),
            "invalid kind (expected Thing, received Other)",
        ),
        (
            answer(convertedObjects=[{**CONVERTED, "metadata": {"name": "b"}}]),
            "metadata.name must be unchanged",
        ),
        (
            answer(
                convertedObjects=[{**CONVERTED, "metadata": {**ORIGINAL["metadata"], "labels": {"a": 1}}}]
            ),
            "labels must map text to text",
        ),
    ],
)
def test_an_answer_that_cannot_be_used_says_why(data: bytes, problem: str) -> None:
    with pytest.raises(NotConverted) as failure:
        read(data)
    assert problem in str(failure.value)


class Hook:
    def __init__(self, fail: str = "") -> None:
        self.fail = fail
        self.asked: list[Json] = []

    async def post(self, endpoint: ConversionEndpoint, body: bytes) -> bytes:
        if self.fail:
            raise NotConverted(self.fail)
        request = json.loads(body)["request"]
        self.asked.append(request)
        objects = [{**obj, "apiVersion": request["desiredAPIVersion"]} for obj in request["objects"]]
        return answer(uid=request["uid"], convertedObjects=objects)


def converter(hook: Hook | None) -> Converter:
    endpoint = ConversionEndpoint.from_dict({"url": "https://x/convert"})
    return Converter("example.com", "Thing", "v1", endpoint, lambda: hook)


async def test_only_objects_of_another_version_are_sent_and_their_order_stays() -> None:
    hook = Hook()
    second = {**CONVERTED, "metadata": {"name": "b"}}
    found = await converter(hook).convert([ORIGINAL, second, ORIGINAL], "v2")
    assert [obj["metadata"]["name"] for obj in found] == ["a", "b", "a"]
    assert [obj["apiVersion"] for obj in found] == ["example.com/v2"] * 3
    assert [len(request["objects"]) for request in hook.asked] == [2]
    assert await converter(hook).convert([second], "v2") == [second]
    assert len(hook.asked) == 1


async def test_a_failure_is_told_with_the_version_that_could_not_be_converted() -> None:
    with pytest.raises(StatusError) as failure:
        await converter(Hook(fail='Post "https://x": refused')).convert([ORIGINAL], "v2")
    assert failure.value.code == 500
    assert failure.value.message == (
        'conversion webhook for example.com/v1, Kind=Thing failed: Post "https://x": refused'
    )
    with pytest.raises(StatusError):
        await converter(None).convert([ORIGINAL], "v2")
