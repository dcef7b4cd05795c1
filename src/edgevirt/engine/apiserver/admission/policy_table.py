"""Policies and their bindings: which of them judge or change a write, and with which parameters.

A policy says which writes it can handle, with which expressions; a binding says where it applies and with
which parameters. What is shared by validating and mutating policies is here; `compile_spec` makes the program
of one kind. Policies cannot handle policies, so that a bad one stays repairable.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission import review
from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.admission.matching import NEVER, MatchRule, Target, selected_by, target_of
from edgevirt.engine.apiserver.conversion import in_version
from edgevirt.engine.apiserver.extension import Authorizer, ObjectReader
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import AdmissionAttributes

Json = dict[str, Any]
GROUP = "admissionregistration.k8s.io"


class NotConfigured(Exception):
    """A policy or binding that cannot be applied; `str()` says why."""


NO_PARAMS = object()
"""The policy takes no parameters: `params` is not even declared."""


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """matchConstraints of a policy or matchResources of a binding, compiled."""

    rules: tuple[MatchRule, ...]
    excluded: tuple[MatchRule, ...]
    exact: bool
    namespace_selector: Mapping[str, Any]
    object_selector: Mapping[str, Any]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Matcher:
        return cls(
            tuple(MatchRule.from_dict(rule) for rule in document.get("resourceRules") or ()),
            tuple(MatchRule.from_dict(rule) for rule in document.get("excludeResourceRules") or ()),
            document.get("matchPolicy") == "Exact",
            document.get("namespaceSelector") or {},
            document.get("objectSelector") or {},
        )

    def version(self, target: Target, name: str, versions: Sequence[str]) -> str:
        """The version in which the write is seen, or "". No rules mean everything."""
        candidates: list[str] = [
            target.version,
            *(() if self.exact else (v for v in versions if v != target.version)),
        ]
        if any(rule.matches(target._replace(version=v), name) for rule in self.excluded for v in candidates):
            return ""
        if not self.rules:
            return target.version
        for version in candidates:
            if any(rule.matches(target._replace(version=version), name) for rule in self.rules):
                return version
        return ""

    def concerns(self, target: Target, versions: Sequence[str]) -> bool:
        """Whether some object of the resource may match."""
        candidates = [target.version, *versions]
        return not self.rules or any(
            rule.matches(target._replace(version=version), None)
            for rule in self.rules
            for version in candidates
        )


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """`program` is None for one that does not compile; `broken` says why."""

    name: str
    spec: Mapping[str, Any]
    matcher: Matcher
    fail_closed: bool
    program: Any
    broken: str


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    name: str
    policy: str
    matcher: Matcher
    param: Mapping[str, Any] | None
    actions: frozenset[str]


class PolicyTable(abc.ABC):
    """All policies and bindings of one kind, following the store.

    `versions` lists the served versions of a resource, `kinds` finds one by version and kind.
    """

    policies: ClassVar[str]
    bindings: ClassVar[str]

    def __init__(
        self,
        reader: ObjectReader,
        authorizer: Authorizer,
        versions: Callable[[str, str], Sequence[str]],
        kinds: Callable[[str, str], ServedResource | None],
    ) -> None:
        self.reader = reader
        self.authorizer = authorizer
        self._versions = versions
        self._kinds = kinds
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Binding] = {}
        self._concerned: dict[Target, bool] = {}

    @staticmethod
    @abc.abstractmethod
    def compile_spec(spec: Mapping[str, Any]) -> Any:
        """The program of a policy. Raises NotCompiled or ConditionError."""

    def observe(self) -> None:
        """Follows policies and bindings from now on."""
        self.reader.observe(GROUP, self.policies, self._take_policy)
        self.reader.observe(GROUP, self.bindings, self._take_binding)

    def write(self, attributes: AdmissionAttributes) -> Write:
        return Write(attributes, self.reader, self.authorizer)

    def _take_policy(self, event: str, document: Mapping[str, Any]) -> None:
        name = document["metadata"]["name"]
        known = self._policies.pop(name, None)
        self.forget()
        if event == "DELETED":
            return
        spec = document.get("spec") or {}
        self._policies[name] = (
            known if known is not None and known.spec == spec else self._compile(name, spec)
        )

    def _take_binding(self, event: str, document: Mapping[str, Any]) -> None:
        name, spec = document["metadata"]["name"], document.get("spec") or {}
        self._bindings.pop(name, None)
        self.forget()
        if event != "DELETED":
            self._bindings[name] = Binding(
                name,
                spec.get("policyName") or "",
                Matcher.from_dict(spec.get("matchResources") or {}),
                spec.get("paramRef"),
                frozenset(spec.get("validationActions") or ()),
            )

    def concerns(self, target: Target) -> bool:
        """Whether a bound policy may judge such a write."""
        if not self._bindings or (target.group, target.plural) in NEVER:
            return False
        known = self._concerned.get(target)
        if known is None:
            versions = self._versions(target.group, target.plural)
            known = self._concerned[target] = any(
                policy.matcher.concerns(target, versions) and binding.matcher.concerns(target, versions)
                for policy, binding in self.pairs()
            )
        return known

    def forget(self) -> None:
        """Works out anew what is concerned: policies, bindings or served resources have changed."""
        self._concerned.clear()

    def pairs(self) -> Iterator[tuple[Policy, Binding]]:
        for _, policy in sorted(self._policies.items()):
            for _, binding in sorted(self._bindings.items()):
                if binding.policy == policy.name:
                    yield policy, binding

    def _compile(self, name: str, spec: Mapping[str, Any]) -> Policy:
        # Imported only where there are policies: most installations have none.
        from edgevirt.engine.apiserver.admission.expressions import NotCompiled

        program, broken = None, ""
        try:
            program = self.compile_spec(spec)
        except (NotCompiled, ConditionError) as error:
            broken = str(error)
        matcher = Matcher.from_dict(spec.get("matchConstraints") or {})
        return Policy(name, spec, matcher, spec.get("failurePolicy") != "Ignore", program, broken)

    def matching_version(self, policy: Policy, binding: Binding, write: Write) -> str:
        """The version in which the policy sees a write, or "" if it does not."""
        target = write.target
        versions = self._versions(target.group, target.plural)
        name = write.attributes.name
        version = policy.matcher.version(target, name, versions)
        if not version or not binding.matcher.version(target, name, versions):
            return ""
        for matcher in (policy.matcher, binding.matcher):
            if not selected_by(
                matcher.namespace_selector, matcher.object_selector, write.namespace_labels, write.states
            ):
                return ""
        return version

    def params(self, policy: Policy, binding: Binding, write: Write) -> Sequence[Any]:
        """The parameters of a binding, NO_PARAMS if the policy takes none. Raises NotConfigured."""
        kind = policy.spec.get("paramKind")
        if kind is None:
            return (NO_PARAMS,)
        if binding.param is None:
            return (None,)
        resource = self._kinds(kind["apiVersion"], kind["kind"])
        if resource is None:
            described = f"{kind['apiVersion']}, Kind={kind['kind']}"
            raise NotConfigured(
                f"failed to configure policy: failed to find resource referenced by paramKind: '{described}'"
            )
        found = self._find_params(resource, binding.param, write)
        if found or binding.param.get("parameterNotFoundAction") == "Allow":
            return found
        raise NotConfigured(
            "failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )

    def _find_params(
        self, resource: ServedResource, reference: Mapping[str, Any], write: Write
    ) -> list[Json]:
        namespace = ""
        if resource.namespaced:
            namespace = reference.get("namespace") or write.attributes.namespace
            if not namespace:
                raise NotConfigured(
                    "failed to configure binding: cannot use namespaced paramRef in policy binding that "
                    "matches cluster-scoped resources"
                )
        elif reference.get("namespace"):
            raise NotConfigured(
                "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
                "`paramKind`"
            )
        if reference.get("name"):
            found = self.reader.get(resource.group, resource.plural, namespace, reference["name"])
            documents = [] if found is None else [found]
        else:
            documents = [
                document
                for document in self.reader.list(resource.group, resource.plural, namespace)
                if selects(reference.get("selector"), document["metadata"].get("labels") or {})
            ]
        shown = (review.in_version(document, resource.group, resource.version) for document in documents)
        return [document for document in shown if document is not None]


class Write:
    """One write, with what several policies ask about it worked out once."""

    def __init__(self, attributes: AdmissionAttributes, reader: ObjectReader, authorizer: Authorizer) -> None:
        self.attributes = attributes
        self.target = target_of(attributes)
        self.states = (attributes.object, attributes.old_object)
        self.authorizer = authorizer
        self._namespace = _namespace_of(attributes, reader)
        self._values: dict[str, Json] = {}

    @property
    def namespace_labels(self) -> Mapping[str, str] | None:
        if self._namespace is None:
            return None
        labels: Mapping[str, str] = (self._namespace.get("metadata") or {}).get("labels") or {}
        return labels

    async def values(self, version: str) -> Json:
        """The variables of expressions that see the object in `version`."""
        known = self._values.get(version)
        if known is not None:
            return known
        from edgevirt.engine.apiserver.admission.expressions import variables

        attributes = self.attributes
        document = await in_version(attributes.resource, attributes.object, version)
        old = await in_version(attributes.resource, attributes.old_object, version)
        request = review.request_document(attributes, "", version, document, old)
        values = variables(attributes, request, self.authorizer, document, old)
        cluster_wide = (
            attributes.resource.group_resource == "namespaces" or not attributes.resource.namespaced
        )
        values["namespaceObject"] = None if cluster_wide else self._namespace
        self._values[version] = values
        return values


def _namespace_of(attributes: AdmissionAttributes, reader: ObjectReader) -> Json | None:
    """The object's namespace; the object itself if it is one; None for other cluster-wide objects."""
    resource = attributes.resource
    if resource.group_resource == "namespaces":
        return (attributes.object if not attributes.subresource else None) or attributes.old_object
    if not resource.namespaced:
        return None
    found = reader.get("", "namespaces", "", attributes.namespace)
    if found is None:
        raise errors.not_found("namespaces", attributes.namespace)
    return found
