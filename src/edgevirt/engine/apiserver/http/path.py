"""From method and path to what is asked for: group, version, resource, name, subresource and verb."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from edgevirt.engine.apiserver.errors import no_such_path

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "HEAD": "get",
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A parsed API path. `rest` is what follows the subresource, for proxies."""

    group: str
    version: str
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def parse_path(path: str) -> ResourcePath | None:
    """The resource a path names; None if the path does not lie below /api/V or /apis/G/V.

    `path` is still percent-encoded. Raises `StatusError` 404 for a path with empty segments in between, or
    with an encoded slash in what is authorised.
    """
    parts = path.split("/")
    if len(parts) > 3 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    elif len(parts) > 2 and parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    else:
        return None
    if rest and not rest[-1]:
        rest.pop()
    if "%" in path and rest:
        rest = [unquote(part) for part in rest]
        # Who decodes before splitting, as Go's servers do, would see a subresource where a name was allowed.
        if any("/" in part for part in rest[: 5 if rest[0] == "namespaces" else 3]):
            raise no_such_path()
    if not version or not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
        if not namespace:
            raise no_such_path()
    if "" in rest[:3]:
        raise no_such_path()
    plural = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    if plural == "namespaces" and not group:
        namespace = name
    return ResourcePath(
        group=group,
        version=version,
        namespace=namespace,
        plural=plural,
        name=name,
        subresource=rest[2] if len(rest) > 2 else "",
        rest="/".join(rest[3:]),
    )


def verb_of(method: str, has_name: bool, watch: bool) -> str:
    """The Kubernetes verb of a request on a resource."""
    verb = _VERBS.get(method, method.lower())
    if not has_name:
        if verb == "get":
            return "watch" if watch else "list"
        if verb == "delete":
            return "deletecollection"
    return verb
