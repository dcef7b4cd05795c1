"""An ObjectReader over a dictionary, and shorthands for the things admission is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from edgevirt.engine.apiserver.extension import ObjectCallback
from edgevirt.engine.apiserver.registry import ServedResource, Strategy
from edgevirt.engine.apiserver.request import ADMIN, AdmissionAttributes, UserInfo
from edgevirt.engine.apiserver.schema import ObjectSchema

Json = dict[str, Any]


class FakeReader:
    """Objects live in `put` and die in `drop`; observers hear of both."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[tuple[str, str], Json]] = {}
        self.callbacks: dict[tuple[str, str], list[ObjectCallback]] = {}

    def put(self, group: str, plural: str, document: Json) -> Json:
        metadata = document["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        stored = self.objects.setdefault((group, plural), {})
        event = "MODIFIED" if key in stored else "ADDED"
        stored[key] = document
        for callback in self.callbacks.get((group, plural), ()):
            callback(event, document)
        return document

    def drop(self, group: str, plural: str, namespace: str, name: str) -> None:
        document = self.objects[(group, plural)].pop((namespace, name))
        for callback in self.callbacks.get((group, plural), ()):
            callback("DELETED", document)

    def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None:
        return self.objects.get((group, plural), {}).get((namespace, name))

    def list(self, group: str, plural: str, namespace: str = "") -> list[Json]:
        stored = self.objects.get((group, plural), {})
        return [document for (home, _), document in sorted(stored.items()) if namespace in ("", home)]

    def observe(self, group: str, plural: str, callback: ObjectCallback) -> Callable[[], None]:
        for document in self.list(group, plural):
            callback("ADDED", document)
        callbacks = self.callbacks.setdefault((group, plural), [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)


def served(
    group: str, version: str, plural: str, kind: str, namespaced: bool = True, storage: bool = True
) -> ServedResource:
    """A resource without schema or strategy, which neither authorisation nor admission looks at."""
    return ServedResource(
        group=group,
        version=version,
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        list_kind=f"{kind}List",
        namespaced=namespaced,
        schema=cast(ObjectSchema, None),
        strategy=cast(Strategy, None),
        storage_prefix=f"/registry/{group}/{plural}/",
        storage_version=storage,
    )


CONFIG_MAPS = served("", "v1", "configmaps", "ConfigMap")
NAMESPACES = served("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = served("", "v1", "pods", "Pod")
NODES = served("", "v1", "nodes", "Node", namespaced=False)


def write(
    resource: ServedResource,
    document: Json | None = None,
    old: Json | None = None,
    operation: str = "",
    subresource: str = "",
    user: UserInfo = ADMIN,
    dry_run: bool = False,
    name: str = "",
    namespace: str = "ns",
) -> AdmissionAttributes:
    """The admission attributes of one write; the operation follows from which states are given."""
    if not operation:
        operation = "DELETE" if document is None else "CREATE" if old is None else "UPDATE"
    metadata = (document or old or {}).get("metadata", {})
    return AdmissionAttributes(
        operation=operation,
        resource=resource,
        subresource=subresource,
        name=name or metadata.get("name", ""),
        namespace=namespace if resource.namespaced else "",
        object=document,
        old_object=old,
        user=user,
        dry_run=dry_run,
        options={},
        warnings=[],
    )


def namespace(name: str, phase: str = "Active", **labels: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}},
        "status": {"phase": phase},
    }


def config_map(name: str = "a", **data: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ns"},
        "data": data,
    }
