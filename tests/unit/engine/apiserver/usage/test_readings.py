from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.usage.documents import node_metrics, pod_metrics
from edgevirt.engine.apiserver.usage.readings import Sample, Used, between, of_pod, parse
from edgevirt.engine.kubelet.accounting import Usage
from edgevirt.engine.kubelet.resource_metrics import Measured, exposition, summary

pytestmark = pytest.mark.unit


def measured(container: str, cpu: int, memory: int = 1 << 20, started: float = 50.0) -> Measured:
    return Measured("ns", "web", "uid", container, Usage(cpu, memory), 100.0, started)


def test_what_the_kubelet_says_is_what_is_read() -> None:
    text = exposition(
        Usage(5_000_000_000, 1 << 30), 100.0, [measured("", 9), measured("main", 1_500_000_000)]
    )
    reading = parse(text)
    assert reading.node == Sample(5.0, 1 << 30, 100.0)
    assert reading.containers == {("ns", "web", "main"): Sample(1.5, 1 << 20, 100.0, 50.0)}
    assert 'pod_cpu_usage_seconds_total{namespace="ns",pod="web"} 0.000000009 100000' in text
    assert "resource_scrape_error 0" in text


@pytest.mark.parametrize("text", ["what is this", "name{a=b} x", "a 1 2 3"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a sample"):
        parse(text)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.001, 1000))
def test_usage_is_never_negative(first: float, second: float, seconds: float) -> None:
    used = between(Sample(first, 1, 100.0, 1.0), Sample(second, 2, 100.0 + seconds, 1.0))
    assert used is not None
    assert used.cpu >= 0


def test_rate_is_what_was_used_over_the_time_between() -> None:
    assert between(Sample(1.0, 5, 100.0), Sample(1.5, 7, 102.0)) == Used(250_000_000, 7, 102.0, 2.0)


def test_container_started_meanwhile_is_measured_from_its_start() -> None:
    after = Sample(0.5, 7, 102.0, started=101.0)
    assert between(None, after) == Used(500_000_000, 7, 102.0, 1.0)
    assert between(Sample(9.0, 5, 100.0, started=10.0), after) == Used(500_000_000, 7, 102.0, 1.0)


def test_no_time_no_rate() -> None:
    assert between(Sample(1.0, 5, 100.0), Sample(1.0, 5, 100.0)) is None


def test_a_pod_is_measured_whole_or_not_at_all() -> None:
    before, after = parse(""), parse("")
    after.containers["ns", "web", "main"] = Sample(1.0, 1, 100.0, 99.0)
    assert set(of_pod(before, after, "ns", "web", ["main"])) == {"main"}
    assert of_pod(before, after, "ns", "web", ["main", "side"]) == {}


def test_objects_are_written_as_a_metrics_server_writes_them() -> None:
    node = {"metadata": {"name": "n", "uid": "x", "labels": {"a": "b"}}}
    assert node_metrics(node, Used(250_000_000, 3 << 20, 1_700_000_000.0, 1.25)) == {
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "n", "creationTimestamp": "2023-11-14T22:13:20Z", "labels": {"a": "b"}},
        "timestamp": "2023-11-14T22:13:20Z",
        "window": "1.25s",
        "usage": {"cpu": "250000000n", "memory": "3072Ki"},
    }
    pod = {"metadata": {"name": "p", "namespace": "ns"}}
    found = pod_metrics(pod, {"main": Used(0, 1 << 20, 100.0, 15.0)})
    assert found["containers"] == [{"name": "main", "usage": {"cpu": "0", "memory": "1024Ki"}}]
    assert (found["metadata"]["namespace"], found["window"]) == ("ns", "15s")


def test_the_summary_has_pods_with_their_containers() -> None:
    found = summary("n", 1.0, 4 << 30, Usage(7, 1 << 30), 100.0, [measured("main", 3), measured("", 4)])
    assert found["node"]["memory"] == {
        "time": "1970-01-01T00:01:40Z",
        "workingSetBytes": 1 << 30,
        "availableBytes": 3 << 30,
    }
    (pod,) = found["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "ns", "uid": "uid"}
    assert pod["cpu"]["usageCoreNanoSeconds"] == 4
    assert [container["name"] for container in pod["containers"]] == ["main"]
