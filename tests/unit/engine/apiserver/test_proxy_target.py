from __future__ import annotations

import pytest
from multidict import MultiDict

from edgevirt.engine.apiserver.nodes.connect_options import connect_options
from edgevirt.engine.apiserver.nodes.proxy_target import (
    ProxyName,
    may_be_reached,
    parse_name,
    remaining_path,
    rewritten_location,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web", ProxyName("", "web", "")),
        ("web:80", ProxyName("", "web", "80")),
        ("web:http", ProxyName("", "web", "http")),
        ("https:web:443", ProxyName("https", "web", "443")),
        ("http:web:", ProxyName("http", "web", "")),
        ("ftp:web:21", None),
        (":80", None),
        ("a:b:c:d", None),
    ],
)
def test_names_carry_scheme_and_port(text: str, found: ProxyName | None) -> None:
    assert parse_name(text) == found


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("fd00::1", True),
        ("", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.1.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:10.1.2.3", True),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("example.org", False),
    ],
)
def test_only_addresses_of_pods_are_reached(address: str, allowed: bool) -> None:
    assert may_be_reached(address) is allowed


@pytest.mark.parametrize(
    ("path", "namespaced", "rest"),
    [
        ("/api/v1/namespaces/n/pods/p/proxy", True, None),
        ("/api/v1/namespaces/n/pods/p/proxy/", True, "/"),
        ("/api/v1/namespaces/n/pods/proxy/proxy/a/b%2Fc/", True, "/a/b%2Fc/"),
        ("/api/v1/nodes/n/proxy/stats/summary", False, "/stats/summary"),
        ("/api/v1/nodes/n/proxy", False, None),
    ],
)
def test_the_path_is_forwarded_as_it_was_sent(path: str, namespaced: bool, rest: str | None) -> None:
    assert remaining_path(path, namespaced) == rest


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/login?next=%2F", "/x/proxy/login?next=%2F"),
        ("http://10.0.0.1:80/login", "/x/proxy/login"),
        ("http://elsewhere/login", "http://elsewhere/login"),
        ("relative", "relative"),
        ("/x/proxy/there", "/x/proxy/there"),
    ],
)
def test_redirects_lead_through_the_proxy_again(location: str, seen: str) -> None:
    assert rewritten_location(location, "/x/proxy", frozenset({"10.0.0.1:80"})) == seen


def test_admission_sees_what_a_connection_asks_for() -> None:
    query = MultiDict([("command", "sh"), ("command", "-i"), ("stdin", "true"), ("tty", "false")])
    assert connect_options("pods", "exec", query, "") == {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        "stdin": True,
        "command": ["sh", "-i"],
    }
    assert connect_options("pods", "portforward", MultiDict([("ports", "80")]), "") == {
        "kind": "PodPortForwardOptions",
        "apiVersion": "v1",
        "ports": [80],
    }
    assert connect_options("services", "proxy", MultiDict(), "a/b")["path"] == "a/b"
    attach = connect_options("pods", "attach", MultiDict([("container", "c"), ("stdout", "1")]), "")
    assert attach == {"kind": "PodAttachOptions", "apiVersion": "v1", "stdout": True, "container": "c"}
