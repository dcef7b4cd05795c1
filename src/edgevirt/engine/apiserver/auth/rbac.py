"""Role-based access control: answers from memory, kept current by the store's events.

Roles and bindings are indexed by subject when they change, which is rare, so that a decision touches only
the bindings of the asking user and its groups. Decisions are remembered until the next change of any RBAC
object. Members of "system:masters" may do everything, as in Kubernetes, so that nobody can lock
themselves out by editing roles.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.auth.rules import Rule, rules_of
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo

RBAC_GROUP = "rbac.authorization.k8s.io"
SUPERUSERS = "system:masters"
_REMEMBERED = 4096
_SERVICE_ACCOUNT = "system:serviceaccount:"

Subject = tuple[str, str]
"""("User", name) or ("Group", name); service accounts are users."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a binding says, reduced to what a decision needs. `namespace` is "" for ClusterRoleBindings."""

    name: str
    namespace: str
    role_kind: str
    role_name: str
    accounts: frozenset[tuple[str, str]] = frozenset()
    """(namespace, name) of the service accounts among its subjects, named as such."""


class RoleBasedAccess:
    """The RBAC authorizer. Feed it with `apply`, or let `observe` do so."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._cluster_roles: dict[str, Mapping[str, Any]] = {}
        self._bindings: dict[tuple[str, str], tuple[Binding, tuple[Subject, ...]]] = {}
        self._by_subject: dict[tuple[str, Subject], list[Binding]] = {}
        self._effective: dict[str, tuple[Rule, ...]] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}

    def observe(self, reader: ObjectReader) -> None:
        """Follows the four RBAC resources of `reader` from now on."""
        for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"):
            reader.observe(RBAC_GROUP, plural, functools.partial(self.apply, plural))

    def apply(self, plural: str, event: str, document: Mapping[str, Any]) -> None:
        """Takes over one change: `event` is ADDED, MODIFIED or DELETED."""
        metadata = document.get("metadata") or {}
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        deleted = event == "DELETED"
        match plural:
            case "roles":
                _put(self._roles, (namespace, name), None if deleted else rules_of(document))
            case "clusterroles":
                _put(self._cluster_roles, name, None if deleted else document)
                self._effective.clear()
            case "rolebindings" | "clusterrolebindings":
                self._apply_binding(namespace, name, None if deleted else document)
        self._decisions.clear()

    def _apply_binding(self, namespace: str, name: str, document: Mapping[str, Any] | None) -> None:
        previous = self._bindings.pop((namespace, name), None)
        if previous is not None:
            binding, subjects = previous
            for subject in subjects:
                listed = self._by_subject[(namespace, subject)]
                listed.remove(binding)
                if not listed:
                    del self._by_subject[(namespace, subject)]
        if document is None:
            return
        reference = document.get("roleRef") or {}
        accounts = frozenset(
            (one.get("namespace") or namespace, one.get("name", ""))
            for one in document.get("subjects") or ()
            if one.get("kind") == "ServiceAccount"
        )
        binding = Binding(name, namespace, reference.get("kind", ""), reference.get("name", ""), accounts)
        subjects = tuple(dict.fromkeys(_subjects(document, namespace)))
        self._bindings[(namespace, name)] = (binding, subjects)
        for subject in subjects:
            self._by_subject.setdefault((namespace, subject), []).append(binding)

    def authorize(self, attributes: Attributes) -> Decision:
        """Whether a rule bound to the user allows this. Never raises."""
        user = attributes.user
        if SUPERUSERS in user.groups:
            return Decision(True)
        key = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
            attributes.path,
        )
        known = self._decisions.get(key)
        if known is None:
            known = self._decide(attributes)
            if len(self._decisions) >= _REMEMBERED:
                self._decisions.clear()
            self._decisions[key] = known
        return known

    def _decide(self, attributes: Attributes) -> Decision:
        missing: dict[str, None] = {}
        for subject, binding in self._bindings_of(attributes.user, attributes.namespace):
            rules = self.rules_of_role(binding.role_kind, binding.role_name, binding.namespace)
            if rules is None:
                missing[_missing_role(binding)] = None
            elif any(_allows(rule, attributes) for rule in rules):
                return Decision(True, f"RBAC: allowed by {_granted(binding, subject)}")
        if not missing:
            return Decision(False)
        listed = ", ".join(missing)
        return Decision(False, f"RBAC: {listed}" if len(missing) == 1 else f"RBAC: [{listed}]")

    def _bindings_of(self, user: UserInfo, namespace: str) -> Iterator[tuple[Subject, Binding]]:
        subjects: list[Subject] = [("User", user.name), *(("Group", group) for group in user.groups)]
        for scope in ("", namespace) if namespace else ("",):
            for subject in subjects:
                for binding in self._by_subject.get((scope, subject), ()):
                    yield subject, binding

    def rules_for(self, user: UserInfo, namespace: str) -> Iterator[Rule]:
        """All rules that apply to `user` in `namespace` ("" for cluster-wide ones only)."""
        for _, binding in self._bindings_of(user, namespace):
            yield from self.rules_of_role(binding.role_kind, binding.role_name, binding.namespace) or ()

    def rules_of_role(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of a Role of `namespace` or a ClusterRole (aggregated ones resolved); None if absent."""
        if kind == "ClusterRole":
            return self._effective_rules(name) if name in self._cluster_roles else None
        return self._roles.get((namespace, name))

    def _effective_rules(self, name: str) -> tuple[Rule, ...]:
        known = self._effective.get(name)
        if known is None:
            known = self._effective[name] = resolve_aggregation(name, self._cluster_roles)
        return known


