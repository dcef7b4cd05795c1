"""Tables: the columns of built-in kinds and of custom ones."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from edgevirt.api import resources
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.reading import tables
from edgevirt.engine.apiserver.registry import Column, ServedResource
from edgevirt.engine.apiserver.schema.builtin_columns import builtin_columns
from edgevirt.engine.apiserver.schema.crd import served_resources

pytestmark = pytest.mark.unit

Json = dict[str, Any]
NOW = datetime.datetime(2026, 1, 1, 0, 1, tzinfo=datetime.UTC)
BORN = "2026-01-01T00:00:00Z"


def row(columns: tuple[Column, ...], obj: Json) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column in columns:
        assert column.cell is not None
        value = column.cell(obj)
        values[column.name] = value.render(NOW) if hasattr(value, "render") else value
    return values


def pod(**status: Any) -> Json:
    return {
        "metadata": {"name": "a", "creationTimestamp": BORN},
        "spec": {"containers": [{"name": "c"}]},
        "status": status,
    }


def container(restarts: int = 0, ready: bool = False, last: Json | None = None, **state: Any) -> Json:
    return {"name": "c", "ready": ready, "restartCount": restarts, "state": state, "lastState": last or {}}


RUNNING: Json = {"running": {"startedAt": BORN}}


@pytest.mark.parametrize(
    ("obj", "ready", "state", "restarts"),
    [
        (pod(phase="Pending"), "0/1", "Pending", "0"),
        (pod(phase="Running", containerStatuses=[container(ready=True, **RUNNING)]), "1/1", "Running", "0"),
        (
            pod(
                phase="Running",
                containerStatuses=[
                    container(
                        3,
                        last={"terminated": {"finishedAt": "2026-01-01T00:00:30Z"}},
                        waiting={"reason": "CrashLoopBackOff"},
                    )
                ],
            ),
            "0/1",
            "CrashLoopBackOff",
            "3 (30s ago)",
        ),
        (
            pod(phase="Failed", containerStatuses=[container(terminated={"exitCode": 2})]),
            "0/1",
            "ExitCode:2",
            "0",
        ),
        (
            pod(phase="Failed", containerStatuses=[container(terminated={"signal": 9})]),
            "0/1",
            "Signal:9",
            "0",
        ),
        (pod(phase="Failed", reason="Evicted"), "0/1", "Evicted", "0"),
        (
            {
                **pod(phase="Running", containerStatuses=[container(ready=True, **RUNNING)]),
                "metadata": {"name": "a", "deletionTimestamp": BORN},
            },
            "1/1",
            "Terminating",
            "0",
        ),
        (
            {
                **pod(phase="Pending", initContainerStatuses=[{**container(**RUNNING), "name": "i"}]),
                "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]},
            },
            "0/1",
            "Init:0/2",
            "0",
        ),
        (
            {
                **pod(
                    phase="Pending",
                    initContainerStatuses=[{**container(terminated={"exitCode": 1}), "name": "i"}],
                ),
                "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]},
            },
            "0/1",
            "Init:ExitCode:1",
            "0",
        ),
        (
            {
                **pod(
                    phase="Running",
                    initContainerStatuses=[
                        {**container(1, ready=True, **RUNNING), "name": "s", "started": True}
                    ],
                    containerStatuses=[container(ready=True, **RUNNING)],
                ),
                "spec": {
                    "containers": [{"name": "c"}],
                    "initContainers": [{"name": "s", "restartPolicy": "Always"}],
                },
            },
            "2/2",
            "Running",
            "1",
        ),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            "0/1",
            "SchedulingGated",
            "0",
        ),
    ],
)
def test_a_pod_says_what_it_is_doing(obj: Json, ready: str, state: str, restarts: str) -> None:
    found = row(builtin_columns("", "pods"), obj)
    assert (found["Ready"], found["Status"], found["Restarts"]) == (ready, state, restarts)


def test_wide_pod_columns_show_where_it_runs() -> None:
    obj = pod(phase="Running", podIPs=[{"ip": "10.0.0.1"}, {"ip": "fe80::1"}])
    obj["spec"]["nodeName"] = "n1"
    obj["spec"]["readinessGates"] = [{"conditionType": "x"}]
    found = row(builtin_columns("", "pods"), obj)
    assert (found["IP"], found["Node"], found["Nominated Node"], found["Readiness Gates"]) == (
        "10.0.0.1",
        "n1",
        "<none>",
        "0/1",
    )


@pytest.mark.parametrize(
    ("resource", "obj", "cells"),
    [
        (
            ("", "nodes"),
            {
                "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                    "nodeInfo": {"kubeletVersion": "v1"},
                },
            },
            {
                "Status": "Ready,SchedulingDisabled",
                "Roles": "control-plane",
                "Version": "v1",
                "Internal-IP": "10.0.0.1",
                "External-IP": "<none>",
                "OS-Image": "<unknown>",
            },
        ),
        (
            ("", "services"),
            {
                "spec": {
                    "type": "LoadBalancer",
                    "clusterIP": "10.0.0.1",
                    "ports": [
                        {"port": 80, "nodePort": 30000, "protocol": "TCP"},
                        {"port": 53, "protocol": "UDP"},
                    ],
                    "selector": {"b": "2", "a": "1"},
                }
            },
            {
                "Cluster-IP": "10.0.0.1",
                "External-IP": "<pending>",
                "Port(s)": "80:30000/TCP,53/UDP",
                "Selector": "a=1,b=2",
            },
        ),
        (
            ("", "events"),
            {
                "lastTimestamp": "2026-01-01T00:00:20Z",
                "firstTimestamp": BORN,
                "involvedObject": {"kind": "Pod", "name": "p"},
                "source": {"component": "kubelet", "host": "n"},
                "message": "hello\n",
                "count": 4,
            },
            {
                "Last Seen": "40s",
                "First Seen": "60s",
                "Object": "pod/p",
                "Source": "kubelet, n",
                "Message": "hello",
                "Count": "4",
            },
        ),
        (("", "secrets"), {"type": "Opaque", "data": {"a": "", "b": ""}}, {"Type": "Opaque", "Data": 2}),
        (("", "configmaps"), {"data": {"a": ""}, "binaryData": {"b": ""}}, {"Data": 2}),
        (
            ("", "endpoints"),
            {
                "subsets": [
                    {"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]},
                ]
            },
            {"Endpoints": "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."},
        ),
        (
            ("", "persistentvolumeclaims"),
            {
                "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Block"},
                "status": {
                    "phase": "Bound",
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                },
            },
            {
                "Status": "Bound",
                "Capacity": "1Gi",
                "Access Modes": "RWO",
                "StorageClass": "fast",
                "VolumeAttributesClass": "<unset>",
                "VolumeMode": "Block",
            },
        ),
        (
            ("", "persistentvolumes"),
            {"spec": {"claimRef": {"namespace": "n", "name": "c"}}, "metadata": {"deletionTimestamp": BORN}},
            {"Claim": "n/c", "Status": "Terminating"},
        ),
        (
            ("rbac.authorization.k8s.io", "rolebindings"),
            {
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [
                    {"kind": "User", "name": "u"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                ],
            },
            {"Role": "Role/r", "Users": "u", "Groups": "", "ServiceAccounts": "n/s"},
        ),
        (
            ("apiregistration.k8s.io", "apiservices"),
            {"status": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]}},
            {"Service": "Local", "Available": "False (Gone)"},
        ),
        (
            ("policy", "poddisruptionbudgets"),
            {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
            {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 1},
        ),
        (
            ("apps", "controllerrevisions"),
            {
                "revision": 3,
                "metadata": {
                    "ownerReferences": [
                        {"controller": True, "apiVersion": "apps/v1", "kind": "X", "name": "x"}
                    ]
                },
            },
            {"Controller": "x.apps/x", "Revision": 3},
        ),
        (
            ("storage.k8s.io", "storageclasses"),
            {
                "metadata": {
                    "name": "s",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "p",
            },
            {"Name": "s (default)", "Provisioner": "p", "ReclaimPolicy": "Delete"},
        ),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else "",
)
def test_built_in_kinds_show_what_their_users_know(resource: tuple[str, str], obj: Json, cells: Json) -> None:
    found = row(builtin_columns(*resource), obj)
    assert {name: found[name] for name in cells} == cells


def test_every_column_survives_an_empty_object(served: Callable[..., ServedResource]) -> None:
    for name, resource in vars(resources).items():
        if name.isupper():
            table = tables.render(served(resource), [{"metadata": {}}], now=NOW)
            assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("integer", "3", None),
        ("number", 1.5, 1.5),
        ("boolean", True, True),
        ("boolean", "true", None),
        ("string", True, "true"),
        ("string", 7, "7"),
        ("string", ["a"], '["a"]'),
        ("date", "junk", "<invalid>"),
        ("date", 5, None),
        ("string", None, None),
    ],
)
def test_cells_have_the_type_of_their_column(kind: str, value: Any, cell: Any) -> None:
    assert tables.typed_cell(kind, value) == cell


def test_what_a_row_carries_is_the_clients_choice(pods: ServedResource) -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}
    rows = {
        include: tables.render(pods, [obj], include, now=NOW)["rows"][0]["object"]
        for include in ("Metadata", "Object", "None")
    }
    assert rows["Metadata"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "a"},
    }
    assert rows["Object"] == {"kind": "Pod", "apiVersion": "v1", **obj}
    assert rows["None"] is None
    with pytest.raises(StatusError) as refused:
        tables.check_include("Bogus")
    assert refused.value.code == 400
    assert tables.check_include("") == "Metadata"


def test_an_empty_table_has_an_empty_list_of_rows(pods: ServedResource) -> None:
    assert tables.render(pods, [], now=NOW)["rows"] == []


def test_custom_columns_show_the_first_value_of_their_path(widget: Json, strategy: Any) -> None:
    (resource, _) = served_resources(widget, strategy, "x/")
    table = tables.render(resource, [{"metadata": {"name": "a"}, "spec": {"color": "red"}}], now=NOW)
    assert table["rows"][0]["cells"] == ["a", "red"]


def test_partial_lists_hold_metadata_only() -> None:
    listed = tables.partial_metadata_list([{"metadata": {"name": "a"}, "spec": {}}], {"resourceVersion": "5"})
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"] == [{"metadata": {"name": "a"}}]
