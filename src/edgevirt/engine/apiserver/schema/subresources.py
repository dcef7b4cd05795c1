"""Kinds and verbs of subresources, as discovery and OpenAPI publish them."""

from __future__ import annotations

from typing import NamedTuple


class SubresourceFacts(NamedTuple):
    """`group` and `version` are "" when the kind belongs to the resource's own group version."""

    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


_READ_WRITE = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")
_STREAM = ("create", "get")
_CREATE = ("create",)

_FACTS: dict[tuple[str, str], SubresourceFacts] = {
    ("namespaces", "finalize"): SubresourceFacts("Namespace", ("update",)),
    ("nodes", "proxy"): SubresourceFacts("NodeProxyOptions", _PROXY),
    ("pods", "attach"): SubresourceFacts("PodAttachOptions", _STREAM),
    ("pods", "binding"): SubresourceFacts("Binding", _CREATE),
    ("pods", "eviction"): SubresourceFacts("Eviction", _CREATE, "policy", "v1"),
    ("pods", "exec"): SubresourceFacts("PodExecOptions", _STREAM),
    ("pods", "log"): SubresourceFacts("Pod", ("get",)),
    ("pods", "portforward"): SubresourceFacts("PodPortForwardOptions", _STREAM),
    ("pods", "proxy"): SubresourceFacts("PodProxyOptions", _PROXY),
    ("serviceaccounts", "token"): SubresourceFacts("TokenRequest", _CREATE, "authentication.k8s.io", "v1"),
    ("services", "proxy"): SubresourceFacts("ServiceProxyOptions", _PROXY),
}


def subresource_facts(plural: str, name: str, kind: str) -> SubresourceFacts:
    """Facts of subresource `name` of resource `plural`; `kind` is the resource's own kind."""
    found = _FACTS.get((plural, name))
    if found is not None:
        return found
    if name == "scale":
        return SubresourceFacts("Scale", _READ_WRITE, "autoscaling", "v1")
    return SubresourceFacts(kind, _READ_WRITE)
