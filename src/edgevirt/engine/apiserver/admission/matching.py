"""Which webhooks want to see a write: rules, scope, selectors and equivalence of versions.

`Webhook` is one entry of a configuration, compiled. `WebhookTable` holds all of a kind, in the order they
are called (configurations by name, entries as written), and remembers per resource and operation which
of them match, so that an uninteresting write costs one dictionary lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.request import AdmissionAttributes

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.admission.conditions import Conditions

Json = dict[str, Any]

NEVER = frozenset(
    {
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    }
)
"""Never shown to webhooks and policies: a bad one must stay repairable, and reviews are not objects."""


class Target(NamedTuple):
    """What is written: a resource in a version, perhaps a subresource of it."""

    group: str
    version: str
    plural: str
    subresource: str
    operation: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class MatchRule:
    groups: frozenset[str]
    versions: frozenset[str]
    operations: frozenset[str]
    resources: tuple[str, ...]
    scope: str
    names: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> MatchRule:
        return cls(
            groups=frozenset(document.get("apiGroups") or ()),
            versions=frozenset(document.get("apiVersions") or ()),
            operations=frozenset(document.get("operations") or ()),
            resources=tuple(document.get("resources") or ()),
            scope=document.get("scope") or "*",
            names=frozenset(document.get("resourceNames") or ()),
        )

    def matches(self, target: Target, name: str | None = None) -> bool:
        """Whether the rule takes a write; `name` None asks about objects of any name."""
        return (not self.names or name is None or name in self.names) and (
            ("*" in self.groups or target.group in self.groups)
            and ("*" in self.versions or target.version in self.versions)
            and ("*" in self.operations or target.operation in self.operations)
            and self._scope_matches(target)
            and any(_resource_matches(pattern, target) for pattern in self.resources)
        )

    def _scope_matches(self, target: Target) -> bool:
        return self.scope == "*" or self.scope == ("Namespaced" if target.namespaced else "Cluster")


def _resource_matches(pattern: str, target: Target) -> bool:
    resource, _, subresource = pattern.partition("/")
    return resource in ("*", target.plural) and subresource in ("*", target.subresource)


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    namespace: str
    name: str
    port: int
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """One compiled webhook. `broken` says why it can never be called, if so."""

    configuration: str
    name: str
    rules: tuple[MatchRule, ...]
    exact: bool
    fail_closed: bool
    namespace_selector: Mapping[str, Any]
    object_selector: Mapping[str, Any]
    conditions: Conditions | None
    timeout: int
    side_effects: str
    reinvoke: bool
    url: str
    service: ServiceAddress | None
    ca_bundle: str
    broken: str = ""


def compile_webhook(configuration: str, document: Mapping[str, Any]) -> Webhook:
    """A webhook as the dispatcher needs it; defaults are filled in should the document lack them."""
    broken = ""
    conditions: Conditions | None = None
    try:
        if document.get("matchConditions"):
            # Imported only where there are conditions: most webhooks have none.
            from edgevirt.engine.apiserver.admission.conditions import Conditions

            conditions = Conditions(document["matchConditions"])
    except ConditionError as error:
        broken = f"matchConditions do not compile: {error}"
    if "v1" not in (document.get("admissionReviewVersions") or ("v1",)):
        broken = "the webhook does not accept AdmissionReview v1, the only version this server sends"
    client = document.get("clientConfig") or {}
    service = client.get("service")
    return Webhook(
        configuration=configuration,
        name=document.get("name", ""),
        rules=tuple(MatchRule.from_dict(rule) for rule in document.get("rules") or ()),
        exact=document.get("matchPolicy") == "Exact",
        fail_closed=document.get("failurePolicy") != "Ignore",
        namespace_selector=document.get("namespaceSelector") or {},
        object_selector=document.get("objectSelector") or {},
        conditions=conditions,
        timeout=document.get("timeoutSeconds") or 10,
        side_effects=document.get("sideEffects") or "Unknown",
        reinvoke=document.get("reinvocationPolicy") == "IfNeeded",
        url=client.get("url") or "",
        service=None
        if not service
        else ServiceAddress(
            service.get("namespace", ""),
            service.get("name", ""),
            service.get("port") or 443,
            service.get("path") or "",
        ),
        ca_bundle=client.get("caBundle") or "",
        broken=broken,
    )


class Match(NamedTuple):
    """A webhook that wants a write, and the version it wants to see the object in."""

    webhook: Webhook
    version: str


class WebhookTable:
    """All webhooks of one kind of configuration. `versions` lists the served versions of a resource."""

    def __init__(self, versions: Callable[[str, str], Sequence[str]]) -> None:
        self._versions = versions
        self._configurations: dict[str, tuple[Webhook, ...]] = {}
        self._ordered: tuple[Webhook, ...] = ()
        self._matches: dict[Target, tuple[Match, ...]] = {}

    def apply(self, event: str, document: Mapping[str, Any]) -> None:
        """Takes over one change of a configuration."""
        name = document["metadata"]["name"]
        if event == "DELETED":
            self._configurations.pop(name, None)
        else:
            entries = document.get("webhooks") or ()
            self._configurations[name] = tuple(compile_webhook(name, entry) for entry in entries)
        self._ordered = tuple(
            webhook for _, webhooks in sorted(self._configurations.items()) for webhook in webhooks
        )
        self.forget()

    def forget(self) -> None:
        """Works the matches out anew: the served versions have changed."""
        self._matches.clear()

    def matching(self, target: Target) -> tuple[Match, ...]:
        """The webhooks whose rules match, in calling order; selectors are not looked at."""
        known = self._matches.get(target)
        if known is None:
            known = self._matches[target] = tuple(self._find(target))
        return known

    def _find(self, target: Target) -> Sequence[Match]:
        if not self._ordered or (target.group, target.plural) in NEVER:
            return ()
        found: list[Match] = []
        for webhook in self._ordered:
            version = self._matching_version(webhook, target)
            if version:
                found.append(Match(webhook, version))
        return found

    def _matching_version(self, webhook: Webhook, target: Target) -> str:
        candidates = [target.version]
        if not webhook.exact:
            candidates += [v for v in self._versions(target.group, target.plural) if v != target.version]
        for version in candidates:
            if any(rule.matches(target._replace(version=version)) for rule in webhook.rules):
                return version
        return ""


def selected(
    webhook: Webhook,
    namespace_labels: Mapping[str, str] | None,
    objects: Sequence[Mapping[str, Any] | None],
) -> bool:
    """Whether the selectors take the write.

    `namespace_labels` is None for a write that belongs to no namespace, which no namespaceSelector
    excludes. `objects` are the new and the old state; either may match the objectSelector.
    """
    return selected_by(webhook.namespace_selector, webhook.object_selector, namespace_labels, objects)


def selected_by(
    namespace_selector: Mapping[str, Any],
    object_selector: Mapping[str, Any],
    namespace_labels: Mapping[str, str] | None,
    objects: Sequence[Mapping[str, Any] | None],
) -> bool:
    """As `selected`, for selectors that are given."""
    if namespace_labels is not None and not selects(namespace_selector, namespace_labels):
        return False
    if not object_selector:
        return True
    return any(
        selects(object_selector, (document.get("metadata") or {}).get("labels") or {})
        for document in objects
        if document is not None
    )


def target_of(attributes: AdmissionAttributes) -> Target:
    """What rules are matched against."""
    resource = attributes.resource
    return Target(
        resource.group,
        resource.version,
        resource.plural,
        attributes.subresource,
        attributes.operation,
        resource.namespaced,
    )
