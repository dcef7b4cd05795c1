"""The options objects of CONNECT requests, as admission sees them: PodExecOptions and its kin. Pure.

A request that connects has no body; what it asks for is in its query. Webhooks and policies judge it by the
object Kubernetes makes of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multidict import MultiMapping

Json = dict[str, Any]

_PROXY_KINDS = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}


def connect_options(plural: str, subresource: str, query: MultiMapping[str], path: str) -> Json:
    """The object; `path` is what follows a proxy's name."""
    if subresource == "proxy":
        return {"kind": _PROXY_KINDS[plural], "apiVersion": "v1", **({"path": path} if path else {})}
    return _MAKERS[subresource](query)


def _exec(query: MultiMapping[str]) -> Json:
    return {
        "kind": "PodExecOptions",
        "apiVersion": "v1",
        **_streams(query),
        "command": _all(query, "command"),
    }


def _attach(query: MultiMapping[str]) -> Json:
    return {"kind": "PodAttachOptions", "apiVersion": "v1", **_streams(query)}


def _port_forward(query: MultiMapping[str]) -> Json:
    numbers = [int(port) for port in _all(query, "ports") if port.isascii() and port.isdigit()]
    return {"kind": "PodPortForwardOptions", "apiVersion": "v1", **({"ports": numbers} if numbers else {})}


def _streams(query: MultiMapping[str]) -> Json:
    found: Json = {name: True for name in ("stdin", "stdout", "stderr", "tty") if is_set(query.get(name, ""))}
    if container := query.get("container", ""):
        found["container"] = container
    return found


def is_set(value: str) -> bool:
    """How Kubernetes reads a boolean of a query: everything but false and 0, once it is there."""
    return value not in ("", "false", "0")


def _all(query: MultiMapping[str], name: str) -> list[str]:
    return list(query.getall(name, []))


_MAKERS: dict[str, Callable[[MultiMapping[str]], Json]] = {
    "exec": _exec,
    "attach": _attach,
    "portforward": _port_forward,
}
