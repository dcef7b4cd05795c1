"""ResourceQuota and LimitRange as they are written: names, scopes and bounds, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.apiserver.kinds.quota import LimitRanges, Quotas

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def faults(strategy: Quotas | LimitRanges, spec: Json, old: Json | None = None) -> list[str]:
    before = {"spec": old} if old is not None else None
    return [f"{cause.field}: {cause.message}" for cause in strategy.validate({"spec": spec}, before)]


def test_a_quota_of_known_resources_and_scopes_is_accepted() -> None:
    hard = {"pods": "3", "requests.cpu": "500m", "count/jobs.batch": "2", "requests.example.com/gpu": "1"}
    assert not faults(Quotas(), {"hard": hard, "scopes": ["NotTerminating"]})
    assert not faults(
        Quotas(),
        {
            "hard": {"pods": "1"},
            "scopeSelector": {
                "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
            },
        },
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"hard": {"nope": "1"}, "scopes": ["X"]},
            [
                'spec.hard[nope]: Invalid value: "nope": must be a standard resource type or fully qualified',
                'spec.hard[nope]: Invalid value: "nope": must be a standard resource for quota',
                'spec.scopes: Invalid value: ["X"]: unsupported scope',
            ],
        ),
        (
            {"hard": {"pods": "-1"}},
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        ({"hard": {"pods": "500m"}}, ['spec.hard[pods]: Invalid value: "500m": must be an integer']),
        (
            {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
        ),
        (
            {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
        ),
    ],
)
def test_a_quota_that_cannot_be_counted_is_refused(spec: Json, expected: list[str]) -> None:
    assert faults(Quotas(), spec) == expected


def test_the_scopes_of_a_quota_never_change() -> None:
    assert faults(Quotas(), {"hard": {}, "scopes": []}, {"scopes": ["Terminating"]}) == [
        "spec.scopes: Invalid value: []: field is immutable"
    ]


def test_a_limit_range_whose_bounds_fit_together_is_accepted() -> None:
    limits = [
        {
            "type": "Container",
            "default": {"cpu": "500m"},
            "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "800m"},
            "min": {"cpu": "50m"},
        },
        {"type": "Pod", "max": {"cpu": "1"}},
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}},
    ]
    assert not faults(LimitRanges(), {"limits": limits})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (
            [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}],
            ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
        ),
        (
            [{"type": "Pod", "default": {"cpu": "1"}}],
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            [{"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}],
            [
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, "
                "but neither was provided"
            ],
        ),
        (
            [{"type": "Pod", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "1"}}],
            ['spec.limits[1].type: Duplicate value: "Pod"'],
        ),
        (
            [{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}],
            ['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
        ),
        (
            [{"type": "Container", "max": {"pods": "1"}}],
            ['spec.limits[0].max[pods]: Invalid value: "pods": must be a standard resource for containers'],
        ),
    ],
)
def test_a_limit_range_that_contradicts_itself_is_refused(limits: list[Json], expected: list[str]) -> None:
    assert faults(LimitRanges(), {"limits": limits}) == expected
