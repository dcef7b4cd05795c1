"""Environment, hosts, resolv.conf, fields: the texts a container is given."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgevirt.api.core import Container, ObjectFieldSelector, Pod, ResourceFieldSelector
from edgevirt.engine.kubelet import hosts
from edgevirt.engine.kubelet.environment import command_line, expand
from edgevirt.engine.kubelet.fields import NodeFacts, UnknownField, field_value, resource_value

pytestmark = pytest.mark.unit
NODE = NodeFacts("n1", "192.0.2.1", 2000, 4 << 30)
HOST_RESOLV = "search lan\nnameserver 192.0.2.53\noptions ndots:1 rotate\n"


def pod(**spec: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": "p", "namespace": "ns", "labels": {"b": '2"', "a": "1"}},
            "spec": {"containers": [{"name": "a"}], **spec},
        },
        Pod,
    )


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)y", "x1y"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$(", "$("),
    ],
)
def test_references_are_expanded(text: str, result: str) -> None:
    assert expand(text, {"A": "1"}) == result


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        ((), (), ["entry", "cmd"]),
        ((), ("x",), ["entry", "x"]),
        (("c",), (), ["c"]),
        (("c",), ("x",), ["c", "x"]),
    ],
)
def test_command_and_args_replace_the_images(
    command: tuple[str, ...], args: tuple[str, ...], argv: list[str]
) -> None:
    assert command_line(Container(command=command, args=args), ["entry"], ["cmd"], {}) == argv


def test_field_of_labels_is_sorted_and_quoted() -> None:
    selector = ObjectFieldSelector(field_path="metadata.labels")
    assert field_value(pod(), selector, NODE, ()) == 'a="1"\nb="2\\""'
    one = ObjectFieldSelector(field_path="metadata.labels['a']")
    assert field_value(pod(), one, NODE, ()) == "1"


def test_unknown_field_is_named() -> None:
    with pytest.raises(UnknownField, match=r"spec\.other"):
        field_value(pod(), ObjectFieldSelector(field_path="spec.other"), NODE, ())


def test_limit_that_is_not_set_is_the_nodes() -> None:
    container = msgspec.convert({"name": "a", "resources": {"requests": {"cpu": "250m"}}}, Container)
    limit = ResourceFieldSelector(resource="limits.memory", divisor="1Mi")
    assert resource_value(pod(), limit, NODE, container) == "4096"
    request = ResourceFieldSelector(resource="requests.cpu", divisor="1m")
    assert resource_value(pod(), request, NODE, container) == "250"


def test_hosts_has_the_pods_own_name_and_aliases() -> None:
    wanted = pod(hostname="vm", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}])
    text = hosts.hosts(wanted, ["10.0.0.2"], "cluster.local")
    assert "10.0.0.2\tvm.sub.ns.svc.cluster.local\tvm\n" in text
    assert "1.2.3.4\tx y\n" in text


@pytest.mark.parametrize(
    ("spec", "dns", "lines"),
    [
        ({}, (), ["search lan", "nameserver 192.0.2.53", "options ndots:1 rotate"]),
        ({}, ("10.0.0.10",), ["search ns.svc.c svc.c c lan", "nameserver 10.0.0.10", "options ndots:5"]),
        (
            {"dnsPolicy": "Default"},
            ("10.0.0.10",),
            ["search lan", "nameserver 192.0.2.53", "options ndots:1 rotate"],
        ),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]},
            },
            (),
            ["nameserver 1.1.1.1", "options ndots:2"],
        ),
    ],
)
def test_resolv_conf_follows_the_policy(spec: dict[str, Any], dns: tuple[str, ...], lines: list[str]) -> None:
    assert hosts.resolv_conf(pod(**spec), HOST_RESOLV, dns, "c").splitlines() == lines


def test_long_name_is_cut_to_a_host_name() -> None:
    wanted = msgspec.convert({"metadata": {"name": "x" * 62 + "-abc"}, "spec": {}}, Pod)
    assert hosts.hostname(wanted) == "x" * 62
