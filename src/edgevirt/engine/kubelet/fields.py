"""Values a pod may ask of itself: the downward API's fields and resources (pure)."""

from __future__ import annotations

import dataclasses
import math
import re
from fractions import Fraction

from edgevirt.api import quantity
from edgevirt.api.core import Container, ObjectFieldSelector, Pod, ResourceFieldSelector

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_DIVISORS = {"cpu": "1", "memory": "1", "ephemeral-storage": "1"}


class UnknownField(Exception):
    """The field or resource named does not exist."""


@dataclasses.dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod may learn about its node. Memory and storage in bytes."""

    name: str
    address: str
    millicores: int
    memory: int
    storage: int = 0


def field_value(pod: Pod, selector: ObjectFieldSelector, node: NodeFacts, addresses: tuple[str, ...]) -> str:
    """The text of a fieldRef; UnknownField names the path."""
    path = selector.field_path
    metadata = pod.metadata
    if match := _SUBSCRIPT.fullmatch(path):
        source = metadata.labels if match[1] == "labels" else metadata.annotations
        return source.get(match[2], "")
    spec = pod.spec
    values = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _map(metadata.labels),
        "metadata.annotations": _map(metadata.annotations),
        "spec.nodeName": spec.node_name if spec else "",
        "spec.serviceAccountName": spec.service_account_name if spec else "",
        "status.hostIP": node.address,
        "status.hostIPs": node.address,
        "status.podIP": addresses[0] if addresses else "",
        "status.podIPs": ",".join(addresses),
    }
    if path not in values:
        raise UnknownField(f"fieldRef: {path!r} is not a field that the downward API offers")
    return values[path]


def resource_value(
    pod: Pod, selector: ResourceFieldSelector, node: NodeFacts, container: Container | None = None
) -> str:
    """The text of a resourceFieldRef; UnknownField names what is wrong."""
    if selector.container_name:
        spec = pod.spec
        every = (*spec.containers, *spec.init_containers) if spec else ()
        container = next((c for c in every if c.name == selector.container_name), None)
    if container is None:
        raise UnknownField(f"resourceFieldRef: there is no container {selector.container_name!r}")
    kind, _, resource = selector.resource.partition(".")
    given = container.resources
    if kind not in ("limits", "requests") or not resource:
        raise UnknownField(f"resourceFieldRef: {selector.resource!r} is not limits.<name> or requests.<name>")
    values = (given.limits if kind == "limits" else given.requests) if given else {}
    divisor = quantity.parse(selector.divisor or 0) or quantity.parse(_DIVISORS.get(resource, "1"))
    if resource in values:
        amount = quantity.parse(values[resource])
    elif kind == "limits":
        amount = _of_node(resource, node)
    else:
        amount = Fraction(0)
    return str(math.ceil(amount / divisor))


def _of_node(resource: str, node: NodeFacts) -> Fraction:
    match resource:
        case "cpu":
            return Fraction(node.millicores, 1000)
        case "memory":
            return Fraction(node.memory)
        case "ephemeral-storage":
            return Fraction(node.storage)
        case _:
            return Fraction(0)


def _map(values: dict[str, str]) -> str:
    return "\n".join(f"{key}={_quote(value)}" for key, value in sorted(values.items()))


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
