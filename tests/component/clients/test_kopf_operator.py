"""An operator made with kopf, as a process: its definition, handlers, timer, finalizer and events."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from client_process import Client, Kubectl, Object, Running
from test_python_libraries import PROGRAMS

import client_programs

pytestmark = pytest.mark.component

DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "kettles.operators.example.com"},
    "spec": {
        "group": "operators.example.com",
        "scope": "Namespaced",
        "names": {"plural": "kettles", "singular": "kettle", "kind": "Kettle"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"litres": {"type": "integer"}}},
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def operator(shell: Client, admin: Kubectl, namespace: str) -> Iterator[Running]:
    admin.create(DEFINITION)
    admin("wait", "--for=condition=Established", "crd/kettles.operators.example.com")
    python = client_programs.python("libraries")
    program = str(PROGRAMS / "kopf_operator.py")
    with shell.started(python, "-m", "kopf", "run", "--namespace", namespace, program) as running:
        yield running
    admin("delete", "crd", "kettles.operators.example.com", "--wait=false")
    # What the operator would have let go, had it not been ended.
    drop = '{"metadata": {"finalizers": null}}'
    for name in admin("get", "kettles", "-n", namespace, "-o", "name", "--ignore-not-found").split():
        admin("patch", name, "-n", namespace, "--type=merge", "-p", drop)


@pytest.mark.client("kopf", "operator: CRD, create, update and delete handlers, timer, finalizer, events")
def test_an_operator_looks_after_its_objects(operator: Running, admin: Kubectl, namespace: str) -> None:
    where = ("-n", namespace)
    document = {
        "apiVersion": "operators.example.com/v1",
        "kind": "Kettle",
        "metadata": {"name": "k"},
        "spec": {"litres": 1},
    }
    admin("create", "-f", "-", *where, stdin=json.dumps(document))
    admin("wait", "kettle/k", *where, "--for=jsonpath={.status.created.litres}=1", "--timeout=30s")
    admin("wait", "kettle/k", *where, "--for=jsonpath={.status.degrees}=100", "--timeout=30s")
    kettle = json.loads(admin("get", "kettle", "k", *where, "-o", "json"))
    assert kettle["metadata"]["finalizers"] == ["operators.example.com/kept"]
    admin("patch", "kettle", "k", *where, "--type=merge", "-p", '{"spec": {"litres": 2}}')
    admin("wait", "kettle/k", *where, "--for=jsonpath={.status.refilled}=1 to 2", "--timeout=30s")
    events = admin(
        "get", "events", *where, "-o", "jsonpath={range .items[*]}{.reason} {.message}{'\\n'}{end}"
    )
    assert "Filled 1 litres" in events
    admin("delete", "kettle", "k", *where, "--timeout=30s")
    admin("get", "cm", "k-emptied", *where)
