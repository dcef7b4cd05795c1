"""Validation of ValidatingAdmissionPolicies and their bindings, with Kubernetes' causes. Pure.

Expressions are compiled, so what is stored can be evaluated; that a policy's parameters exist is not asked
here, because they may come later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgevirt.engine.apiserver.admission.configuration import condition_faults, rule_faults, selector_causes
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.names import label_key_faults, subdomain_faults
from edgevirt.engine.apiserver.schema import DUPLICATE, invalid, required, unsupported

Json = Mapping[str, Any]

REASONS = ("Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
_FAILURE_POLICIES = ("Fail", "Ignore")
_REINVOCATIONS = ("IfNeeded", "Never")
_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_MATCH_POLICIES = ("Equivalent", "Exact")
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)


def policy_faults(spec: Json) -> Iterator[Cause]:
    """Every fault of a validating policy's spec, defaults applied."""
    yield from _common_faults(spec)
    yield from _expression_faults(spec)


def mutating_policy_faults(spec: Json) -> Iterator[Cause]:
    """Every fault of a mutating policy's spec, defaults applied."""
    yield from _common_faults(spec)
    reinvocation = spec.get("reinvocationPolicy")
    if not reinvocation:
        yield required("spec.reinvocationPolicy")
    elif reinvocation not in _REINVOCATIONS:
        yield unsupported("spec.reinvocationPolicy", reinvocation, _REINVOCATIONS)
    yield from _mutation_faults(spec)


