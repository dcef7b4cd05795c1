"""OpenAPI documents: version 3 with its index, version 2 as JSON and decoded back from protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.openapi import PROTOBUF, OpenApi, wants_protobuf
from edgevirt.engine.apiserver.openapi.wire import varint
from edgevirt.engine.apiserver.registry import Registry
from edgevirt.engine.apiserver.schema.crd import served_resources

pytestmark = pytest.mark.unit

Json = dict[str, Any]


@pytest.fixture
def openapi(registry: Registry, widget: Json, strategy: Any) -> OpenApi:
    registry.replace("example.com", "widgets", served_resources(widget, strategy, "x/"))
    return OpenApi(registry, "v1.36.0")


def read(body: bytes) -> Any:
    return msgspec.json.decode(body)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_index_names_every_group_version_with_its_hash(openapi: OpenApi) -> None:
    index = openapi.v3_index()
    assert index.content_type == "text/plain; charset=utf-8"
    paths = read(index.body)["paths"]
    assert {"api/v1", "apis/example.com/v1", "apis/example.com/v1beta1"} <= set(paths)
    url = paths["api/v1"]["serverRelativeURL"]
    document = openapi.v3_group_version("api/v1")
    assert document is not None
    assert url == f"/openapi/v3/api/v1?hash={document.etag.strip(chr(34))}"


@pytest.mark.parametrize("path", ["api/v1", "apis/example.com/v1", "apis/rbac.authorization.k8s.io/v1"])
def test_references_of_a_version_3_document_resolve(openapi: OpenApi, path: str) -> None:
    document = openapi.v3_group_version(path)
    assert document is not None
    content = read(document.body)
    assert set(references(content)) <= set(content["components"]["schemas"])


def test_an_unknown_group_version_has_no_document(openapi: OpenApi) -> None:
    assert openapi.v3_group_version("apis/nope.example.com/v1") is None


def test_operations_say_what_kubectl_asks_for(openapi: OpenApi) -> None:
    document = openapi.v3_group_version("api/v1")
    assert document is not None
    item = read(document.body)["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]
    patch = item["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {p["name"] for p in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert patch["operationId"] == "patchCoreV1NamespacedConfigMap"


def test_custom_resources_take_no_strategic_merge_patch(openapi: OpenApi) -> None:
    document = openapi.v3_group_version("apis/example.com/v1")
    assert document is not None
    item = read(document.body)["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]


def test_documents_are_kept_until_the_registry_changes(openapi: OpenApi, registry: Registry) -> None:
    first = openapi.v2_json()
    assert openapi.v2_json() is first
    registry.replace("example.com", "widgets", ())
    assert openapi.v2_json().etag != first.etag


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", True),
        ("application/com.github.proto-openapi.spec.v2.v1.0+protobuf;q=1, application/json", True),
        ("application/json, */*", False),
        ("", False),
    ],
)
def test_protobuf_is_answered_to_who_asks_first_for_it(accept: str, wanted: bool) -> None:
    assert wants_protobuf(accept) is wanted


# A reader of the wire format, written from the published message definitions, independent of the writer.

_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Document": {
        1: ("swagger", "text"),
        2: ("info", "Info"),
        8: ("paths", "Paths"),
        9: ("definitions", "Schemas"),
        12: ("security", "Requirement*"),
        13: ("securityDefinitions", "Securities"),
    },
    "Info": {1: ("title", "text"), 2: ("version", "text")},
    "Paths": {2: ("map", "PathItem#")},
    "Schemas": {1: ("map", "Schema#")},
    "Securities": {1: ("map", "Security#")},
    "Security": {2: ("key", "Key")},
    "Key": {1: ("type", "text"), 2: ("name", "text"), 3: ("in", "text"), 4: ("description", "text")},
    "Requirement": {1: ("map", "Texts#")},
    "Texts": {1: ("value", "text*")},
    "PathItem": {
        2: ("get", "Operation"),
        3: ("put", "Operation"),
        4: ("post", "Operation"),
        5: ("delete", "Operation"),
        8: ("patch", "Operation"),
        9: ("parameters", "ParametersItem*"),
    },
    "Operation": {
        1: ("tags", "text*"),
        3: ("description", "text"),
        5: ("operationId", "text"),
        6: ("produces", "text*"),
        7: ("consumes", "text*"),
        8: ("parameters", "ParametersItem*"),
        9: ("responses", "Responses"),
        10: ("schemes", "text*"),
        13: ("extensions", "Any#"),
    },
    "Responses": {1: ("map", "ResponseValue#")},
    "ResponseValue": {1: ("response", "Response")},
    "Response": {1: ("description", "text"), 2: ("item", "SchemaItem")},
    "SchemaItem": {1: ("schema", "Schema")},
    "ParametersItem": {1: ("parameter", "Parameter")},
    "Parameter": {1: ("body", "Body"), 2: ("other", "NonBody")},
    "Body": {2: ("name", "text"), 3: ("in", "text"), 4: ("required", "bool"), 5: ("schema", "Schema")},
    "NonBody": {3: ("query", "Query"), 4: ("path", "Path")},
    "Query": {
        2: ("in", "text"),
        3: ("description", "text"),
        4: ("name", "text"),
        6: ("type", "text"),
        20: ("u", "bool"),
    },
    "Path": {
        1: ("required", "bool"),
        2: ("in", "text"),
        3: ("description", "text"),
        4: ("name", "text"),
        5: ("type", "text"),
        19: ("u", "bool"),
    },
    "Any": {2: ("yaml", "text")},
    "Additional": {1: ("schema", "Schema"), 2: ("boolean", "bool")},
    "Items": {1: ("schema", "Schema")},
    "Schema": {
        1: ("$ref", "text"),
        2: ("format", "text"),
        3: ("title", "text"),
        4: ("description", "text"),
        5: ("default", "Any"),
        7: ("maximum", "double"),
        9: ("minimum", "double"),
        11: ("maxLength", "int"),
        13: ("pattern", "text"),
        19: ("required", "text*"),
        20: ("enum", "Any*"),
        21: ("additionalProperties", "Additional"),
        22: ("type", "Texts"),
        23: ("items", "Items"),
        25: ("properties", "Schemas"),
        31: ("extensions", "Any#"),
    },
}


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def parse(name: str, data: bytes) -> Json:
    """One message; a number that its definition does not have is an error."""
    found: Json = {}
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        field, kind = _MESSAGES[name][tag >> 3]
        value: Any
        if tag & 7 == 0:
            value, position = read_varint(data, position)
            value = bool(value) if kind == "bool" else value
        elif tag & 7 == 1:
            value, position = memoryview(data[position : position + 8]).cast("d")[0], position + 8
        else:
            length, position = read_varint(data, position)
            chunk, position = data[position : position + length], position + length
            if kind.endswith("#"):
                key, below = parse_entry(kind[:-1], chunk)
                found.setdefault(field, {})[key] = below
                continue
            value = chunk.decode() if kind.startswith("text") else parse(kind.rstrip("*"), chunk)
        if kind.endswith("*"):
            found.setdefault(field, []).append(value)
        else:
            found[field] = value
    return found


def parse_entry(kind: str, data: bytes) -> tuple[str, Json]:
    _MESSAGES["Entry"] = {1: ("name", "text"), 2: ("value", kind)}
    entry = parse("Entry", data)
    return entry["name"], entry.get("value", {})


def test_the_protobuf_document_says_what_the_json_says(openapi: OpenApi) -> None:
    expected = read(openapi.v2_json().body)
    document = openapi.v2_protobuf()
    assert document.content_type == PROTOBUF
    found = parse("Document", document.body)
    assert (found["swagger"], found["info"]) == ("2.0", {"title": "Kubernetes", "version": "v1.36.0"})
    assert list(found["paths"]["map"]) == list(expected["paths"])
    assert list(found["definitions"]["map"]) == list(expected["definitions"])
    for name, schema in expected["definitions"].items():
        assert_same_schema(found["definitions"]["map"][name], schema)
    path = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"
    patch = found["paths"]["map"][path]["patch"]
    gvk = read(patch["extensions"]["x-kubernetes-group-version-kind"]["yaml"].encode())
    assert gvk == {"group": "example.com", "version": "v1", "kind": "Widget"}
    queries = [item["parameter"]["other"]["query"]["name"] for item in patch["parameters"][1:]]
    assert queries == ["dryRun", "fieldManager", "fieldValidation", "force"]
    assert patch["parameters"][0]["parameter"]["body"]["name"] == "body"
    assert found["securityDefinitions"]["map"]["BearerToken"]["key"]["in"] == "header"


def assert_same_schema(found: Json, schema: Json) -> None:
    assert found.get("$ref", "") == schema.get("$ref", "")
    assert found.get("description", "") == schema.get("description", "")
    assert found.get("format", "") == schema.get("format", "")
    assert found.get("type", {}).get("value", []) == ([schema["type"]] if schema.get("type") else [])
    assert found.get("required", []) == (schema.get("required") or [])
    extensions = {key: read(value["yaml"].encode()) for key, value in found.get("extensions", {}).items()}
    assert extensions == {key: value for key, value in schema.items() if key.startswith("x-")}
    properties = found.get("properties", {}).get("map", {})
    assert list(properties) == list(schema.get("properties") or {})
    for name, below in properties.items():
        assert_same_schema(below, schema["properties"][name])
    if isinstance(schema.get("items"), dict):
        assert_same_schema(found["items"]["schema"], schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        assert_same_schema(found["additionalProperties"]["schema"], schema["additionalProperties"])


def test_version_2_references_resolve(openapi: OpenApi) -> None:
    content = read(openapi.v2_json().body)
    assert set(references(content)) <= set(content["definitions"])


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**63, -1])
def test_varints_read_back(value: int) -> None:
    assert read_varint(varint(value), 0)[0] == value & 0xFFFFFFFFFFFFFFFF


def test_claims_templates_do_not_hide_the_kind_they_are_made_from() -> None:
    """StatefulSets embed PersistentVolumeClaims; older kubectl then could not explain these."""
    definitions = read(OpenApi(builtin_registry(), "v1.36.0").v2_json().body)["definitions"]
    claim = definitions["io.k8s.api.core.v1.PersistentVolumeClaim"]
    assert claim["x-kubernetes-group-version-kind"] == [
        {"group": "", "version": "v1", "kind": "PersistentVolumeClaim"}
    ]
