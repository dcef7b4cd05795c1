"""Built-in kinds: what decodes, what is pruned, what is required, how lists merge."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.api import apiextensions, core, rbac
from edgevirt.engine.apiserver.schema.builtin import BuiltinSchema, builtin_schema

pytestmark = pytest.mark.unit

POD = builtin_schema(core.Pod, "", "v1", "Pod")
CONFIG_MAP = builtin_schema(core.ConfigMap, "", "v1", "ConfigMap")
CRD = builtin_schema(
    apiextensions.CustomResourceDefinition, "apiextensions.k8s.io", "v1", "CustomResourceDefinition"
)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            {"data": {"a": 1}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            {"data": "x"},
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            {"metadata": {"labels": []}},
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels "
            "of type map[string]string",
        ),
        (
            {"metadata": {"name": True}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string",
        ),
        ({"binaryData": {"a": "not base64!"}}, "illegal base64 data"),
        ({"metadata": {"creationTimestamp": "junk"}}, 'parsing time "junk"'),
    ],
)
def test_a_value_of_the_wrong_type_is_named_as_the_decoder_names_it(
    obj: dict[str, Any], message: str
) -> None:
    assert (CONFIG_MAP.type_error(obj) or "").startswith(message)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            {"ports": [{"containerPort": "x"}]},
            "field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        ({"ports": [{"containerPort": 2**31}]}, "cannot unmarshal number 2147483648 into"),
        ({"resources": {"limits": {"cpu": "a lot"}}}, "quantities must match"),
        (
            {"name": {}},
            "cannot unmarshal object into Go struct field Container.spec.containers.name of type string",
        ),
    ],
)
def test_type_errors_are_found_deep_inside(container: dict[str, Any], message: str) -> None:
    assert message in (POD.type_error({"spec": {"containers": [container]}}) or "")


def test_null_is_no_type_error_and_is_dropped() -> None:
    obj: dict[str, Any] = {"metadata": {"labels": None}, "data": None}
    assert CONFIG_MAP.type_error(obj) is None
    assert CONFIG_MAP.prune(obj) == []
    assert obj == {"metadata": {}}


def test_unknown_fields_are_dropped_and_listed_in_document_order() -> None:
    obj = {
        "metadata": {"name": "a", "foo": 1},
        "spec": {"containers": [{"name": "c", "foo": 1, "ports": [{"containerport": 1}]}]},
        "bogus": 1,
    }
    assert POD.prune(obj) == [
        "metadata.foo",
        "spec.containers[0].foo",
        "spec.containers[0].ports[0].containerport",
        "bogus",
    ]
    assert obj == {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "ports": [{}]}]}}


def test_quantities_are_stored_in_canonical_form() -> None:
    obj = {"spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x": 2}}}]}}
    POD.prune(obj)
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi", "x": "2"}


def test_nested_json_schemas_of_a_definition_are_pruned_too() -> None:
    obj = {
        "spec": {
            "versions": [{"schema": {"openAPIV3Schema": {"items": {"bar": 1}, "additionalProperties": True}}}]
        }
    }
    assert CRD.prune(obj) == ["spec.versions[0].schema.openAPIV3Schema.items.bar"]


def test_required_fields_and_closed_sets_are_reported_with_their_paths() -> None:
    obj = {
        "spec": {
            "restartPolicy": "Sometimes",
            "containers": [{"ports": [{"containerPort": 80}]}],
            "volumes": [{"hostPath": {}}],
        }
    }
    found = {(cause.field, cause.reason, cause.message) for cause in POD.validate(obj)}
    assert found == {
        (
            "spec.restartPolicy",
            "FieldValueNotSupported",
            'Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
        ),
        ("spec.containers[0].name", "FieldValueRequired", "Required value"),
        ("spec.containers[0].image", "FieldValueRequired", "Required value"),
        ("spec.volumes[0].name", "FieldValueRequired", "Required value"),
        ("spec.volumes[0].hostPath.path", "FieldValueRequired", "Required value"),
    }


def test_a_pod_gets_the_documented_defaults_once() -> None:
    obj: dict[str, Any] = {
        "spec": {
            "serviceAccountName": "x",
            "containers": [
                {
                    "name": "c",
                    "image": "busybox",
                    "ports": [{"containerPort": 1}],
                    "resources": {"limits": {"cpu": "1"}},
                    "livenessProbe": {"httpGet": {"port": 80}},
                }
            ],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}],
        }
    }
    POD.apply_defaults(obj)
    spec = obj["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["serviceAccount"]) == (
        "Always",
        "ClusterFirst",
        "x",
    )
    assert spec["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
    ]
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["requests"] == {"cpu": "1"}
    assert container["ports"] == [{"containerPort": 1, "protocol": "TCP"}]
    assert container["livenessProbe"]["periodSeconds"] == 10
    again = {"spec": dict(spec)}
    POD.apply_defaults(again)
    assert again == obj


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("host:5000/busybox", "Always"),
        ("host:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:abc", "IfNotPresent"),
    ],
)
def test_only_moving_tags_are_always_pulled(image: str, policy: str) -> None:
    obj = {"spec": {"containers": [{"name": "c", "image": image}]}}
    POD.apply_defaults(obj)
    assert obj["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_service_port_targets_itself_by_default() -> None:
    service = builtin_schema(core.Service, "", "v1", "Service")
    obj: dict[str, Any] = {"spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    service.apply_defaults(obj)
    assert obj["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert obj["spec"]["externalTrafficPolicy"] == "Cluster"
    assert obj["spec"]["sessionAffinity"] == "None"


def test_a_role_binding_gets_the_group_of_roles() -> None:
    group = "rbac.authorization.k8s.io"
    binding = builtin_schema(rbac.RoleBinding, group, "v1", "RoleBinding")
    obj: dict[str, Any] = {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
    }
    binding.apply_defaults(obj)
    assert obj["roleRef"]["apiGroup"] == group
    assert [subject.get("apiGroup") for subject in obj["subjects"]] == [group, None]


def test_lists_merge_by_the_keys_kubernetes_documents() -> None:
    spec = POD.merge_node().fields["spec"]
    containers = spec.fields["containers"]
    assert (containers.kind, containers.keys, containers.patch_merge_key) == ("list", ("name",), "name")
    assert spec.fields["volumes"].patch_strategy == "merge,retainKeys"
    assert spec.fields["tolerations"].kind == "atomic"
    assert containers.elem is not None
    ports = containers.elem.fields["ports"]
    assert (ports.keys, ports.patch_merge_key) == (("containerPort", "protocol"), "containerPort")
    assert ports.key_defaults == {"protocol": "TCP"}
    metadata = POD.merge_node().fields["metadata"]
    assert metadata.fields["finalizers"].kind == "set"
    assert metadata.fields["ownerReferences"].keys == ("uid",)
    labels = metadata.fields["labels"]
    assert labels.kind == "map"
    child = labels.child("anything")
    assert child is not None
    assert child.kind == "scalar"
    assert spec.child("no-such-field") is None


def test_definitions_have_kubernetes_names_and_resolve() -> None:
    found = POD.openapi_v3()
    assert POD.definition_name == "io.k8s.api.core.v1.Pod"
    assert {"io.k8s.api.core.v1.Container", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"} <= set(found)
    assert found[POD.definition_name]["x-kubernetes-group-version-kind"] == [
        {"group": "", "version": "v1", "kind": "Pod"}
    ]
    assert _missing(found, "#/components/schemas/") == set()
    assert _missing(POD.openapi_v2(), "#/definitions/") == set()
    containers = found["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"


def _missing(found: dict[str, Any], prefix: str) -> set[str]:
    """References that lead nowhere."""
    wanted: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                wanted.add(value["$ref"].removeprefix(prefix))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(found)
    return wanted - set(found)


@pytest.mark.parametrize("schema", [POD, CRD], ids=["pod", "definition"])
def test_walks_do_not_mind_a_wrong_shape(schema: BuiltinSchema) -> None:
    obj: dict[str, Any] = {"metadata": {}, "spec": {"containers": [1, "x", None], "versions": "no"}}
    assert schema.type_error(obj) is not None
