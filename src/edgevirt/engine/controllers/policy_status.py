"""Tells in a ValidatingAdmissionPolicy's status which of its expressions do not fit the kinds they will see.

Admission takes objects as they come, because one policy may judge many kinds; whether `object.spec.replicas`
exists is known only for the kinds the policy names. Those are looked up in the published schemas, the
expressions are checked against each, and what does not fit becomes a warning, as in Kubernetes. Rules with
wildcards name no kinds and are passed over, and so are all kinds beyond the tenth.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgevirt.api.admissionregistration import (
    ExpressionWarning,
    TypeChecking,
    ValidatingAdmissionPolicySpec,
    ValidatingAdmissionPolicyStatus,
)
from edgevirt.api.resources import VALIDATING_ADMISSION_POLICIES
from edgevirt.engine.controllers.surroundings import Desk, Shared
from edgevirt.kube import errors
from edgevirt.kube.controller import Result
from edgevirt.kube.objects import split_key

NAME = "validatingadmissionpolicy-status-controller"
_MOST_KINDS = 10

Json = dict[str, Any]


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{f'{self.group}/' if self.group else ''}{self.version}, Kind={self.kind}"


class Published(NamedTuple):
    """One group version as the server describes it: its resources and its schemas."""

    kinds: dict[str, str]
    """Resource -> kind."""
    document: Json


def named(spec: ValidatingAdmissionPolicySpec) -> list[tuple[str, str, str]]:
    """The (group, version, resource)s the rules name without wildcards."""
    rules = spec.match_constraints.resource_rules if spec.match_constraints else ()
    found: dict[tuple[str, str, str], None] = {}
    for rule in rules:
        if "*" in (*rule.api_groups, *rule.api_versions) or any("*" in name for name in rule.resources):
            continue
        found.update(
            dict.fromkeys(
                (group, version, resource)
                for group in rule.api_groups
                for version in rule.api_versions
                for resource in rule.resources
                if "/" not in resource
            )
        )
    return list(found)


def check(
    spec: ValidatingAdmissionPolicySpec, kinds: Sequence[tuple[Kind, Json]], params: tuple[Kind, Json] | None
) -> tuple[ExpressionWarning, ...]:
    """What does not fit, by expression. `kinds` come with the OpenAPI document that describes them."""
    # Imported here: only who has policies pays for the compiler.
    from edgevirt.engine.apiserver.admission.policy_program import PolicyEnvironment
    from edgevirt.engine.cel.openapi import type_of_kind
    from edgevirt.engine.cel.types import DYN

    described = type_of_kind(params[1], *params[0]) if params is not None else None
    problems: dict[str, list[str]] = {}
    for kind, document in kinds:
        found = type_of_kind(document, *kind)
        if found is None:
            continue
        environment = PolicyEnvironment(spec.param_kind is not None, found, described or DYN)
        for variable in spec.variables:
            environment.declare(variable.name, variable.expression)
        for index, validation in enumerate(spec.validations):
            place = f"spec.validations[{index}]"
            for field, text, wanted in (
                ("expression", validation.expression, "bool"),
                ("messageExpression", validation.message_expression, "string"),
            ):
                problem = environment.problem(text, wanted) if text else ""
                if problem:
                    told = problem.removeprefix("compilation failed: ")
                    problems.setdefault(f"{place}.{field}", []).append(f"{kind}: {told}")
    return tuple(ExpressionWarning(field_ref=ref, warning="\n".join(told)) for ref, told in problems.items())


class PolicyStatusController:
    def __init__(self, shared: Shared) -> None:
        self._desk = Desk(shared, NAME, self._reconcile, workers=1)
        self._policies = self._desk.informer(VALIDATING_ADMISSION_POLICIES)
        self._desk.follow(self._policies)

    async def run(self, started: asyncio.Event) -> None:
        """Work until cancelled."""
        await self._desk.run(started)

    async def _reconcile(self, key: str) -> Result | None:
        policy = self._policies.get(split_key(key)[1])
        if policy is None or policy.spec is None or policy.metadata.deletion_timestamp:
            return None
        status = policy.status or ValidatingAdmissionPolicyStatus()
        generation = policy.metadata.generation
        if status.observed_generation == generation:
            return None
        warnings = check(policy.spec, await self._kinds(policy.spec), await self._params(policy.spec))
        new = ValidatingAdmissionPolicyStatus(
            conditions=status.conditions,
            observed_generation=generation,
            type_checking=TypeChecking(expression_warnings=warnings),
        )
        await self._desk.write_status(
            VALIDATING_ADMISSION_POLICIES, self._policies, policy, policy.status, new
        )
        return None

    async def _kinds(self, spec: ValidatingAdmissionPolicySpec) -> list[tuple[Kind, Json]]:
        published: dict[tuple[str, str], Published | None] = {}
        found: list[tuple[Kind, Json]] = []
        for group, version, resource in named(spec):
            if (group, version) not in published:
                published[(group, version)] = await self._published(group, version)
            described = published[(group, version)]
            if described is not None and resource in described.kinds and len(found) < _MOST_KINDS:
                found.append((Kind(group, version, described.kinds[resource]), described.document))
        return found

    async def _params(self, spec: ValidatingAdmissionPolicySpec) -> tuple[Kind, Json] | None:
        if spec.param_kind is None:
            return None
        group, _, version = spec.param_kind.api_version.rpartition("/")
        described = await self._published(group, version)
        return None if described is None else (Kind(group, version, spec.param_kind.kind), described.document)

    async def _published(self, group: str, version: str) -> Published | None:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            listed = json.loads(await self._desk.client.request("GET", path))
            document = json.loads(await self._desk.client.request("GET", f"/openapi/v3{path}"))
        except errors.NotFound:
            return None
        return Published({one["name"]: one["kind"] for one in listed.get("resources") or ()}, document)