def _common_faults(spec: Json) -> Iterator[Cause]:
    policy = spec.get("failurePolicy")
    if not policy:
        yield required("spec.failurePolicy")
    elif policy not in _FAILURE_POLICIES:
        yield unsupported("spec.failurePolicy", policy, _FAILURE_POLICIES)
    kind = spec.get("paramKind")
    if kind is not None:
        yield from _param_kind_faults(kind)
    constraints = spec.get("matchConstraints")
    if constraints is None:
        yield required("spec.matchConstraints")
    else:
        yield from _match_faults(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")


def _param_kind_faults(kind: Json) -> Iterator[Cause]:
    version = kind.get("apiVersion") or ""
    if not version:
        yield required("spec.paramKind.apiVersion")
    elif version.count("/") > 1:
        yield invalid("spec.paramKind.apiVersion", version, f"unexpected GroupVersion string: {version}")
    if not kind.get("kind"):
        yield required("spec.paramKind.kind")


def _match_faults(resources: Json, path: str) -> Iterator[Cause]:
    policy = resources.get("matchPolicy")
    if policy is not None and policy not in _MATCH_POLICIES:
        yield unsupported(f"{path}.matchPolicy", policy, _MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        yield from selector_causes(resources.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(field) or ()):
            yield from rule_faults(rule, f"{path}.{field}[{index}]")


def _expression_faults(spec: Json) -> Iterator[Cause]:
    # Imported only where there are policies: most installations have none.
    from edgevirt.engine.apiserver.admission.policy_program import PolicyEnvironment

    environment = PolicyEnvironment(has_params=spec.get("paramKind") is not None)
    yield from _variable_faults(spec.get("variables") or (), environment)
    conditions = spec.get("matchConditions") or ()
    yield from condition_faults(conditions, "spec.matchConditions", environment.conditions)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        text = "validations or auditAnnotations must contain at least one entry"
        yield required("spec.validations", text)
        yield required("spec.auditAnnotations", text)
    for index, validation in enumerate(validations):
        yield from _validation_faults(validation, f"spec.validations[{index}]", environment)
    yield from _annotation_faults(annotations, environment)


def _mutation_faults(spec: Json) -> Iterator[Cause]:
    # Imported only where there are policies, as above.
    from edgevirt.engine.apiserver.admission.expressions import NotCompiled
    from edgevirt.engine.apiserver.admission.mutation_program import compile_mutation, mutation_environment

    environment = mutation_environment(spec.get("paramKind") is not None)
    yield from _variable_faults(spec.get("variables") or (), environment)
    conditions = spec.get("matchConditions") or ()
    yield from condition_faults(conditions, "spec.matchConditions", environment.conditions)
    mutations = spec.get("mutations") or ()
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        path, patch_type = f"spec.mutations[{index}]", mutation.get("patchType") or ""
        if not patch_type:
            yield required(f"{path}.patchType")
            continue
        if patch_type not in _PATCHES:
            yield unsupported(f"{path}.patchType", patch_type, tuple(_PATCHES))
            continue
        for kind, field in _PATCHES.items():
            given = mutation.get(field)
            if kind != patch_type and given is not None:
                text = f"Forbidden: must not be specified when patchType is {patch_type}"
                yield Cause("FieldValueForbidden", text, f"{path}.{field}")
        field = _PATCHES[patch_type]
        expression = (mutation.get(field) or {}).get("expression") or ""
        if mutation.get(field) is None:
            yield required(f"{path}.{field}", f"must be specified when patchType is {patch_type}")
        elif not expression.strip():
            yield required(f"{path}.{field}.expression", "expression is not specified")
        else:
            try:
                compile_mutation(environment, patch_type, expression)
            except NotCompiled as error:
                yield invalid(f"{path}.{field}.expression", expression, str(error))


def _variable_faults(variables: Sequence[Json], environment: Any) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        path = f"spec.variables[{index}]"
        name, expression = variable.get("name") or "", variable.get("expression") or ""
        if not name:
            yield required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name):
            yield invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        elif name in seen:
            yield Cause(DUPLICATE, f'Duplicate value: "{name}"', f"{path}.name")
        seen.add(name)
        if not expression.strip():
            yield required(f"{path}.expression", "expression is not specified")
            continue
        problem = environment.declare(name, expression)
        if problem:
            yield invalid(f"{path}.expression", expression, problem)


def _validation_faults(validation: Json, path: str, environment: Any) -> Iterator[Cause]:
    expression, message = validation.get("expression") or "", validation.get("message")
    text = validation.get("messageExpression")
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        problem = environment.problem(expression, "bool")
        if problem:
            yield invalid(f"{path}.expression", expression, problem)
    if text and not text.strip():
        yield invalid(f"{path}.messageExpression", text, "must be non-empty if specified")
    elif text:
        problem = environment.problem(text, "string", with_authorizer=False)
        if problem:
            yield invalid(f"{path}.messageExpression", text, problem)
    if message and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif message and "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in expression.strip() and not message:
        yield required(f"{path}.message", "message must be specified if expression contains line breaks")
    reason = validation.get("reason")
    if reason and reason not in REASONS:
        yield unsupported(f"{path}.reason", reason, REASONS)


def _annotation_faults(annotations: Sequence[Json], environment: Any) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path = f"spec.auditAnnotations[{index}]"
        key, expression = annotation.get("key") or "", annotation.get("valueExpression") or ""
        if not key:
            yield required(f"{path}.key")
        elif "/" in key or label_key_faults(key):
            yield invalid(f"{path}.key", key, "must be a qualified name without prefix")
        elif key in seen:
            yield Cause(DUPLICATE, f'Duplicate value: "{key}"', f"{path}.key")
        seen.add(key)
        if not expression.strip():
            yield required(f"{path}.valueExpression", "valueExpression is not specified")
            continue
        problem = environment.problem(expression, "string", "null")
        if problem:
            yield invalid(f"{path}.valueExpression", expression, problem)


def binding_faults(spec: Json) -> Iterator[Cause]:
    """Every fault of a validating binding's spec, defaults applied."""
    yield from mutating_binding_faults(spec)
    yield from _action_faults(spec.get("validationActions") or [])


def mutating_binding_faults(spec: Json) -> Iterator[Cause]:
    """Every fault of a mutating binding's spec, defaults applied."""
    name = spec.get("policyName") or ""
    if not name:
        yield required("spec.policyName")
    else:
        for fault in subdomain_faults(name):
            yield invalid("spec.policyName", name, fault)
    if spec.get("paramRef") is not None:
        yield from _param_faults(spec["paramRef"])
    if spec.get("matchResources") is not None:
        yield from _match_faults(spec["matchResources"], "spec.matchResources")


def _param_faults(reference: Json) -> Iterator[Cause]:
    path = "spec.paramRef"
    name, selector = reference.get("name") or "", reference.get("selector")
    if name and selector is not None:
        text = "name and selector are mutually exclusive"
        yield Cause("FieldValueForbidden", f"Forbidden: {text}", f"{path}.name")
        yield Cause("FieldValueForbidden", f"Forbidden: {text}", f"{path}.selector")
    elif not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    if selector is not None:
        yield from selector_causes(selector, f"{path}.selector")
    action = reference.get("parameterNotFoundAction")
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in ("Deny", "Allow"):
        yield unsupported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _action_faults(actions: list[str]) -> Iterator[Cause]:
    path = "spec.validationActions"
    if not actions:
        yield required(path, "at least one validation action is required")
    seen: set[str] = set()
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            yield unsupported(f"{path}[{index}]", action, ACTIONS)
        elif action in seen:
            yield Cause(DUPLICATE, f'Duplicate value: "{action}"', f"{path}[{index}]")
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the "
            "API response and headers serves no purpose)"
        )
        yield invalid(path, actions, text)