def _granted(binding: Binding, subject: Subject) -> str:
    """Which binding gives a right to whom, as Kubernetes tells it."""
    kind, name = subject
    who = f'{kind} "{name}"'
    if kind == "User" and name.startswith(_SERVICE_ACCOUNT):
        home, _, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
        if (home, account) in binding.accounts:
            who = f'ServiceAccount "{account}/{home}"'
    what = f'of {binding.role_kind} "{binding.role_name}" to {who}'
    if binding.namespace:
        return f'RoleBinding "{binding.name}/{binding.namespace}" {what}'
    return f'ClusterRoleBinding "{binding.name}" {what}'


def _missing_role(binding: Binding) -> str:
    return f'{binding.role_kind.lower()}.{RBAC_GROUP} "{binding.role_name}" not found'


def resolve_aggregation(name: str, cluster_roles: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of ClusterRole `name`; for an aggregated role the union of those it selects, recursively."""
    found: dict[Rule, None] = {}
    _collect(name, cluster_roles, found, set())
    return tuple(found)


def _collect(
    name: str, cluster_roles: Mapping[str, Mapping[str, Any]], found: dict[Rule, None], seen: set[str]
) -> None:
    if name in seen:
        return
    seen.add(name)
    role = cluster_roles[name]
    aggregation = role.get("aggregationRule")
    if not aggregation:
        found.update(dict.fromkeys(rules_of(role)))
        return
    for other, candidate in sorted(cluster_roles.items()):
        labels = (candidate.get("metadata") or {}).get("labels") or {}
        if any(selects_role(selector, labels) for selector in aggregation.get("clusterRoleSelectors") or ()):
            _collect(other, cluster_roles, found, seen)


def selects_role(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether an aggregated role takes over the rules of a role; an invalid selector grants nothing."""
    try:
        return selects(selector, labels)
    except ValueError:
        return False


def _subjects(document: Mapping[str, Any], namespace: str) -> Iterable[Subject]:
    for subject in document.get("subjects") or ():
        kind, name = subject.get("kind", ""), subject.get("name", "")
        if kind in ("User", "Group"):
            yield kind, name
        elif kind == "ServiceAccount" and (home := subject.get("namespace") or namespace):
            yield "User", f"system:serviceaccount:{home}:{name}"


def _allows(rule: Rule, attributes: Attributes) -> bool:
    if not attributes.resource:
        return rule.allows_url(attributes.verb, attributes.path)
    return rule.allows_resource(
        attributes.verb, attributes.group, attributes.resource, attributes.subresource, attributes.name
    )


def _put(mapping: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
