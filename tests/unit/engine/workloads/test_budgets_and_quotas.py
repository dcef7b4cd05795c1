"""Disruption budgets, quotas and the protection of claims: what their controllers conclude."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest
from pod_maker import pod

from edgevirt.api.core import PersistentVolumeClaimVolumeSource, PodSpec, Volume
from edgevirt.api.meta import IntOrString, ObjectMeta
from edgevirt.api.policy import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from edgevirt.engine.controllers.disruption_plan import failed, needs_scale, outcome
from edgevirt.engine.controllers.resource_quota import kinds_of, used
from edgevirt.engine.controllers.storage_protection import is_used

pytestmark = pytest.mark.unit

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)


def budget(
    low: IntOrString | None = None, high: IntOrString | None = None, **status: Any
) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="b", namespace="n", generation=2),
        spec=PodDisruptionBudgetSpec(min_available=low, max_unavailable=high),
        status=PodDisruptionBudgetStatus(**status),
    )


@pytest.mark.parametrize(
    ("one", "healthy", "sick", "wanted", "allowed"),
    [
        (budget(low=2), 3, 0, 3, 1),
        (budget(low=2), 2, 1, 3, 0),
        (budget(low=0), 1, 0, 1, 1),
        (budget(high=1), 3, 0, 3, 1),
        (budget(high=1), 2, 1, 3, 0),
        (budget(high="34%"), 3, 0, 3, 2),
        (budget(low="50%"), 3, 0, 3, 1),
        (budget(low=1), 0, 0, 0, 0),
    ],
)
def test_a_budget_allows_what_is_healthy_beyond_what_must_stay(
    one: PodDisruptionBudget, healthy: int, sick: int, wanted: int, allowed: int
) -> None:
    pods = [pod(f"h{n}") for n in range(healthy)] + [pod(f"s{n}", ready=False) for n in range(sick)]
    found = outcome(one, pods, wanted, NOW).status
    assert found.disruptions_allowed == allowed
    assert found.current_healthy == healthy
    assert found.observed_generation == 2
    assert found.conditions[0].reason == ("SufficientPods" if allowed else "InsufficientPods")


def test_only_percentages_and_the_most_that_may_miss_need_the_size_of_controllers() -> None:
    assert not needs_scale(PodDisruptionBudgetSpec(min_available=1))
    assert needs_scale(PodDisruptionBudgetSpec(min_available="50%"))
    assert needs_scale(PodDisruptionBudgetSpec(max_unavailable=1))


def test_a_pod_just_evicted_counts_as_gone_for_two_minutes() -> None:
    pods = [pod("a"), pod("b")]
    fresh = budget(low=1, disrupted_pods={"a": "2026-01-01T11:59:30Z", "gone": "2026-01-01T11:59:30Z"})
    found = outcome(fresh, pods, 2, NOW)
    assert (found.status.current_healthy, found.status.disruptions_allowed) == (1, 0)
    assert found.status.disrupted_pods == {"a": "2026-01-01T11:59:30Z"}
    assert found.look_again == 90.0
    stale = budget(low=1, disrupted_pods={"a": "2026-01-01T11:57:00Z"})
    assert outcome(stale, pods, 2, NOW).status.current_healthy == 2


def test_a_budget_that_cannot_be_worked_out_allows_nothing_and_says_why() -> None:
    found = failed(budget(high=1, disruptions_allowed=3), "no scale", NOW)
    assert found.disruptions_allowed == 0
    assert (found.conditions[0].reason, found.conditions[0].message) == ("SyncFailed", "no scale")


def test_the_names_of_a_quota_say_which_kinds_are_counted() -> None:
    served = [("", "pods"), ("batch", "jobs"), ("", "services"), ("", "configmaps")]
    names = ("count/jobs.batch", "configmaps", "requests.cpu", "services.nodeports", "count/nothing.x")
    assert kinds_of(names, served) == {("batch", "jobs"), ("", "configmaps"), ("", "pods"), ("", "services")}
    assert kinds_of(("gold.storageclass.storage.k8s.io/requests.storage",), served) == {
        ("", "persistentvolumeclaims")
    }


def test_usage_is_what_the_counted_objects_add_up_to() -> None:
    asking = {"spec": {"containers": [{"resources": {"requests": {"cpu": "500m"}}}]}}
    ended = {**asking, "status": {"phase": "Succeeded"}}
    objects = {("", "pods"): [asking, asking, ended], ("", "configmaps"): [{}, {}]}
    spec = {"hard": {"requests.cpu": "4", "pods": "9", "configmaps": "5", "secrets": "1"}}
    assert used(spec, objects) == {"requests.cpu": "1", "pods": "2", "configmaps": "2", "secrets": "0"}
    best_effort = {"hard": {"pods": "9"}, "scopes": ["BestEffort"]}
    assert used(best_effort, {("", "pods"): [asking, {"spec": {"containers": [{}]}}]}) == {"pods": "1"}


def test_a_claim_is_used_by_pods_that_are_placed_and_have_not_ended() -> None:
    source = PersistentVolumeClaimVolumeSource(claim_name="data")
    volumes = (Volume(name="v", persistent_volume_claim=source),)
    placed = pod("a", spec=PodSpec(node_name="box", volumes=volumes))
    assert is_used("data", [placed])
    assert not is_used("other", [placed])
    assert not is_used("data", [pod("a", "Succeeded", spec=PodSpec(node_name="box", volumes=volumes))])
    assert placed.spec is not None
    waiting = msgspec.structs.replace(placed, spec=msgspec.structs.replace(placed.spec, node_name=""))
    assert not is_used("data", [waiting])
