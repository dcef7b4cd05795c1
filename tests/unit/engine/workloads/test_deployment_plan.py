"""One step of a Deployment at a time: sizes, revisions, history, proportions, and what its status says."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from edgevirt.api.apps import (
    Deployment,
    DeploymentCondition,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdateDeployment,
)
from edgevirt.api.core import Container, PodSpec, PodTemplateSpec
from edgevirt.api.meta import IntOrString, LabelSelector, ObjectMeta
from edgevirt.engine.controllers.workloads.deployment_plan import (
    DESIRED,
    HASH_LABEL,
    HISTORY,
    MAXIMUM,
    REVISION,
    Annotate,
    Create,
    Remove,
    Resize,
    fenceposts,
    plan,
    replicas_of,
    split,
)
from edgevirt.engine.controllers.workloads.deployment_status import outcome
from edgevirt.engine.controllers.workloads.template import with_label

pytestmark = pytest.mark.unit

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def template(image: str) -> PodTemplateSpec:
    return PodTemplateSpec(
        metadata=ObjectMeta(labels={"a": "b"}),
        spec=PodSpec(containers=(Container(name="c", image=image),)),
    )


def deployment(
    image: str = "new",
    replicas: int = 4,
    surge: IntOrString = 1,
    unavailable: IntOrString = 1,
    kind: str = "RollingUpdate",
    **more: object,
) -> Deployment:
    rolling = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    spec = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels={"a": "b"}),
        strategy=DeploymentStrategy(type=kind, rolling_update=rolling if kind == "RollingUpdate" else None),
        template=template(image),
        revision_history_limit=10,
        progress_deadline_seconds=600,
    )
    return Deployment(
        metadata=ObjectMeta(name="d", namespace="n", uid="d", generation=1),
        spec=msgspec.structs.replace(spec, **more),
    )


def replica_set(
    image: str,
    size: int,
    available: int | None = None,
    revision: int = 1,
    desired: int = 4,
    maximum: int = 5,
    created: str = "2026-01-01T00:00:00Z",
    **annotations: str,
) -> ReplicaSet:
    ready = size if available is None else available
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"d-{image}",
            namespace="n",
            uid=image,
            generation=1,
            creation_timestamp=created,
            annotations={
                REVISION: str(revision),
                DESIRED: str(desired),
                MAXIMUM: str(maximum),
                **annotations,
            },
        ),
        spec=ReplicaSetSpec(replicas=size, template=with_label(template(image), HASH_LABEL, image)),
        status=ReplicaSetStatus(
            replicas=size, ready_replicas=ready, available_replicas=ready, observed_generation=1
        ),
    )


def sizes(actions: tuple[object, ...]) -> dict[str, int]:
    return {a.replica_set.metadata.uid: a.replicas for a in actions if isinstance(a, Resize)}


def test_the_first_replica_set_is_made_at_full_size() -> None:
    planned = plan(deployment(), (), old_pods=False)
    (action,) = planned.actions
    assert isinstance(action, Create)
    assert action.name == f"d-{action.hash}"
    assert action.replicas == 4
    assert action.annotations == {DESIRED: "4", MAXIMUM: "5", REVISION: "1"}
    assert planned.revision == "1"


def test_a_new_template_starts_with_what_the_surge_allows() -> None:
    planned = plan(deployment(), (replica_set("old", 4),), old_pods=True)
    (action,) = planned.actions
    assert isinstance(action, Create)
    assert (action.replicas, planned.revision) == (1, "2")


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        # (size, available) of both; who is sized to what next
        ((1, 0), (4, 4), {"old": 3}),
        ((1, 0), (3, 3), {"new": 2}),
        ((2, 0), (3, 3), {}),
        ((2, 2), (3, 3), {"old": 1}),
        ((2, 2), (1, 1), {"new": 4}),
        ((4, 4), (1, 1), {"old": 0}),
        ((4, 4), (0, 0), {}),
    ],
)
def test_a_rolling_update_keeps_within_surge_and_availability(
    new: tuple[int, int], old: tuple[int, int], expected: dict[str, int]
) -> None:
    sets = (replica_set("old", *old), replica_set("new", *new, revision=2))
    assert sizes(plan(deployment(), sets, old_pods=True).actions) == expected


def test_a_rollout_with_broken_old_pods_replaces_those_first() -> None:
    sets = (replica_set("old", 4, 0), replica_set("new", 1, 0, revision=2))
    assert sizes(plan(deployment(), sets, old_pods=True).actions) == {"old": 3}


def test_recreating_waits_for_the_last_old_pod() -> None:
    one = deployment(kind="Recreate")
    down = plan(one, (replica_set("old", 4),), old_pods=True)
    assert sizes(down.actions) == {"old": 0}
    assert plan(one, (replica_set("old", 0),), old_pods=True).actions == ()
    (action,) = plan(one, (replica_set("old", 0),), old_pods=False).actions
    assert isinstance(action, Create)
    assert action.replicas == 4


def test_going_back_to_an_old_template_makes_it_the_newest_revision() -> None:
    sets = (
        replica_set("new", 0, revision=1, created="2026-01-01T00:00:00Z"),
        replica_set("other", 4, revision=2, created="2026-01-02T00:00:00Z"),
    )
    planned = plan(deployment(), sets, old_pods=True)
    (action,) = planned.actions
    assert isinstance(action, Annotate)
    assert action.annotations == {HISTORY: "1", REVISION: "3"}
    assert planned.revision == "3"


def test_a_paused_deployment_is_only_scaled() -> None:
    one = deployment(paused=True, replicas=6)
    assert sizes(plan(one, (replica_set("old", 4),), old_pods=True).actions) == {"old": 6}
    assert plan(deployment(paused=True), (replica_set("old", 4),), old_pods=True).actions == ()


def test_scaling_in_the_middle_of_a_rollout_keeps_the_proportions() -> None:
    sets = (
        replica_set("old", 6, desired=8, maximum=10),
        replica_set("new", 4, desired=8, maximum=10, revision=2),
    )
    planned = plan(deployment(replicas=16, surge=4), sets, old_pods=True)
    assert sizes(planned.actions) == {"old": 12, "new": 8}
    assert sum(sizes(planned.actions).values()) == 20


def test_old_revisions_beyond_the_limit_are_removed_oldest_first() -> None:
    sets = tuple(replica_set(f"old{number}", 0, revision=number) for number in (3, 1, 2))
    one = deployment(revision_history_limit=1)
    planned = plan(one, (*sets, replica_set("new", 4, revision=4)), old_pods=False)
    assert [a.replica_set.metadata.uid for a in planned.actions if isinstance(a, Remove)] == ["old1", "old2"]


def test_nothing_is_done_for_a_deployment_that_is_being_deleted() -> None:
    one = deployment()
    gone = msgspec.structs.replace(
        one, metadata=msgspec.structs.replace(one.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    )
    assert plan(gone, (), old_pods=False).actions == ()


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [(10, "25%", "25%", (3, 2)), (1, "25%", "25%", (1, 0)), (3, 0, "10%", (0, 1)), (2, 0, 5, (0, 2))],
)
def test_percentages_are_rounded_so_that_a_rollout_can_move(
    replicas: int, surge: IntOrString, unavailable: IntOrString, expected: tuple[int, int]
) -> None:
    spec = deployment(replicas=replicas, surge=surge, unavailable=unavailable).spec
    assert spec is not None
    assert fenceposts(spec) == expected


def test_a_rollout_ends_with_all_pods_new_whatever_is_available_when() -> None:
    """Step by step to the end: never below the minimum, never above the surge."""
    one = deployment()
    sets = {"old": replica_set("old", 4), "new": replica_set("new", 1, 0, revision=2)}
    for _ in range(30):
        actions = plan(one, tuple(sets.values()), old_pods=True).actions
        resized = sizes(actions)
        if not resized:
            stuck = [
                uid
                for uid, each in sets.items()
                if (each.status and each.status.available_replicas) != replicas_of(each)
            ]
            if not stuck:
                break
        for uid, size in resized.items():
            was = sets[uid].status
            assert was is not None
            ready = min(size, was.available_replicas or 0)
            sets[uid] = replica_set(uid, size, ready, revision=1 if uid == "old" else 2)
        if not resized:
            for uid in stuck:
                sets[uid] = replica_set(uid, replicas_of(sets[uid]), revision=1 if uid == "old" else 2)
        total = sum(replicas_of(each) for each in sets.values())
        available = sum((each.status.available_replicas or 0) if each.status else 0 for each in sets.values())
        assert total <= 5
        assert available >= 3
    assert {uid: replicas_of(each) for uid, each in sets.items()} == {"old": 0, "new": 4}


# Status -------------------------------------------------------------------------------------------------


def reasons(status: DeploymentStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def test_a_complete_deployment_is_available_and_has_progressed() -> None:
    one = deployment()
    new, old = split(one, (replica_set("new", 4),))
    found = outcome(one, new, old, "", None, NOW).status
    assert reasons(found) == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert (found.replicas, found.updated_replicas, found.ready_replicas, found.unavailable_replicas) == (
        4,
        4,
        4,
        None,
    )


def test_a_replica_set_just_made_counts_as_progress() -> None:
    one = deployment()
    found = outcome(one, replica_set("new", 4, 0), (), "d-new", None, NOW)
    assert reasons(found.status)["Progressing"] == ("True", "NewReplicaSetCreated")
    assert found.look_again == 600.0


def test_a_rollout_without_progress_times_out() -> None:
    condition = DeploymentCondition(
        type="Progressing",
        status="True",
        reason="ReplicaSetUpdated",
        last_update_time="2025-12-31T23:49:00Z",
        last_transition_time="2025-12-31T23:00:00Z",
    )
    one = msgspec.structs.replace(
        deployment(),
        status=DeploymentStatus(
            conditions=(condition,), replicas=4, updated_replicas=4, unavailable_replicas=4
        ),
    )
    found = outcome(one, replica_set("new", 4, 0), (), "", None, NOW).status
    assert reasons(found)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    message = next(c.message for c in found.conditions if c.type == "Progressing")
    assert message == 'ReplicaSet "d-new" has timed out progressing.'


def test_pausing_and_resuming_show_in_the_condition() -> None:
    one = deployment(paused=True)
    paused = outcome(one, replica_set("new", 4), (), "", None, NOW).status
    assert reasons(paused)["Progressing"] == ("Unknown", "DeploymentPaused")
    resumed = msgspec.structs.replace(deployment(), status=paused)
    after = outcome(resumed, replica_set("new", 4, 1), (), "", None, NOW).status
    assert reasons(after)["Progressing"] == ("Unknown", "DeploymentResumed")


def test_a_status_that_is_right_stays_as_it_is() -> None:
    one = deployment()
    new = replica_set("new", 4)
    first = outcome(one, new, (), "", None, NOW).status
    later = NOW + datetime.timedelta(hours=1)
    again = outcome(msgspec.structs.replace(one, status=first), new, (), "", None, later).status
    assert again == first
