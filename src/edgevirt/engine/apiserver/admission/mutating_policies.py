"""MutatingAdmissionPolicy: policies in CEL that change what is written, in process.

Policies are run one after the other, in the order of their names, each on what those before have made. Those
that ask for it (reinvocationPolicy IfNeeded) run once more if the object was changed after them, by another
policy or by a webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from edgevirt.engine.apiserver.admission.failures import ConditionError
from edgevirt.engine.apiserver.admission.matching import target_of
from edgevirt.engine.apiserver.admission.policy_table import (
    NO_PARAMS,
    Binding,
    NotConfigured,
    Policy,
    PolicyTable,
)
from edgevirt.engine.apiserver.conversion import in_version
from edgevirt.engine.apiserver.errors import Details, StatusError
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.apiserver.schema import OPEN_MAP

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.admission.mutation_program import MutationProgram

Json = dict[str, Any]
_Pair = tuple[Policy, Binding]


class MutatingPolicies(PolicyTable):
    """All mutating policies and their bindings."""

    policies: ClassVar[str] = "mutatingadmissionpolicies"
    bindings: ClassVar[str] = "mutatingadmissionpolicybindings"

    @staticmethod
    def compile_spec(spec: Mapping[str, Any]) -> MutationProgram:
        from edgevirt.engine.apiserver.admission.mutation_program import MutationProgram

        return MutationProgram(spec)

    async def mutate(self, attributes: AdmissionAttributes, again: bool = False) -> bool:
        """Lets policies change `attributes.object`; tells whether any did. Raises StatusError.

        `again` says that something else changed the object since: only who asked for that is run.
        """
        if attributes.object is None or not self.concerns(target_of(attributes)):
            return False
        pairs = [pair for pair in self.pairs() if not again or _reinvoked(pair)]
        changed_at_all = False
        seen: list[_Pair] = []
        repeated: dict[_Pair, None] = {}
        for pair in pairs:
            if await self._run(*pair, attributes):
                changed_at_all = True
                repeated.update(dict.fromkeys(seen))
            if _reinvoked(pair):
                seen.append(pair)
        for pair in repeated if not again else ():
            await self._run(*pair, attributes)
        return changed_at_all

    async def _run(self, policy: Policy, binding: Binding, attributes: AdmissionAttributes) -> bool:
        """Runs one policy as one binding wants it; tells whether the object changed."""
        write = self.write(attributes)
        version = self.matching_version(policy, binding, write)
        if not version:
            return False
        before = attributes.object
        from edgevirt.engine.apiserver.admission.mutation_program import NotMutated

        try:
            if policy.program is None:
                raise NotConfigured(f"failed to configure policy: {policy.broken}")
            for params in self.params(policy, binding, write):
                await self._apply(policy.program, params, version, attributes)
        except (NotConfigured, ConditionError, NotMutated) as error:
            attributes.object = before
            if policy.fail_closed:
                raise _refusal(policy, binding, attributes, str(error)) from error
            return False
        return attributes.object != before

    async def _apply(
        self, program: MutationProgram, params: Any, version: str, attributes: AdmissionAttributes
    ) -> None:
        resource = attributes.resource
        budget = program.budget()
        for number, mutation in enumerate(program.mutations):
            values = await self.write(attributes).values(version)
            given = values if params is NO_PARAMS else {**values, "params": params}
            if number == 0 and not program.conditions.hold_for(given):
                return
            shown: Json = values["object"]
            whole = shown.get("kind") == resource.kind
            node = resource.schema.merge_node() if whole else OPEN_MAP
            changed = mutation.apply(shown, node, program.scope(given, budget), budget)
            if changed is shown:
                continue
            if _identity(changed) != _identity(shown):
                from edgevirt.engine.apiserver.admission.mutation_program import NotMutated

                raise NotMutated("apiVersion, kind, name and namespace of the object may not be changed")
            attributes.object = await in_version(resource, changed, resource.version) if whole else changed


def _reinvoked(pair: _Pair) -> bool:
    return pair[0].spec.get("reinvocationPolicy") == "IfNeeded"


def _identity(document: Json) -> tuple[object, ...]:
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return (
        document.get("apiVersion"),
        document.get("kind"),
        metadata.get("name"),
        metadata.get("generateName"),
        metadata.get("namespace"),
    )


def _refusal(policy: Policy, binding: Binding, attributes: AdmissionAttributes, why: str) -> StatusError:
    resource = attributes.resource
    details = Details(group=resource.group, kind=resource.plural, name=attributes.name)
    text = f"policy '{policy.name}' with binding '{binding.name}' denied request: {why}"
    return StatusError(422, "Invalid", text, details)
