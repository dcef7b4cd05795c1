"""RBAC rules: what one rule allows, and whether one set of rules covers another.

`Rule` is a PolicyRule compiled for matching; the semantics are those of Kubernetes: "*" stands for
everything in its list, "*/status" for that subresource of every resource, a trailing "*" in a URL for a
prefix, and an empty resourceNames for every name. All pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One PolicyRule, in the order its author wrote it."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Rule:
        def texts(key: str) -> tuple[str, ...]:
            return tuple(document.get(key) or ())

        return cls(
            verbs=texts("verbs"),
            api_groups=texts("apiGroups"),
            resources=texts("resources"),
            resource_names=texts("resourceNames"),
            urls=texts("nonResourceURLs"),
        )

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"verbs": list(self.verbs)}
        for key, values in (
            ("apiGroups", self.api_groups),
            ("resources", self.resources),
            ("resourceNames", self.resource_names),
            ("nonResourceURLs", self.urls),
        ):
            if values:
                document[key] = list(values)
        return document

    def allows_resource(self, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
        return (
            (verb in self.verbs or ALL in self.verbs)
            and (group in self.api_groups or ALL in self.api_groups)
            and self._has_resource(resource, subresource)
            and (not self.resource_names or name in self.resource_names)
        )

    def allows_url(self, verb: str, path: str) -> bool:
        return (verb in self.verbs or ALL in self.verbs) and any(
            url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1])) for url in self.urls
        )

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"{ALL}/{subresource}" in self.resources

    def covers(self, atom: Rule) -> bool:
        """Whether this rule grants all of `atom`, one of the pieces `atoms` cuts a rule into."""
        if atom.urls:
            return self.allows_url(atom.verbs[0], atom.urls[0])  # a pattern is covered like the path it is
        resource, _, subresource = atom.resources[0].partition("/")
        if self.resource_names and (
            not atom.resource_names or atom.resource_names[0] not in self.resource_names
        ):
            return False
        return (
            (atom.verbs[0] in self.verbs or ALL in self.verbs)
            and (atom.api_groups[0] in self.api_groups or ALL in self.api_groups)
            and self._has_resource(resource, subresource)
        )

    def __str__(self) -> str:
        parts = (
            ("APIGroups", self.api_groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.resource_names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{go_list(values)}" for name, values in parts if values) + "}"


def go_list(values: Sequence[str]) -> str:
    """A list of strings as Go's %q prints it: `["a" "b"]`."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def rules_of(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(Rule.from_dict(rule) for rule in document.get("rules") or ())


def atoms(rule: Rule) -> Iterator[Rule]:
    """`rule` cut into pieces of one verb, one group, one resource and at most one name; or one URL."""
    for verb in rule.verbs:
        for url in rule.urls:
            yield Rule(verbs=(verb,), urls=(url,))
        for group in rule.api_groups:
            for resource in rule.resources:
                if not rule.resource_names:
                    yield Rule(verbs=(verb,), api_groups=(group,), resources=(resource,))
                for name in rule.resource_names:
                    yield Rule((verb,), (group,), (resource,), (name,))


def not_covered(wanted: Iterable[Rule], held: Sequence[Rule]) -> tuple[Rule, ...]:
    """The pieces of `wanted` that no rule of `held` grants; empty when everything is held."""
    return tuple(
        atom for rule in wanted for atom in atoms(rule) if not any(owned.covers(atom) for owned in held)
    )


def compact(pieces: Iterable[Rule]) -> tuple[Rule, ...]:
    """Joins pieces that differ only in their verb, for messages."""
    joined: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for piece in pieces:
        key = (piece.api_groups, piece.resources, piece.resource_names, piece.urls)
        verbs = joined.setdefault(key, [])
        verbs.extend(verb for verb in piece.verbs if verb not in verbs)
    return tuple(Rule(tuple(verbs), *key) for key, verbs in joined.items())
