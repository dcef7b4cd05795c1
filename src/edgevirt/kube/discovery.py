"""Which kinds an API serves: for code that works on all of them (garbage collection, namespace deletion).

One resource per kind: of a group served in several versions its preferred one. A group whose discovery fails
(an aggregated API that is down) does not fail the rest; it is named in `failed`, and whoever concludes from
"there is no such kind" has to look there first.
"""

from __future__ import annotations

import asyncio
import dataclasses

from edgevirt.api.meta import KubeObject, Resource, Struct
from edgevirt.kube import codec, errors
from edgevirt.kube.client import Client


@dataclasses.dataclass(frozen=True, slots=True)
class ServedResource:
    """A kind and what can be done with it; `resource` decodes to metadata only."""

    resource: Resource[KubeObject]
    verbs: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    resources: tuple[ServedResource, ...]
    failed: frozenset[str]
    """ "group/version"s that could not be asked."""


class _Version(Struct):
    group_version: str = ""
    version: str = ""


class _Group(Struct):
    name: str = ""
    preferred_version: _Version | None = None
    versions: tuple[_Version, ...] = ()


class _GroupList(Struct):
    groups: tuple[_Group, ...] = ()


class _ApiResource(Struct):
    group: str = ""
    kind: str = ""
    name: str = ""
    namespaced: bool = False
    verbs: tuple[str, ...] = ()
    version: str = ""


class _ApiResourceList(Struct):
    kind: str = ""
    resources: tuple[_ApiResource, ...] = ()


async def discover(client: Client) -> Served:
    """Ask for everything served. Raises KubeError only if the list of groups itself cannot be had."""
    groups = codec.decode_as(await client.request("GET", "/apis"), _GroupList).groups
    asked = [("", "v1", "/api/v1")]
    for group in groups:
        # The preferred version first: a kind it does not have is taken from the next one that has it.
        preferred = group.preferred_version.version if group.preferred_version else ""
        versions = sorted((v.version for v in group.versions), key=lambda version: version != preferred)
        asked += [(group.name, version, f"/apis/{group.name}/{version}") for version in versions]
    answers = await asyncio.gather(*(_ask(client, path) for _, _, path in asked))
    found: dict[tuple[str, str], ServedResource] = {}
    failed = set()
    for (group_name, version, _), answer in zip(asked, answers, strict=True):
        if answer is None:
            failed.add(f"{group_name}/{version}" if group_name else version)
            continue
        for entry in answer.resources:
            if "/" in entry.name:
                continue  # a subresource
            resource = Resource(group_name, version, entry.name, entry.kind, KubeObject, entry.namespaced)
            found.setdefault((group_name, entry.name), ServedResource(resource, frozenset(entry.verbs)))
    return Served(tuple(found.values()), frozenset(failed))


async def _ask(client: Client, path: str) -> _ApiResourceList | None:
    try:
        answer = codec.decode_as(await client.request("GET", path, timeout=10.0), _ApiResourceList)
    except errors.KubeError:
        return None
    # Anything else that happens to be JSON must not look like a group that serves nothing.
    return answer if answer.kind == "APIResourceList" else None
