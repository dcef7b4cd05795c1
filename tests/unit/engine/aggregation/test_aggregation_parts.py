"""The pure parts of aggregation: addresses, headers, conditions, handshakes."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict
from object_reader_fake import FakeReader

from edgevirt.engine.apiserver.aggregation import api_service, validate_api_service
from edgevirt.engine.apiserver.aggregation.availability import PASSED, Availability, status_with
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory, Target, Unresolved
from edgevirt.engine.apiserver.aggregation.headers import forwarded, returned
from edgevirt.engine.apiserver.aggregation.proxy import may_be_forwarded
from edgevirt.engine.apiserver.aggregation.trust import BadBundle, TrustStore
from edgevirt.engine.apiserver.aggregation.upgrade import (
    HandshakeFailed,
    parse_head,
    request_head,
    wants_upgrade,
)
from edgevirt.engine.apiserver.request import UserInfo

pytestmark = pytest.mark.unit

Json = dict[str, Any]
USER = UserInfo("alice", "u-1", ("dev", "ops"), {"example.com/Scope": ("a", "b")})


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def directory(reader: FakeReader) -> ServiceDirectory:
    directory = ServiceDirectory()
    directory.observe(reader)
    return directory


def service(reader: FakeReader, **spec: Any) -> None:
    spec = {"ports": [{"name": "https", "port": 443}], **spec}
    reader.put("", "services", {"metadata": {"name": "s", "namespace": "ns"}, "spec": spec})


def endpoints(reader: FakeReader, *addresses: str, port_name: str = "https") -> None:
    subset = {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"name": port_name, "port": 8443}]}
    reader.put("", "endpoints", {"metadata": {"name": "s", "namespace": "ns"}, "subsets": [subset]})


def endpoint_slice(reader: FakeReader, name: str, *endpoints: Json) -> None:
    metadata = {"name": name, "namespace": "ns", "labels": {"kubernetes.io/service-name": "s"}}
    ports = [{"name": "https", "port": 9443}]
    reader.put(
        "discovery.k8s.io",
        "endpointslices",
        {"metadata": metadata, "ports": ports, "endpoints": list(endpoints)},
    )


def test_a_service_resolves_to_its_endpoints_in_turn(reader: FakeReader, directory: ServiceDirectory) -> None:
    service(reader)
    endpoints(reader, "10.0.0.1", "10.0.0.2")
    found = {directory.resolve("ns", "s", 443) for _ in range(4)}
    assert found == {Target("10.0.0.1", 8443, "s.ns.svc"), Target("10.0.0.2", 8443, "s.ns.svc")}


def test_only_ready_endpoints_of_slices_are_used(reader: FakeReader, directory: ServiceDirectory) -> None:
    service(reader)
    endpoint_slice(
        reader,
        "one",
        {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
    )
    endpoint_slice(reader, "two", {"addresses": ["10.0.0.3"]})
    found = {directory.resolve("ns", "s", 443).host for _ in range(4)}
    assert found == {"10.0.0.2", "10.0.0.3"}
    reader.drop("discovery.k8s.io", "endpointslices", "ns", "two")
    assert directory.resolve("ns", "s", 443).host == "10.0.0.2"


def test_an_external_name_is_used_as_it_is(reader: FakeReader, directory: ServiceDirectory) -> None:
    service(reader, type="ExternalName", externalName="localhost")
    assert directory.resolve("ns", "s", 8443) == Target("localhost", 8443, "s.ns.svc")


def test_a_service_without_an_address_says_why(reader: FakeReader, directory: ServiceDirectory) -> None:
    def reason(port: int = 443) -> tuple[str, str]:
        with pytest.raises(Unresolved) as caught:
            directory.resolve("ns", "s", port)
        return caught.value.reason, caught.value.explanation

    assert reason() == ("ServiceNotFound", 'service/s in "ns" is not present')
    service(reader)
    assert reason(80) == ("ServicePortError", 'service/s in "ns" is not listening on port 80')
    assert reason() == ("EndpointsNotFound", 'cannot find endpointslices for service/s in "ns"')
    endpoints(reader, "10.0.0.1", port_name="other")
    assert reason()[0] == "MissingEndpoints"


def test_changes_of_addresses_are_announced(reader: FakeReader, directory: ServiceDirectory) -> None:
    heard: list[tuple[str, str]] = []
    directory.on_change(heard.append)
    service(reader)
    endpoints(reader, "10.0.0.1")
    endpoint_slice(reader, "one")
    assert heard == [("ns", "s")] * 3


def test_the_forwarded_identity_is_ours_and_never_the_clients() -> None:
    sent = CIMultiDict(
        [
            ("Authorization", "Bearer secret"),
            ("X-Remote-User", "system:admin"),
            ("x-remote-group", "system:masters"),
            ("X-Remote-Extra-Scope", "x"),
            ("Impersonate-User", "root"),
            ("Connection", "close, X-Drop"),
            ("X-Drop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Host", "api"),
            ("Accept", "application/json"),
            ("X-Custom", "kept"),
        ]
    )
    result = forwarded(sent, USER, "10.0.0.9")
    assert list(result.items()) == [
        ("Accept", "application/json"),
        ("X-Custom", "kept"),
        ("X-Remote-User", "alice"),
        ("X-Remote-Uid", "u-1"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-example.com%2FScope", "a"),
        ("X-Remote-Extra-example.com%2FScope", "b"),
        ("X-Forwarded-For", "10.0.0.9"),
    ]


def test_a_connection_header_cannot_drop_the_identity_headers() -> None:
    sent = CIMultiDict([("Connection", "X-Remote-User, X-Remote-Group")])
    assert forwarded(sent, USER, "").getall("X-Remote-User") == ["alice"]


def test_a_token_in_a_subprotocol_goes_no_further() -> None:
    sent = CIMultiDict(
        [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Protocol", "plain.kubevirt.io, base64url.bearer.authorization.k8s.io.c2VjcmV0"),
        ]
    )
    result = forwarded(sent, USER, "", upgrade=True)
    assert result["Sec-WebSocket-Protocol"] == "plain.kubevirt.io"
    assert (result["Connection"], result["Upgrade"]) == ("Upgrade", "websocket")


def test_hop_by_hop_headers_of_an_answer_stay_behind() -> None:
    sent = CIMultiDict([("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Content-Type", "a/b")])
    assert dict(returned(sent)) == {"Content-Type": "a/b"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/apis/g/v1/x?a=/../", True),
        ("/apis/g/v1/a..b", True),
        ("/apis/g/v1/.hidden", True),
        ("/apis/g/v1/../../v1/secrets", False),
        ("/apis/g/v1/%2e%2E/x", False),
        ("/apis/g/v1/.%2e", False),
        ("/apis/g/v1/./x", False),
        ("/apis/g/v1/..%2fx", False),
        ("/apis/g/v1//x", False),
    ],
)
def test_a_path_that_could_mean_something_else_is_not_forwarded(path: str, allowed: bool) -> None:
    assert may_be_forwarded(path) is allowed


def test_a_condition_keeps_its_transition_time_until_the_status_changes() -> None:
    down = Availability(False, "ServiceNotFound", "x")
    first = status_with({}, down, "t1")
    assert first is not None
    assert status_with({"status": first}, down, "t2") is None
    other = status_with({"status": first}, Availability(False, "MissingEndpoints", "y"), "t2")
    assert other is not None
    assert other["conditions"][0]["lastTransitionTime"] == "t1"
    up = status_with({"status": other}, PASSED, "t3")
    assert up is not None
    assert up["conditions"] == [
        {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": "t3",
            "reason": "Passed",
            "message": "all checks passed",
        }
    ]


def test_foreign_conditions_stay() -> None:
    status = status_with({"status": {"conditions": [{"type": "Other"}]}}, PASSED, "t")
    assert status is not None
    assert [condition["type"] for condition in status["conditions"]] == ["Other", "Available"]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, True),
        ({"Connection": "keep-alive, upgrade", "Upgrade": "SPDY/3.1"}, True),
        ({"Connection": "Upgrade"}, False),
        ({"Upgrade": "websocket"}, False),
        ({}, False),
    ],
)
def test_an_upgrade_needs_both_headers(headers: dict[str, str], wanted: bool) -> None:
    assert wants_upgrade(CIMultiDict(headers)) is wanted


def test_a_head_is_written_and_read() -> None:
    target = Target("10.0.0.1", 443, "s.ns.svc")
    head = request_head("GET", "/apis/x", target, CIMultiDict({"A": "b"}))
    assert head == b"GET /apis/x HTTP/1.1\r\nHost: s.ns.svc\r\nA: b\r\n\r\n"
    status, headers = parse_head(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    assert (status, headers["Upgrade"]) == (101, "x")


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(HandshakeFailed):
        request_head("GET", "/", Target("h", 1, "s"), CIMultiDict({"A": "b\r\nX-Remote-User: root"}))


@pytest.mark.parametrize("head", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_not_http_is_refused(head: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        parse_head(head)


@pytest.mark.parametrize("bundle", ["!", "bm90IGEgY2VydGlmaWNhdGU="])
def test_a_bundle_without_certificates_is_refused(bundle: str) -> None:
    with pytest.raises(BadBundle):
        TrustStore().context(bundle)


def test_local_api_services_look_like_kubernetes_own() -> None:
    assert api_service("apps", "v1") == {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.apps", "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}},
        "spec": {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15},
    }
    assert api_service("", "v1")["metadata"]["name"] == "v1."


@pytest.mark.parametrize(
    ("name", "change", "fields"),
    [
        ("v1.x.io", {}, []),
        ("wrong", {}, ["metadata.name"]),
        (
            "v1.x.io",
            {"versionPriority": 1001, "groupPriorityMinimum": 0},
            ["spec.groupPriorityMinimum", "spec.versionPriority"],
        ),
        ("v1.x.io", {"service": {"name": "s"}}, ["spec.service.namespace"]),
        ("v1.x.io", {"caBundle": "eA==", "insecureSkipTLSVerify": True}, ["spec.insecureSkipTLSVerify"]),
        ("v1.x.io", {"service": None, "caBundle": "eA=="}, ["spec.caBundle"]),
        ("v2.", {"group": "", "version": "v2"}, ["spec.group"]),
    ],
)
def test_faults_of_an_api_service_are_found(name: str, change: Json, fields: list[str]) -> None:
    spec = {
        "group": "x.io",
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 10,
        "service": {"namespace": "ns", "name": "s"},
        **change,
    }
    faults = validate_api_service({"metadata": {"name": name}, "spec": spec})
    assert [fault.field for fault in faults] == fields
    if name == "wrong":
        assert faults[0].message == (
            'Invalid value: "wrong": must be `spec.version+"."+spec.group`: "v1.x.io"'
        )
