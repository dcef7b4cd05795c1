"""JSON paths of printer columns, string formats, ages."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from edgevirt.engine.apiserver.schema.ages import age, short_duration
from edgevirt.engine.apiserver.schema.formats import FORMATS
from edgevirt.engine.apiserver.schema.json_path import JsonPath

pytestmark = pytest.mark.unit

OBJ = {
    "spec": {"l": ["x", "y"], "a.b": 1, "deep": {"n": 3}},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "weight": 2},
            {"type": "Live", "status": "False", "weight": 7},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".spec.deep.n", [3]),
        (".spec.l[0]", ["x"]),
        (".spec.l[-1]", ["y"]),
        (".spec.l[5]", []),
        (".spec.l[*]", ["x", "y"]),
        (".spec.l[1:]", ["y"]),
        (".spec['a.b']", [1]),
        (".spec.a\\.b", [1]),
        ("{.spec.deep.n}", [3]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Live')].status", ["False"]),
        (".status.conditions[?(@.weight>5)].type", ["Live"]),
        (".status.conditions[?(@.nosuch)].type", []),
        (".nosuch.path", []),
    ],
)
def test_a_path_leads_to_its_values(path: str, values: list[Any]) -> None:
    assert JsonPath.parse(path).find(OBJ) == values


@pytest.mark.parametrize("path", [".a[(", ".a[?(x)]", "..a", ".a[?(@.b==unquoted)]"])
def test_a_path_that_is_not_understood_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|neither quoted"):
        JsonPath.parse(path)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
        ("date", "2026-01-02", "2026-13-02"),
        ("duration", "1h30m", "5 parsecs"),
        ("duration", "5 hours", "1x"),
        ("byte", "aGk=", "!"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "fe80::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "z"),
        ("hostname", "a.example.com", "-a"),
        ("uri", "https://x/y", "x y"),
        ("email", "a@b", "a"),
        ("hexcolor", "#fff", "#ggg"),
        ("rgbcolor", "rgb(1, 2, 255)", "rgb(1,2,256)"),
        ("k8s-short-name", "a-b", "a.b"),
        ("k8s-long-name", "a.b", "A.b"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
def test_formats_tell_good_from_bad(name: str, good: str, bad: str) -> None:
    assert FORMATS[name](good)
    assert not FORMATS[name](bad)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (270, "4m30s"),
        (3600, "60m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 600, "5h10m"),
        (47 * 3600, "47h"),
        (76 * 3600, "3d4h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
        (25 * 365 * 86400, "25y"),
    ],
)
def test_ages_get_coarser_as_they_grow(seconds: int, text: str) -> None:
    assert short_duration(seconds) == text


def test_an_age_needs_a_readable_time() -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert age("", now) == "<unknown>"
    assert age("junk", now) == "<invalid>"
    assert age("2025-12-31T23:59:55Z", now) == "5s"
