"""The audit policy: which requests are written down, and how much of them.

The file is a Policy of audit.k8s.io/v1 as a kube-apiserver takes it. The first rule that matches decides; a
request that no rule matches is not written. All pure; a file with anything unknown in it is refused.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import msgspec
import yaml

from edgevirt.engine.apiserver.request import Attributes

API_VERSIONS = ("audit.k8s.io/v1",)


class PolicyError(ValueError):
    """The policy cannot be used; the text says which part."""


class Level(enum.IntEnum):
    """How much is written; each level includes the ones before."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return _LEVEL_TEXTS[self]


_LEVEL_TEXTS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {text: level for level, text in _LEVEL_TEXTS.items()}


class Stage(enum.Enum):
    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    """Of answers that go on for long, such as watches: their head was sent."""
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


class GroupResources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Resources of one API group, all if none is named; such as `pods/log`, `pods/*`, `*/status` and `*`."""

    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()

    def matches(self, attributes: Attributes) -> bool:
        if self.group != attributes.group:
            return False
        if self.resource_names and attributes.name not in self.resource_names:
            return False
        return not self.resources or any(_names(resource, attributes) for resource in self.resources)


def _names(pattern: str, attributes: Attributes) -> bool:
    if pattern == "*":
        return True
    resource, slash, subresource = pattern.partition("/")
    if not slash:
        return resource == attributes.resource and not attributes.subresource
    if resource == "*":
        return subresource == attributes.subresource
    return resource == attributes.resource and subresource in ("*", attributes.subresource)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Matches a request when each of its conditions does; an empty condition matches everything."""

    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[Stage, ...] = ()
    omit_managed_fields: bool | None = None

    def matches(self, attributes: Attributes) -> bool:
        user = attributes.user
        if self.users and user.name not in self.users:
            return False
        if self.user_groups and not set(self.user_groups) & set(user.groups):
            return False
        if self.verbs and attributes.verb not in self.verbs and "*" not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(attributes)
        if self.non_resource_urls:
            return not attributes.resource and any(
                _names_url(pattern, attributes.path) for pattern in self.non_resource_urls
            )
        return True

    def _matches_resource(self, attributes: Attributes) -> bool:
        if not attributes.resource:
            return False
        if self.namespaces and attributes.namespace not in self.namespaces:
            return False
        return not self.resources or any(entry.matches(attributes) for entry in self.resources)


def _names_url(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])


class Verdict(msgspec.Struct, frozen=True):
    """What the policy says about one request."""

    level: Level = Level.NONE
    omit_stages: frozenset[Stage] = frozenset()
    omit_managed_fields: bool = False


_NOTHING = Verdict()


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A whole policy. `evaluate` is all that is asked of it."""

    rules: tuple[Rule, ...]
    api_version: str = ""
    kind: str = ""
    metadata: _Metadata | None = None
    omit_stages: tuple[Stage, ...] = ()
    omit_managed_fields: bool = False

    def evaluate(self, attributes: Attributes) -> Verdict:
        for rule in self.rules:
            if rule.matches(attributes):
                level = _LEVELS[rule.level]
                if level is Level.NONE:
                    return _NOTHING
                omit = rule.omit_managed_fields
                return Verdict(
                    level,
                    frozenset((*self.omit_stages, *rule.omit_stages)),
                    self.omit_managed_fields if omit is None else omit,
                )
        return _NOTHING

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy in a YAML or JSON file. Raises PolicyError."""
        try:
            document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"{path} cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise PolicyError(f"{path} is not YAML: {error}") from error
        try:
            return cls.from_document(document)
        except PolicyError as error:
            raise PolicyError(f"{path}: {error}") from error

    @classmethod
    def from_document(cls, document: Any) -> Policy:
        """Raises PolicyError."""
        if not isinstance(document, dict):
            raise PolicyError("an audit policy must be an object with apiVersion, kind and rules")
        if document.get("apiVersion") not in API_VERSIONS or document.get("kind") != "Policy":
            raise PolicyError(f"must be of kind Policy in {API_VERSIONS[0]}")
        try:
            policy = msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise PolicyError(str(error)) from error
        if not policy.rules:
            raise PolicyError("rules: at least one is required, or nothing would ever be written")
        for index, rule in enumerate(policy.rules):
            fault = _fault(rule)
            if fault:
                raise PolicyError(f"rules[{index}]{fault}")
        return policy


def _fault(rule: Rule) -> str:
    if rule.level not in _LEVELS:
        return f".level: '{rule.level}' must be one of {', '.join(_LEVELS)}"
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        return ": cannot be about resources and nonResourceURLs at once"
    for url in rule.non_resource_urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            return f".nonResourceURLs: '{url}' must begin with / and may hold * at its end only"
    for entry in rule.resources:
        if entry.resource_names and not entry.resources:
            return ".resources: resourceNames need resources"
        if "/" in entry.group:
            return f".resources: the group '{entry.group}' must be without a version"
    return ""


WORDS = tuple(text for text, level in _LEVELS.items() if level is not Level.NONE)


def load(text: str) -> Policy:
    """The policy of a setting: a level for all requests, or the path of a file. Raises PolicyError.

    A level writes one event per request, when it is answered, and none about health checks.
    """
    if text not in WORDS:
        return Policy.load(Path(text))
    probes = Rule(level="None", non_resource_urls=("/healthz*", "/livez*", "/readyz*"))
    return Policy(rules=(probes, Rule(level=text)), omit_stages=(Stage.REQUEST_RECEIVED,))
