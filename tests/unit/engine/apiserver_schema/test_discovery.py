"""Discovery: the small documents, the aggregated one, external groups, caching."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.engine.apiserver.discovery import AGGREGATED, Discovery, Document, ExternalGroupVersion
from edgevirt.engine.apiserver.registry import Registry
from edgevirt.engine.apiserver.schema.crd import served_resources

pytestmark = pytest.mark.unit


def read(document: Document | None) -> Any:
    assert document is not None
    return msgspec.json.decode(document.body)


def test_the_core_group_has_its_own_document(registry: Registry) -> None:
    found = read(Discovery(registry).api_versions("10.0.0.1:6443"))
    assert found["versions"] == ["v1"]
    assert found["serverAddressByClientCIDRs"][0]["serverAddress"] == "10.0.0.1:6443"


def test_groups_are_listed_by_priority(registry: Registry) -> None:
    found = read(Discovery(registry).api_groups())
    assert [group["name"] for group in found["groups"]] == [
        "rbac.authorization.k8s.io",
        "apiextensions.k8s.io",
        "coordination.k8s.io",
    ]
    assert found["groups"][0]["preferredVersion"] == {
        "groupVersion": "rbac.authorization.k8s.io/v1",
        "version": "v1",
    }


def test_resources_and_subresources_are_listed_by_name(registry: Registry) -> None:
    found = read(Discovery(registry).api_resources("", "v1"))
    entries = {entry["name"]: entry for entry in found["resources"]}
    assert "apiVersion" not in found
    assert list(entries) == ["configmaps", "nodes", "pods", "pods/eviction", "pods/exec", "pods/status"]
    assert entries["pods"]["storageVersionHash"] == "xPOwRZ+Yhw8="
    assert entries["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }


def test_unknown_groups_have_no_document(registry: Registry) -> None:
    discovery = Discovery(registry)
    assert discovery.api_group("nope.example.com") is None
    assert discovery.api_resources("nope.example.com", "v1") is None


def test_the_aggregated_document_nests_subresources(registry: Registry) -> None:
    document = Discovery(registry).aggregated(core=True)
    assert document.content_type == AGGREGATED
    (group,) = read(document)["items"]
    assert group["metadata"] == {}
    pods = next(entry for entry in group["versions"][0]["resources"] if entry["resource"] == "pods")
    assert [below["subresource"] for below in pods["subresources"]] == ["eviction", "exec", "status"]
    assert pods["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
    assert pods["scope"] == "Namespaced"


def test_external_groups_take_part_fresh_or_stale(registry: Registry) -> None:
    entry = {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get"]}
    below = {"name": "things/start", "namespaced": True, "kind": "Thing", "verbs": ["update"]}
    external = (
        ExternalGroupVersion("ext.example.com", "v1", 2000, 10, (entry, below)),
        ExternalGroupVersion("gone.example.com", "v1", 100, 10, None),
    )
    discovery = Discovery(registry, lambda: external)
    items = {item["metadata"]["name"]: item for item in read(discovery.aggregated(core=False))["items"]}
    (thing,) = items["ext.example.com"]["versions"][0]["resources"]
    assert thing["subresources"][0]["subresource"] == "start"
    assert thing["responseKind"] == {"group": "ext.example.com", "version": "v1", "kind": "Thing"}
    assert items["gone.example.com"]["versions"] == [{"version": "v1", "freshness": "Stale"}]
    assert read(discovery.api_group("ext.example.com"))["name"] == "ext.example.com"
    assert discovery.api_resources("ext.example.com", "v1") is None


def test_documents_change_with_the_registry_and_only_then(
    registry: Registry, widget: dict[str, Any], strategy: Any
) -> None:
    discovery = Discovery(registry)
    before = discovery.api_groups()
    assert discovery.api_groups() is before
    registry.replace("example.com", "widgets", served_resources(widget, strategy, "x/"))
    after = discovery.api_groups()
    assert after.etag != before.etag
    group = read(discovery.api_group("example.com"))
    assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
    (entry, *_) = read(discovery.api_resources("example.com", "v1"))["resources"]
    assert entry["shortNames"] == ["wd"]
