"""The official Python client's dynamic part: discovery, server-side apply, custom kinds, subresources."""

import sys

from kubernetes import config, dynamic
from kubernetes.client import api_client
from kubernetes.dynamic import exceptions

namespace, group = sys.argv[1:]
client = dynamic.DynamicClient(api_client.ApiClient(configuration=config.load_kube_config()))
assert client.version["kubernetes"]["gitVersion"].startswith("v1.")

maps = client.resources.get(api_version="v1", kind="ConfigMap")
assert (maps.namespaced, maps.singular_name) == (True, "configmap")
body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
applied = maps.server_side_apply(body, namespace=namespace, field_manager="one")
assert applied.metadata.managedFields[0].operation == "Apply"
try:
    maps.server_side_apply({**body, "data": {"x": "2"}}, namespace=namespace, field_manager="two")
except exceptions.ConflictError as error:
    assert 'conflict with "one": .data.x' in error.summary(), error.summary()
else:
    raise AssertionError("no conflict")
forced = maps.server_side_apply(
    {**body, "data": {"x": "2"}}, namespace=namespace, field_manager="two", force_conflicts=True
)
assert forced.data.x == "2"
assert [item.metadata.name for item in maps.get(namespace=namespace, label_selector="!app").items]

definitions = client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
schema = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
    },
}
version = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": schema},
    "subresources": {
        "status": {},
        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
    },
}
definitions.create(
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"boxes.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [version],
        },
    }
)
for event in definitions.watch(name=f"boxes.{group}", timeout=20):
    conditions = event["object"].status.conditions or ()
    if any(c.type == "Established" and c.status == "True" for c in conditions):
        break
else:
    raise AssertionError("not established")
boxes = client.resources.get(api_version=f"{group}/v1", kind="Box")
box = boxes.create(
    {"apiVersion": f"{group}/v1", "kind": "Box", "metadata": {"name": "b"}}, namespace=namespace
)
box = boxes.create(
    {"apiVersion": f"{group}/v1", "kind": "Box", "metadata": {"name": "c"}, "spec": {}}, namespace=namespace
)
assert box.spec.size == 1
boxes.status.patch(
    name="c",
    namespace=namespace,
    body={"status": {"size": 1}},
    content_type="application/merge-patch+json",
)
scale = boxes.scale.get(name="c", namespace=namespace)
assert (scale.kind, scale.spec.replicas, scale.status.replicas) == ("Scale", 1, 1)
try:
    boxes.patch(
        name="c",
        namespace=namespace,
        body={"spec": {"size": "big"}},
        content_type="application/merge-patch+json",
    )
except exceptions.UnprocessibleEntityError as error:
    assert "spec.size" in error.summary(), error.summary()
else:
    raise AssertionError("a wrong type was accepted")
boxes.delete(name="c", namespace=namespace)
definitions.delete(name=f"boxes.{group}")
print("done")
