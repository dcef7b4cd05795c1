"""Discovery documents: what is served here, for clients that ask before they act.

Both forms are made from the registry: the small documents per group and version, and the aggregated one
(`apidiscovery.k8s.io/v2`) that holds everything in a single answer. Groups served by other API servers take
part with what was fetched from them; one that could not be fetched is listed as stale. Documents are encoded
once and kept until the registry or the external groups change.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from edgevirt.engine.apiserver.registry import Registry, ServedResource
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.crd import version_order
from edgevirt.engine.apiserver.schema.subresources import subresource_facts

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_CUSTOM_PRIORITY = 1000
_GROUP_PRIORITIES = {
    "apiregistration.k8s.io": 20000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "metrics.k8s.io": 100,
}


@dataclass(frozen=True, slots=True)
class ExternalGroupVersion:
    """A group version served by another API server, from its APIService.

    `resources` are the entries of its APIResourceList, or None while it cannot be fetched.
    """

    group: str
    version: str
    group_priority: int
    version_priority: int
    resources: Sequence[Json] | None


@dataclass(frozen=True, slots=True)
class Document:
    """An encoded answer. `etag` is quoted, ready for the header."""

    body: bytes
    etag: str
    content_type: str = "application/json"


def no_external() -> Sequence[ExternalGroupVersion]:
    return ()


class Discovery:
    """Answers the discovery endpoints. Used on the event loop only."""

    def __init__(
        self,
        registry: Registry,
        external: Callable[[], Sequence[ExternalGroupVersion]] = no_external,
    ) -> None:
        """`external` returns the current external group versions; an equal answer means nothing changed."""
        self._registry = registry
        self._external = external
        self._documents: dict[tuple[str, ...], Document | None] = {}
        self._built_for: tuple[int, Sequence[ExternalGroupVersion]] | None = None

    def api_versions(self, server_address: str) -> Document:
        """`/api`. `server_address` is host:port as clients reach this server."""
        return self._cached(
            ("api", server_address),
            lambda: {
                "kind": "APIVersions",
                "versions": list(self._versions().get("", ())),
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
            },
        )

    def api_groups(self) -> Document:
        """`/apis`."""
        return self._cached(
            ("apis",),
            lambda: {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    _group_document(group, versions) for group, versions in self._versions().items() if group
                ],
            },
        )

    def api_group(self, group: str) -> Document | None:
        """`/apis/GROUP`, None if there is no such group."""
        versions = self._versions().get(group)
        if versions is None:
            return None
        return self._cached(
            ("apis", group),
            lambda: {"kind": "APIGroup", "apiVersion": "v1", **_group_document(group, versions)},
        )

    def api_resources(self, group: str, version: str) -> Document | None:
        """`/api/v1` or `/apis/GROUP/VERSION`, None if this server does not serve it itself."""
        resources = self._resources(group, version)
        if not resources:
            return None
        core = {} if group == "" else {"apiVersion": "v1"}
        return self._cached(
            ("apis", group, version),
            lambda: {
                "kind": "APIResourceList",
                **core,
                "groupVersion": f"{group}/{version}" if group else version,
                "resources": resource_entries(resources),
            },
        )

    def aggregated(self, core: bool) -> Document:
        """Everything in one document: of `/api` if `core`, else of `/apis`."""
        return self._cached(
            ("aggregated", "core" if core else "groups"),
            lambda: {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {},
                "items": [
                    self._aggregated_group(group, versions)
                    for group, versions in self._versions().items()
                    if (group == "") == core
                ],
            },
            AGGREGATED,
        )

    def _cached(
        self, key: tuple[str, ...], build: Callable[[], Json], content_type: str = "application/json"
    ) -> Document:
        current = (self._registry.generation, self._external())
        if current != self._built_for:
            self._documents.clear()
            self._built_for = current
        found = self._documents.get(key)
        if found is None:
            body = msgspec.json.encode(build())
            etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
            found = self._documents[key] = Document(body, etag, content_type)
        return found

    def _resources(self, group: str, version: str) -> list[ServedResource]:
        return [r for r in self._registry.list() if r.group == group and r.version == version]

    def group_versions(self) -> dict[str, tuple[str, ...]]:
        """Groups and their versions, in order of priority."""
        return self._versions()

    def _versions(self) -> dict[str, tuple[str, ...]]:
        """Groups in order of priority, each with its versions, the preferred one first."""
        priorities: dict[str, int] = {}
        versions: dict[str, dict[str, int]] = {}
        for group, names in self._registry.groups().items():
            priorities[group] = _GROUP_PRIORITIES.get(group, _CUSTOM_PRIORITY)
            versions[group] = dict.fromkeys(names, 100)
        for entry in self._external():
            if entry.version in versions.get(entry.group, ()):
                continue
            priorities[entry.group] = max(priorities.get(entry.group, 0), entry.group_priority)
            versions.setdefault(entry.group, {})[entry.version] = entry.version_priority
        ordered = sorted(versions, key=lambda group: (-priorities[group], group))
        return {
            group: tuple(
                sorted(versions[group], key=lambda name: (-versions[group][name], version_order(name)))
            )
            for group in ordered
        }

    def _aggregated_group(self, group: str, versions: Iterable[str]) -> Json:
        return {
            "metadata": {"name": group} if group else {},
            "versions": [self._aggregated_version(group, version) for version in versions],
        }

    def _aggregated_version(self, group: str, version: str) -> Json:
        own = self._resources(group, version)
        if own:
            return {
                "version": version,
                "resources": _aggregated(resource_entries(own), group, version, own[0].custom),
                "freshness": "Current",
            }
        for entry in self._external():
            if (entry.group, entry.version) == (group, version) and entry.resources is not None:
                return {
                    "version": version,
                    "resources": _aggregated(entry.resources, group, version, True),
                    "freshness": "Current",
                }
        return {"version": version, "freshness": "Stale"}


def _group_document(group: str, versions: Sequence[str]) -> Json:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def resource_entries(resources: Iterable[ServedResource]) -> list[Json]:
    """The entries of an APIResourceList: resources and their subresources, by name."""
    entries = [entry for resource in resources for entry in _entries_of(resource)]
    return sorted(entries, key=lambda entry: str(entry["name"]))


def _entries_of(resource: ServedResource) -> list[Json]:
    verbs = list(resource.verbs)
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _CUSTOM_VERBS if resource.custom and set(verbs) == set(_CUSTOM_VERBS) else verbs,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        entry["storageVersionHash"] = storage_version_hash(resource)
    entries = [entry]
    for name in sorted(resource.subresources):
        facts = subresource_facts(resource.plural, name, resource.kind)
        below: dict[str, Any] = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
        if facts.group:
            below |= {"group": facts.group, "version": facts.version}
        entries.append({**below, "kind": facts.kind, "verbs": list(facts.verbs)})
    return entries


_HASHED_AS = {"CustomResourceDefinition": "v1beta1"}
"""Kinds whose hash is that of an older version, in which Kubernetes goes on to store them."""

_CUSTOM_VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]


def storage_version_hash(resource: ServedResource) -> str:
    """Tells clients whether two resources share their stored form: a short hash of what is stored."""
    version = _HASHED_AS.get(resource.kind, resource.version)
    stored = f"{resource.group}/{version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _aggregated(entries: Iterable[Json], group: str, version: str, full_kind: bool) -> list[Json]:
    """APIResourceList entries in the aggregated form: subresources below their resource.

    `full_kind` spells out the group and version of kinds that belong to the group itself.
    """
    own = {"group": group, "version": version} if full_kind else {"group": "", "version": ""}
    found: dict[str, Json] = {}
    for entry in entries:
        name, _, subresource = str(entry["name"]).partition("/")
        kind = {
            **own,
            **{key: entry[key] for key in ("group", "version") if entry.get(key)},
            "kind": entry.get("kind", ""),
        }
        if subresource:
            parent = found.setdefault(
                name, {"resource": name, "scope": _scope(entry), "singularResource": "", "verbs": []}
            )
            below = {
                "subresource": subresource,
                "responseKind": kind,
                "verbs": list(entry.get("verbs") or ()),
            }
            parent.setdefault("subresources", []).append(below)
            continue
        document: dict[str, Any] = {
            "resource": name,
            "responseKind": kind,
            "scope": _scope(entry),
            "singularResource": entry.get("singularName", ""),
            "verbs": list(entry.get("verbs") or ()),
        }
        for key in ("shortNames", "categories"):
            if entry.get(key):
                document[key] = list(entry[key])
        if name in found:
            document["subresources"] = found[name].get("subresources", [])
        found[name] = document
    return list(found.values())


def _scope(entry: Json) -> str:
    return "Namespaced" if entry.get("namespaced") else "Cluster"
