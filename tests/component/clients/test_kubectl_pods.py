"""kubectl with pods that run: logs, events, describe, nodes, and pods that cannot start."""

from __future__ import annotations

import json

import pytest
from busybox_pod import IMAGE, pod
from client_process import Kubectl

pytestmark = pytest.mark.component


@pytest.mark.client("kubectl", "logs: -c, --tail, --since, --timestamps, -l, --previous, -f, what is refused")
def test_logs_are_shown_and_followed(web: Kubectl) -> None:
    assert sorted(web("logs", "web").splitlines()) == ["problem", "started"]
    assert len(web("logs", "web", "-c", "main", "--tail=1").splitlines()) == 1
    assert web("logs", "-l", "app=web", "--since=1h") == web("logs", "pod/web")
    stamp, _, _ = web("logs", "web", "--timestamps", "--tail=1").partition(" ")
    assert stamp.endswith("Z")
    assert "T" in stamp
    assert "container none is not valid for pod web" in web.fails("logs", "web", "-c", "none")
    assert 'previous terminated container "main" in pod "web" not found' in web.fails(
        "logs", "web", "--previous"
    )
    with web.started("logs", "-f", "web") as following:
        following.until("started")
        web("delete", "pod", "web")
        assert following.end() == 0


@pytest.mark.client("kubectl", "describe and events of a pod and its node; get pods -o wide")
def test_a_pod_can_be_looked_at(web: Kubectl) -> None:
    row = web("get", "pods", "-o", "wide").splitlines()
    assert row[0].split() == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED",
        "NODE",
        "READINESS",
        "GATES",
    ]
    assert row[1].split()[:4] == ["web", "1/1", "Running", "0"]
    described = web("describe", "pod", "web")
    for line in ("Status:           Running", "Normal  Scheduled", "Normal  Started"):
        assert " ".join(line.split()) in " ".join(described.split())
    events = web(
        "get", "events", "--field-selector=involvedObject.name=web", "-o", "jsonpath={.items[*].reason}"
    )
    assert {"Scheduled", "Created", "Started"} <= set(events.split())
    if web.modern:
        shown = web("events", "--for=pod/web")
        assert "Scheduled" in shown
        assert "Successfully assigned" in shown
    node = web("get", "pod", "web", "-o", "jsonpath={.spec.nodeName}")
    described = web("describe", "node", node)
    assert f"{web.namespace} " in described
    assert "Allocated resources" in described


@pytest.mark.client("kubectl", "cordon, uncordon and taint of a node")
def test_nodes_can_be_closed_and_opened(kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    assert kubectl("cordon", node) == f"node/{node} cordoned\n"
    assert "Ready,SchedulingDisabled" in kubectl("get", "nodes")
    assert kubectl("uncordon", node) == f"node/{node} uncordoned\n"
    kubectl("taint", "nodes", node, "example.com/x=y:PreferNoSchedule")
    assert "example.com/x" in kubectl("describe", "node", node)
    kubectl("taint", "nodes", node, "example.com/x-")


@pytest.mark.client("kubectl", "set image; get, describe and logs of a pod that cannot start")
def test_errors_of_a_pod_are_visible(kubectl: Kubectl) -> None:
    broken = pod("broken", "true")
    broken["spec"]["containers"][0]["image"] = "localhost/none"
    broken["spec"]["containers"][0]["imagePullPolicy"] = "Never"
    kubectl.create(broken)
    with kubectl.started("get", "pod", "broken", "-w") as watch:
        watch.until("ErrImageNeverPull")
    assert "ErrImageNeverPull" in kubectl("describe", "pod", "broken")
    refused = kubectl.fails("logs", "broken")
    assert 'container "main" in pod "broken" is waiting to start' in refused
    assert kubectl("set", "image", "pod/broken", f"main={IMAGE}") == "pod/broken image updated\n"
    assert (
        json.loads(kubectl("get", "pod", "broken", "-o", "json"))["spec"]["containers"][0]["image"] == IMAGE
    )


@pytest.mark.client("kubectl", "events of events.k8s.io: get in a table and by selector")
def test_events_have_a_newer_name(web: Kubectl) -> None:
    shown = web("get", "events.events.k8s.io", "--field-selector=regarding.name=web,reason=Started")
    assert shown.split()[:6] == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert "pod/web" in shown
    (event,) = web.json("events.events.k8s.io", "--field-selector=regarding.name=web,reason=Started")["items"]
    assert event["apiVersion"] == "events.k8s.io/v1"
    assert "tarted" in event["note"]
    assert event["regarding"]["kind"] == "Pod"
