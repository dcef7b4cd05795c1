"""ValidatingAdmissionPolicy: policies in CEL that judge writes.

What a failure leads to is said by the binding: Deny, Warn, Audit. Everything is answered from memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.admission.matching import target_of
from edgevirt.engine.apiserver.admission.policy_table import (
    GROUP,
    NO_PARAMS,
    Binding,
    NotConfigured,
    Policy,
    PolicyTable,
    Write,
)
from edgevirt.engine.apiserver.errors import Cause, StatusError
from edgevirt.engine.apiserver.request import AdmissionAttributes

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.admission.policy_program import Outcome, PolicyProgram

__all__ = ["AUDIT_FAILURE", "GROUP", "Policies"]

Json = dict[str, Any]
AUDIT_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


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


class Policies(PolicyTable):
    """All validating policies and their bindings."""

    policies: ClassVar[str] = "validatingadmissionpolicies"
    bindings: ClassVar[str] = "validatingadmissionpolicybindings"

    @staticmethod
    def compile_spec(spec: Mapping[str, Any]) -> PolicyProgram:
        from edgevirt.engine.apiserver.admission.policy_program import PolicyProgram

        return PolicyProgram(spec)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Judges one write; adds warnings and audit annotations. Raises StatusError for the first denial."""
        target = target_of(attributes)
        if not self.concerns(target):
            return
        write = self.write(attributes)
        findings: list[_Finding] = []
        for policy, binding in self.pairs():
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

    async def _judge(self, policy: Policy, binding: Binding, write: Write) -> list[_Finding]:
        version = self.matching_version(policy, binding, write)
        if not version:
            return []
        values = await write.values(version)
        try:
            outcomes = list(self._outcomes(policy, binding, write, values))
        except (NotConfigured, ConditionError) as error:
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

    def _outcomes(self, policy: Policy, binding: Binding, write: Write, values: Json) -> Iterator[Outcome]:
        if policy.program is None:
            raise NotConfigured(f"failed to configure policy: {policy.broken}")
        for params in self.params(policy, binding, write):
            scope = values if params is NO_PARAMS else {**values, "params": params}
            if policy.program.conditions.hold_for(scope):
                yield policy.program.evaluate(scope, policy.fail_closed)

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
