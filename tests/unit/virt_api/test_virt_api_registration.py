"""What an API server is told about virt-api."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from edgevirt.api.admissionregistration import MutatingWebhookConfiguration, ValidatingWebhookConfiguration
from edgevirt.api.apiregistration import APIService
from edgevirt.api.core import Endpoints, Node, NodeAddress, NodeStatus, Service
from edgevirt.api.meta import ObjectMeta
from edgevirt.virt_api import certificates, console, documents, registration

pytestmark = pytest.mark.unit


def test_webhooks_by_url_cover_every_path_and_refuse_when_nobody_answers() -> None:
    mutating, validating = registration.webhook_configurations(b"PEM", "https://127.0.0.1:6444")
    msgspec.convert(mutating, MutatingWebhookConfiguration)
    msgspec.convert(validating, ValidatingWebhookConfiguration)
    webhooks: list[dict[str, Any]] = [*mutating["webhooks"], *validating["webhooks"]]
    assert len({each["name"] for each in webhooks}) == len(webhooks) == 7
    assert {each["failurePolicy"] for each in webhooks} == {"Fail"}
    assert {each["clientConfig"]["caBundle"] for each in webhooks} == {base64.b64encode(b"PEM").decode()}
    assert all(each["clientConfig"]["url"].startswith("https://127.0.0.1:6444/") for each in webhooks)


def test_webhooks_by_service_name_it() -> None:
    mutating, _ = registration.webhook_configurations(b"PEM", namespace="ns")
    assert mutating["webhooks"][0]["clientConfig"]["service"] == {
        "namespace": "ns",
        "name": "virt-api",
        "path": "/virtualmachines-mutate",
        "port": 443,
    }


def test_aggregated_api_on_one_box_gets_its_endpoint_by_hand() -> None:
    service, endpoints, v1, v1alpha3 = registration.api_services(b"PEM", "192.0.2.1", 6444)
    assert msgspec.convert(service, Service).metadata.name == "virt-api"
    subset = msgspec.convert(endpoints, Endpoints).subsets[0]
    assert (subset.addresses[0].ip, subset.ports[0].port) == ("192.0.2.1", 6444)
    assert [each["metadata"]["name"] for each in (v1, v1alpha3)] == [
        "v1.subresources.kubevirt.io",
        "v1alpha3.subresources.kubevirt.io",
    ]
    assert msgspec.convert(v1, APIService, strict=False).spec is not None


def test_on_a_cluster_only_the_api_services_are_ours() -> None:
    assert [each["kind"] for each in registration.api_services(b"PEM")] == ["APIService", "APIService"]


def test_discovery_lists_what_is_served_and_nothing_else() -> None:
    listed = documents.resources("v1")
    assert listed["groupVersion"] == "subresources.kubevirt.io/v1"
    assert {each["name"] for each in listed["resources"]} == set(documents.SERVED)
    assert set(documents.openapi_v2()["paths"]) == {
        path for version in registration.VERSIONS for path in documents.openapi_v3(version)["paths"]
    }
    assert len(documents.openapi_v3_index()["paths"]) == 2
    assert documents.groups()["groups"] == [documents.group()]
    assert documents.version()["gitVersion"].startswith("v")


CERTIFICATE = {
    "subject": ((("organizationName", "x"),), (("commonName", "front-proxy-client"),)),
    "subjectAltName": (("DNS", "x"), ("URI", "edgevirt://virt-handler/n1")),
}


def test_peers_are_known_by_their_certificate() -> None:
    assert certificates.common_name(CERTIFICATE) == "front-proxy-client"
    assert certificates.common_name(None) == ""
    assert certificates.has_role(CERTIFICATE, "virt-handler", "n1")
    assert not certificates.has_role(CERTIFICATE, "virt-handler", "n2")
    assert not certificates.has_role(CERTIFICATE, "virt-api", "n1")
    two = {"subjectAltName": (*CERTIFICATE["subjectAltName"], ("URI", "edgevirt://virt-api/n1"))}
    assert not certificates.has_role(two, "virt-handler", "n1")


def node(annotation: str = "", *addresses: tuple[str, str]) -> Node:
    return Node(
        metadata=ObjectMeta(
            name="n1", annotations={"edgevirt.io/virt-handler-address": annotation} if annotation else {}
        ),
        status=NodeStatus(addresses=tuple(NodeAddress(type=kind, address=text) for kind, text in addresses)),
    )


def test_handler_is_found_at_its_published_address_or_the_nodes_own() -> None:
    assert console.handler_address(node("10.0.0.1:9000", ("InternalIP", "10.0.0.2"))) == "10.0.0.1:9000"
    assert (
        console.handler_address(node("", ("Hostname", "n1"), ("InternalIP", "10.0.0.2"))) == "10.0.0.2:8186"
    )
    assert console.handler_address(node("", ("InternalIP", "fd00::1"))) == "[fd00::1]:8186"
    with pytest.raises(console.Unreachable, match="no address"):
        console.handler_address(node())
