"""Label and field selectors select what Kubernetes' would, and refuse what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.objects import encode
from edgevirt.engine.apiserver.reading.selectors import parse, parse_labels
from edgevirt.engine.store.records import Record

pytestmark = pytest.mark.unit

PODS = builtin_registry().lookup("", "v1", "pods")
assert PODS is not None


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("x", {"x": ""}, True),
        ("!x", {"x": "1"}, False),
        ("!x", {}, True),
        ("x=1", {"x": "1"}, True),
        ("x==1", {"x": "2"}, False),
        ("x!=1", {}, True),
        ("x in (1, 2)", {"x": "2"}, True),
        ("x in ()", {"x": ""}, True),
        ("x notin (1),y", {"y": "1"}, True),
        ("x>5", {"x": "10"}, True),
        ("x<5", {"x": "ten"}, False),
        ("a.b/c=d,e", {"a.b/c": "d", "e": ""}, True),
        ("in=1", {"in": "1"}, True),
    ],
)
def test_label_selector_matches(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert all(requirement.matches(labels) for requirement in parse_labels(selector)) is matches


@pytest.mark.parametrize(
    "selector", ["x in", "=a", "x=1,,y", "a/b/c=1", "x>y", "x=-bad-", "a b", "x in (a", "!!x"]
)
def test_malformed_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_labels(selector)
    assert caught.value.code == 400


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(StatusError):
        for requirement in parse_labels(text):
            assert requirement.matches({}) in (True, False)


def pod(name: str, node: str) -> Record:
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    }
    return Record(f"ns/{name}", 1, encode(document))


def test_field_selector_reads_the_fields_of_the_kind() -> None:
    assert PODS is not None
    selector = parse("", "spec.nodeName=n1,status.phase!=Failed,metadata.namespace=ns", PODS)
    assert selector.matches(pod("a", "n1"), PODS)
    assert not selector.matches(pod("b", "n2"), PODS)
    assert parse("", "metadata.name=a", PODS).exact("metadata.name") == "a"


def test_field_that_is_not_selectable_is_refused() -> None:
    assert PODS is not None
    with pytest.raises(StatusError, match=r"field label not supported: spec\.image"):
        parse("", "spec.image=x", PODS)
