"""Workload kinds as they are written: defaults, what is refused and in which words, what never changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgevirt.api import resources
from edgevirt.api.meta import Resource
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.request import UserInfo

pytestmark = pytest.mark.unit

Json = dict[str, Any]
REGISTRY = builtin_registry()
CONTEXT = WriteContext(UserInfo("u"), "2026-01-01T00:00:00Z")


def template(**spec: Any) -> Json:
    return {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec},
    }


def stored(resource: Resource[Any], spec: Json, old: Json | None = None) -> tuple[Json, list[str]]:
    """The object as it would be stored, and what is wrong with it."""
    served = REGISTRY.lookup(resource.group, resource.version, resource.plural)
    assert served is not None
    obj: Json = {"metadata": {"name": "x", "uid": "u-1"}, "spec": copy.deepcopy(spec)}
    assert served.schema.type_error(obj) is None
    assert served.schema.prune(obj) == []
    served.schema.apply_defaults(obj)
    again = copy.deepcopy(obj)
    served.schema.apply_defaults(again)
    assert again == obj, "defaults are idempotent"
    if old is None:
        served.strategy.prepare_for_create(obj, CONTEXT)
    causes = [*served.schema.validate(obj, old), *served.strategy.validate(obj, old)]
    return obj, [f"{cause.field}: {cause.message}" for cause in causes]


SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": template()}


def test_a_deployment_gets_its_defaults() -> None:
    obj, faults = stored(resources.DEPLOYMENTS, SELECTED)
    assert not faults
    spec = obj["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert obj["status"] == {}


def test_a_stateful_set_gets_its_defaults() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    obj, faults = stored(resources.STATEFUL_SETS, {**SELECTED, "volumeClaimTemplates": [claim]})
    assert not faults
    spec = obj["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["kind"] == "PersistentVolumeClaim"
    assert obj["status"] == {"replicas": 0, "availableReplicas": 0}


def test_a_daemon_set_updates_one_pod_at_a_time() -> None:
    obj, faults = stored(resources.DAEMON_SETS, SELECTED)
    assert not faults
    assert obj["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    assert obj["status"]["desiredNumberScheduled"] == 0


def test_a_job_is_given_labels_of_its_own_to_find_its_pods_by() -> None:
    obj, faults = stored(resources.JOBS, {"template": template(restartPolicy="Never")})
    assert not faults
    spec = obj["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 6)
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert spec["template"]["metadata"]["labels"] == {
        "a": "b",
        "batch.kubernetes.io/controller-uid": "u-1",
        "controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "x",
        "job-name": "x",
    }
    assert obj["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("resource", "spec", "expected"),
    [
        (resources.DEPLOYMENTS, {"template": template()}, ["spec.selector: Required value"]),
        (
            resources.DEPLOYMENTS,
            {"selector": {"matchLabels": {"a": "z"}}, "template": template()},
            [
                'spec.template.metadata.labels: Invalid value: {"a":"b"}: '
                "`selector` does not match template `labels`"
            ],
        ),
        (
            resources.DEPLOYMENTS,
            {**SELECTED, "replicas": -1},
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            resources.DEPLOYMENTS,
            {**SELECTED, "template": template(restartPolicy="Never")},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            resources.DEPLOYMENTS,
            {**SELECTED, "strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
                "'Recreate'"
            ],
        ),
        (
            resources.DEPLOYMENTS,
            {**SELECTED, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            [
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": '
                "may not be 0 when `maxSurge` is 0"
            ],
        ),
        (
            resources.DEPLOYMENTS,
            {**SELECTED, "progressDeadlineSeconds": 5, "minReadySeconds": 5},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            resources.REPLICA_SETS,
            {**SELECTED, "selector": {}},
            ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            resources.STATEFUL_SETS,
            {**SELECTED, "podManagementPolicy": "Wild"},
            ["spec.podManagementPolicy: Invalid value: \"Wild\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            resources.JOBS,
            {"template": template()},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            resources.JOBS,
            {
                "template": template(restartPolicy="Never"),
                "podFailurePolicy": {"rules": []},
            },
            ["spec.podFailurePolicy: Forbidden: this server's job controller does not implement it"],
        ),
        (
            resources.CRON_JOBS,
            {"schedule": "x", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}},
            ['spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]'],
        ),
        (
            resources.CRON_JOBS,
            {
                "schedule": "@daily",
                "timeZone": "Mars/Olympus",
                "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}},
            },
            ['spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus'],
        ),
        (
            resources.POD_DISRUPTION_BUDGETS,
            {"minAvailable": "101%", "selector": {"matchLabels": {"a": "b"}}},
            ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
        ),
    ],
)
def test_a_workload_that_cannot_work_is_refused(
    resource: Resource[Any], spec: Json, expected: list[str]
) -> None:
    assert stored(resource, spec)[1] == expected


@pytest.mark.parametrize("resource", [resources.DEPLOYMENTS, resources.REPLICA_SETS, resources.DAEMON_SETS])
def test_the_selector_of_a_workload_never_changes(resource: Resource[Any]) -> None:
    old, _ = stored(resource, SELECTED)
    changed = {"selector": {"matchLabels": {"a": "b", "c": "d"}}, "template": template()}
    changed["template"]["metadata"]["labels"]["c"] = "d"
    assert stored(resource, changed, old)[1] == [
        'spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable'
    ]


def test_a_stateful_set_changes_only_what_it_can_carry_out() -> None:
    old, _ = stored(resources.STATEFUL_SETS, {**SELECTED, "serviceName": "s"})
    assert not stored(resources.STATEFUL_SETS, {**SELECTED, "serviceName": "s", "replicas": 3}, old)[1]
    (fault,) = stored(resources.STATEFUL_SETS, {**SELECTED, "serviceName": "t"}, old)[1]
    assert fault == (
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
        "'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
        "'minReadySeconds' are forbidden"
    )


def test_the_template_of_a_job_stays_unless_it_waits_suspended() -> None:
    spec = {"template": template(restartPolicy="Never"), "suspend": True}
    old, _ = stored(resources.JOBS, spec)
    moved = copy.deepcopy(old["spec"])
    moved["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    assert not stored(resources.JOBS, moved, old)[1]
    old["spec"]["suspend"] = False
    faults = stored(resources.JOBS, moved, old)[1]
    assert len(faults) == 1
    assert faults[0].startswith("spec.template: Invalid value: ")
    assert faults[0].endswith(": field is immutable")


def test_no_autoscaling_ingress_or_network_policy_is_served() -> None:
    served = {(one.group, one.plural) for one in REGISTRY.list()}
    for missing in (
        ("autoscaling", "horizontalpodautoscalers"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("node.k8s.io", "runtimeclasses"),
    ):
        assert missing not in served


def test_workloads_are_shown_as_kubectl_users_know_them() -> None:
    served = REGISTRY.lookup("apps", "v1", "deployments")
    assert served is not None
    obj, _ = stored(resources.DEPLOYMENTS, SELECTED)
    obj["status"] = {"readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    cells = {
        column.name: column.cell(obj) for column in served.columns if column.cell and column.name != "Age"
    }
    assert cells == {
        "Name": "x",
        "Ready": "1/1",
        "Up-to-date": 1,
        "Available": 1,
        "Containers": "c",
        "Images": "i:1",
        "Selector": "a=b",
    }
    jobs = REGISTRY.lookup("batch", "v1", "jobs")
    assert jobs is not None
    job, _ = stored(resources.JOBS, {"template": template(restartPolicy="Never")})
    job["status"] = {
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:07Z",
        "succeeded": 1,
        "conditions": [{"type": "Complete", "status": "True"}],
    }
    cells = {column.name: column.cell(job) for column in jobs.columns if column.cell and column.name != "Age"}
    assert (cells["Status"], cells["Completions"], cells["Duration"]) == ("Complete", "1/1", "7s")
