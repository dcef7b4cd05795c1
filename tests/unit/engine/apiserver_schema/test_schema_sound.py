"""The short way past the decoder's checks: only for objects that all of them leave alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.builtins import builtin_registry

pytestmark = pytest.mark.unit

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "a",
        "labels": {"app": "a"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}, "time": "2026-01-01T00:00:00Z"}],
    },
    "spec": {
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 30,
        "tolerations": [{"key": "k", "tolerationSeconds": 5}],
        "containers": [
            {
                "name": "c",
                "command": ["a", "b"],
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
    },
}
ODD: list[Any] = [
    None,
    1,
    -(2**40),
    1.5,
    True,
    "x",
    "1024Mi",
    "",
    {},
    [],
    [None],
    {"unknown": 1},
    {"a": None},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield (*path, step)
        yield from places(below, (*path, step))


def with_value(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(POD)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    result: dict[str, Any] = changed
    return result


def test_a_usual_object_takes_the_short_way() -> None:
    resource = builtin_registry().lookup("", "v1", "pods")
    assert resource is not None
    assert resource.schema.is_sound(copy.deepcopy(POD))


def test_nothing_takes_the_short_way_that_the_long_one_would_refuse_or_change() -> None:
    resource = builtin_registry().lookup("", "v1", "pods")
    assert resource is not None
    schema = resource.schema
    seen = {True: 0, False: 0}
    for path in places(POD):
        for odd in ODD:
            obj = with_value(path, odd)
            sound = schema.is_sound(obj)
            seen[sound] += 1
            if not sound:
                continue
            before = json.dumps(obj)
            assert schema.type_error(obj) is None, (path, odd)
            assert schema.prune(obj) == [], (path, odd)
            assert json.dumps(obj) == before, (path, odd)
    assert min(seen.values()) > 50
