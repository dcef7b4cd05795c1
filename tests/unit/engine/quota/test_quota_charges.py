"""What objects use, which quotas count them, and when a quota says no."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.api.quantity import parse
from edgevirt.engine.quota.amounts import added, increase
from edgevirt.engine.quota.charge import Refused, Write, charged, charges
from edgevirt.engine.quota.pods import pod_amounts
from edgevirt.engine.quota.usage import usage_of

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def container(name: str = "c", requests: Json | None = None, limits: Json | None = None, **more: Any) -> Json:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, "resources": resources, **more}


def pod(*containers: Json, **spec: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def quota(hard: Json, used: Json | None = None, **spec: Any) -> Json:
    status = {"hard": hard, "used": dict.fromkeys(hard, "0") if used is None else used}
    return {"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": hard, **spec}, "status": status}


def new(plural: str, obj: Json, group: str = "") -> Write:
    return Write(group, plural, "CREATE", obj, None)


def refusal(document: Json, write: Write) -> str:
    try:
        charges([document], write)
    except Refused as error:
        return str(error)
    return ""


def test_containers_add_up_and_init_containers_run_before_them() -> None:
    spec = pod(
        container("a", {"cpu": "1"}),
        container("b", {"cpu": "500m"}),
        initContainers=[
            container("sidecar", {"cpu": "100m"}, restartPolicy="Always"),
            container("big", {"cpu": "3"}),
        ],
        overhead={"cpu": "10m"},
    )["spec"]
    assert pod_amounts(spec, "requests") == {"cpu": "3110m"}
    assert pod_amounts(
        pod(container("a", {"cpu": "1"}), container("b", {"cpu": "1"}))["spec"], "requests"
    ) == {"cpu": "2"}


def test_a_pod_uses_itself_and_what_it_asks_for() -> None:
    asked = container("a", {"cpu": "100m", "memory": "1Gi", "x.com/gpu": "2"}, {"cpu": "1"})
    assert usage_of("", "pods", pod(asked)) == {
        "pods": "1",
        "count/pods": "1",
        "cpu": "100m",
        "requests.cpu": "100m",
        "limits.cpu": "1",
        "memory": "1Gi",
        "requests.memory": "1Gi",
        "requests.x.com/gpu": "2",
    }
    assert usage_of("", "pods", {**pod(asked), "status": {"phase": "Succeeded"}}) == {}


@pytest.mark.parametrize(
    ("group", "plural", "obj", "usage"),
    [
        ("", "configmaps", {}, {"configmaps": "1", "count/configmaps": "1"}),
        ("apps", "deployments", {}, {"count/deployments.apps": "1"}),
        ("example.com", "widgets", {}, {"count/widgets.example.com": "1"}),
        ("", "events", {}, {}),
        (
            "",
            "services",
            {"spec": {"type": "LoadBalancer", "ports": [{}, {}]}},
            {
                "services": "1",
                "count/services": "1",
                "services.loadbalancers": "1",
                "services.nodeports": "2",
            },
        ),
        (
            "",
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}},
            {
                "persistentvolumeclaims": "1",
                "count/persistentvolumeclaims": "1",
                "requests.storage": "1Gi",
                "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
            },
        ),
    ],
)
def test_objects_use_what_kubernetes_counts(group: str, plural: str, obj: Json, usage: Json) -> None:
    assert usage_of(group, plural, obj) == usage


def test_a_full_quota_says_what_was_asked_used_and_allowed() -> None:
    full = quota({"configmaps": "1"}, {"configmaps": "1"})
    assert refusal(full, new("configmaps", {})) == (
        "exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
    )
    big = new("pods", pod(container("c", {"cpu": "2", "memory": "1Gi"})))
    tight = quota({"requests.cpu": "1", "requests.memory": "512Mi"})
    assert refusal(tight, big) == (
        "exceeded quota: q, requested: requests.cpu=2,requests.memory=1Gi, "
        "used: requests.cpu=0,requests.memory=0, limited: requests.cpu=1,requests.memory=512Mi"
    )


def test_a_pod_must_say_what_a_quota_counts() -> None:
    lacking = new("pods", pod(container("a"), container("b", {"cpu": "1"})))
    assert refusal(quota({"requests.cpu": "9", "limits.memory": "1Gi"}), lacking) == (
        "failed quota: q: must specify limits.memory for: a,b; requests.cpu for: a"
    )
    assert refusal(quota({"pods": "9"}), lacking) == ""


def test_a_quota_without_usage_lets_nothing_through_and_one_without_status_everything() -> None:
    assert refusal(quota({"configmaps": "1"}, {}), new("configmaps", {})) == (
        "status unknown for quota: q, resources: configmaps"
    )
    unseen = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}, "status": {}}
    assert refusal(unseen, new("configmaps", {})) == ""


@pytest.mark.parametrize(
    ("scope", "spec", "counted"),
    [
        ({"scopes": ["BestEffort"]}, {}, True),
        ({"scopes": ["NotBestEffort"]}, {}, False),
        ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True),
        ({"scopes": ["NotTerminating"]}, {"activeDeadlineSeconds": 5}, False),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]
                }
            },
            {"priorityClassName": "a"},
            True,
        ),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}},
            {},
            False,
        ),
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            {
                "affinity": {
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}
                }
            },
            True,
        ),
    ],
)
def test_scopes_decide_which_pods_count(scope: Json, spec: Json, counted: bool) -> None:
    full = quota({"pods": "0"}, **scope)
    assert bool(refusal(full, new("pods", pod(container(), **spec)))) is counted
    assert refusal(quota({"configmaps": "0"}, **scope), new("configmaps", {})) == ""


def test_a_growing_claim_is_charged_with_the_difference() -> None:
    def claim(size: str) -> Json:
        return {"spec": {"resources": {"requests": {"storage": size}}}}

    document = quota(
        {"requests.storage": "10Gi", "persistentvolumeclaims": "1"},
        {"requests.storage": "8Gi", "persistentvolumeclaims": "1"},
    )
    grown = Write("", "persistentvolumeclaims", "UPDATE", claim("10Gi"), claim("8Gi"))
    assert charges([document], grown) == {"q": {"requests.storage": "2Gi"}}
    too_big = Write("", "persistentvolumeclaims", "UPDATE", claim("11Gi"), claim("8Gi"))
    assert "exceeded quota" in refusal(document, too_big)
    assert charges([document], Write("", "configmaps", "UPDATE", {}, {})) == {}


def test_a_charge_is_added_to_what_is_used_and_checked_again() -> None:
    document = quota({"configmaps": "2", "pods": "5"}, {"configmaps": "1", "pods": "3"})
    after = charged(document, {"configmaps": "1"})
    assert after["status"]["used"] == {"configmaps": "2", "pods": "3"}
    with pytest.raises(Refused):
        charged(after, {"configmaps": "1"})


@given(st.lists(st.integers(0, 10**6), max_size=5), st.lists(st.integers(0, 10**6), max_size=5))
def test_sums_and_differences_of_amounts_are_exact(one: list[int], other: list[int]) -> None:
    first = added(*({"cpu": f"{milli}m"} for milli in one), {"cpu": "0"})
    second = added(*({"cpu": f"{milli}m"} for milli in other), {"cpu": "0"})
    assert parse(first["cpu"]) * 1000 == sum(one)
    more = increase(first, second)
    assert parse(more.get("cpu", "0")) * 1000 == max(0, sum(one) - sum(other))
