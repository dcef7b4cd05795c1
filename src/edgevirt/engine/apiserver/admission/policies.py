"""ValidatingAdmissionPolicy: policies in CEL, bound to what they are to judge.

A policy says which writes it can judge, with which expressions; a binding says where it applies, with which
parameters, and what a failure leads to (Deny, Warn, Audit). Everything is answered from memory. Policies
cannot judge policies, so that a bad one stays repairable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission import review
from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.admission.matching import NEVER, MatchRule, Target, selected_by, target_of
from edgevirt.engine.apiserver.auth.labels import selects
from edgevirt.engine.apiserver.conversion import in_version
from edgevirt.engine.apiserver.errors import Cause, StatusError
from edgevirt.engine.apiserver.extension import Authorizer, ObjectReader
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import AdmissionAttributes

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.admission.policy_program import PolicyProgram

Json = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
AUDIT_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


class _NotConfigured(Exception):
    """A policy or binding that cannot be applied; `str()` says why."""


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
    name: str
    spec: Mapping[str, Any]
    matcher: Matcher
    fail_closed: bool
    program: PolicyProgram | None
    broken: str


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    name: str
    policy: str
    matcher: Matcher
    param: Mapping[str, Any] | None
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Finding:
    policy: str
    binding: str
    message: str
    reason: str
    actions: frozenset[str]

    def denial(self) -> str:
        within = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{within} denied request: {self.message}"

    def warning(self) -> str:
        return (
            f"Validation failed for ValidatingAdmissionPolicy '{self.policy}' with binding '{self.binding}': "
            f"{self.message}"
        )


class Policies:
    """All policies and bindings, following the store. `kinds` finds a served resource by version and kind."""

    def __init__(
        self,
        reader: ObjectReader,
        authorizer: Authorizer,
        versions: Callable[[str, str], Sequence[str]],
        kinds: Callable[[str, str], ServedResource | None],
    ) -> None:
        self._reader = reader
        self._authorizer = authorizer
        self._versions = versions
        self._kinds = kinds
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Binding] = {}
        self._concerned: dict[Target, bool] = {}

    def observe(self) -> None:
        """Follows policies and bindings from now on."""
        self._reader.observe(GROUP, "validatingadmissionpolicies", self._take_policy)
        self._reader.observe(GROUP, "validatingadmissionpolicybindings", self._take_binding)

    def _take_policy(self, event: str, document: Mapping[str, Any]) -> None:
        name = document["metadata"]["name"]
        known = self._policies.pop(name, None)
        self.forget()
        if event == "DELETED":
            return
        spec = document.get("spec") or {}
        self._policies[name] = known if known is not None and known.spec == spec else _compile(name, spec)

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
                for policy, binding in self._pairs()
            )
        return known

    def forget(self) -> None:
        """Works out anew what is concerned: policies, bindings or served resources have changed."""
        self._concerned.clear()

    def _pairs(self) -> Iterator[tuple[Policy, Binding]]:
        for _, policy in sorted(self._policies.items()):
            for _, binding in sorted(self._bindings.items()):
                if binding.policy == policy.name:
                    yield policy, binding

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Judges one write; adds warnings and audit annotations. Raises StatusError for the first denial."""
        target = target_of(attributes)
        if not self.concerns(target):
            return
        write = _Write(attributes, self._reader, self._authorizer)
        findings: list[_Finding] = []
        for policy, binding in self._pairs():
            findings += await self._judge(policy, binding, write)
        denied: list[_Finding] = []
        for finding in findings:
            if "Deny" in finding.actions:
                denied.append(finding)
            if "Warn" in finding.actions:
                attributes.warnings.append(finding.warning())
        self._record(attributes, [finding for finding in findings if "Audit" in finding.actions])
        if denied:
            raise _refusal(attributes, denied[0])

    async def _judge(self, policy: Policy, binding: Binding, write: _Write) -> list[_Finding]:
        version = self._matching_version(policy, binding, write)
        if not version:
            return []
        values = await write.values(version)
        try:
            outcomes = list(self._outcomes(policy, binding, write, values))
        except (_NotConfigured, ConditionError) as error:
            denied = _Finding(policy.name, binding.name, str(error), "", frozenset({"Deny"}))
            return [denied] if policy.fail_closed else []
        found: list[_Finding] = []
        for outcome in outcomes:
            for key, value in outcome.annotations.items():
                write.attributes.audit_annotations[f"{policy.name}/{key}"] = value
            for failure in outcome.failures:
                message, reason = failure.message, failure.reason
                found.append(_Finding(policy.name, binding.name, message, reason, binding.actions))
        return found

    def _matching_version(self, policy: Policy, binding: Binding, write: _Write) -> str:
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

    def _outcomes(self, policy: Policy, binding: Binding, write: _Write, values: Json) -> Iterator[Any]:
        if policy.program is None:
            raise _NotConfigured(f"failed to configure policy: {policy.broken}")
        for params in self._params(policy, binding, write):
            scope = values if params is _NO_PARAMS else {**values, "params": params}
            if policy.program.conditions.hold_for(scope):
                yield policy.program.evaluate(scope, policy.fail_closed)

    def _params(self, policy: Policy, binding: Binding, write: _Write) -> Sequence[Any]:
        kind = policy.spec.get("paramKind")
        if kind is None:
            return (_NO_PARAMS,)
        if binding.param is None:
            return (None,)
        resource = self._kinds(kind["apiVersion"], kind["kind"])
        if resource is None:
            described = f"{kind['apiVersion']}, Kind={kind['kind']}"
            raise _NotConfigured(
                f"failed to configure policy: failed to find resource referenced by paramKind: '{described}'"
            )
        found = self._find_params(resource, binding.param, write)
        if found or binding.param.get("parameterNotFoundAction") == "Allow":
            return found
        raise _NotConfigured(
            "failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )

    def _find_params(
        self, resource: ServedResource, reference: Mapping[str, Any], write: _Write
    ) -> list[Json]:
        namespace = ""
        if resource.namespaced:
            namespace = reference.get("namespace") or write.attributes.namespace
            if not namespace:
                raise _NotConfigured(
                    "failed to configure binding: cannot use namespaced paramRef in policy binding that "
                    "matches cluster-scoped resources"
                )
        elif reference.get("namespace"):
            raise _NotConfigured(
                "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
                "`paramKind`"
            )
        if reference.get("name"):
            found = self._reader.get(resource.group, resource.plural, namespace, reference["name"])
            documents = [] if found is None else [found]
        else:
            documents = [
                document
                for document in self._reader.list(resource.group, resource.plural, namespace)
                if selects(reference.get("selector"), document["metadata"].get("labels") or {})
            ]
        shown = (review.in_version(document, resource.group, resource.version) for document in documents)
        return [document for document in shown if document is not None]

    @staticmethod
    def _record(attributes: AdmissionAttributes, findings: Sequence[_Finding]) -> None:
        if not findings:
            return
        listed = [
            {
                "message": finding.message,
                "policy": finding.policy,
                "binding": finding.binding,
                "validationActions": sorted(finding.actions),
            }
            for finding in findings
        ]
        attributes.audit_annotations[AUDIT_FAILURE] = msgspec.json.encode(listed).decode()


_NO_PARAMS = object()
"""The policy takes no parameters: `params` is not even declared."""


def _compile(name: str, spec: Mapping[str, Any]) -> Policy:
    # Imported only where there are policies: most installations have none.
    from edgevirt.engine.apiserver.admission.expressions import NotCompiled
    from edgevirt.engine.apiserver.admission.policy_program import PolicyProgram

    program, broken = None, ""
    try:
        program = PolicyProgram(spec)
    except (NotCompiled, ConditionError) as error:
        broken = str(error)
    return Policy(
        name,
        spec,
        Matcher.from_dict(spec.get("matchConstraints") or {}),
        spec.get("failurePolicy") != "Ignore",
        program,
        broken,
    )


class _Write:
    """One write, with what several policies ask about it worked out once."""

    def __init__(self, attributes: AdmissionAttributes, reader: ObjectReader, authorizer: Authorizer) -> None:
        self.attributes = attributes
        self.target = target_of(attributes)
        self.states = (attributes.object, attributes.old_object)
        self._authorizer = authorizer
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
        values = variables(attributes, request, self._authorizer, document, old)
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


def _refusal(attributes: AdmissionAttributes, finding: _Finding) -> StatusError:
    resource = attributes.resource
    message = finding.denial()
    error = errors.forbidden(resource.group_resource, attributes.name, message)
    reason = finding.reason or "Invalid"
    details = error.details or errors.Details()
    causes = (*details.causes, Cause("", message))
    return StatusError(
        _CODES.get(reason, 422),
        reason,
        error.message,
        errors.Details(details.group, details.kind, details.name, details.uid, causes),
    )
