"""Which CEL rules a CustomResourceDefinition may carry.

A rule must compile against the type its schema gives it, must be a boolean, and must not be able to cost more
than a request may: its highest cost, times the number of values it is run on, is compared with Kubernetes'
limits. Causes are Kubernetes' own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import FORBIDDEN, Json, cel_types, child, invalid, required, unsupported
from edgevirt.engine.apiserver.schema.cel import compile_rule, environments, gives
from edgevirt.engine.cel import CompileError, Environment, Program, Type
from edgevirt.engine.cel.types import BOOL, STRING, UNBOUNDED

RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_NOT_TEXT = "messageExpression must evaluate to a string"
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['((?:[^'\\]|\\.)*)'\]")


@dataclass(slots=True)
class _Costs:
    """What all rules of a schema cost together, and which of them cost most."""

    total: int = 0
    dear: list[tuple[int, str]] = field(default_factory=list)


def check_rules(schema: Json, path: str) -> list[Cause]:
    """Every reason why the rules of a structural schema are refused; `path` is where it stands."""
    causes: list[Cause] = []
    costs = _Costs()
    _check(schema, path, cel_types.root_type(schema), 1, "", costs, causes)
    if costs.total > SCHEMA_LIMIT:
        for _, place in sorted(costs.dear, reverse=True)[:4]:
            text = (
                "contributed to estimated rule & messageExpression cost total exceeding cost limit for "
                "entire OpenAPIv3 schema"
            )
            causes.append(Cause(FORBIDDEN, f"Forbidden: {text}", place))
        name = (
            "x-kubernetes-validations estimated rule & messageExpression cost total for entire "
            "OpenAPIv3 schema"
        )
        causes.append(_too_dear(name, costs.total, SCHEMA_LIMIT, path))
    return causes


def _check(
    schema: Json,
    path: str,
    kind: Type | None,
    count: int | None,
    uncorrelated: str,
    costs: _Costs,
    causes: list[Cause],
) -> None:
    """`count` is how often the value may occur (None: only the request's size limits it)."""
    rules = schema.get("x-kubernetes-validations") or ()
    if rules and kind is not None:
        times = cel_types.fitting(kind) if count is None else count
        within = environments(kind)
        for index, rule in enumerate(rules):
            place = f"{path}.x-kubernetes-validations[{index}]"
            _check_form(rule, schema, place, causes)
            if (rule.get("rule") or "").strip():
                _check_rule(rule, place, within, times, uncorrelated, costs, causes)
    further = cel_types.cardinality(schema)
    below_count = None if count is None or further is None else min(count * further, UNBOUNDED)
    atomic_map = schema.get("x-kubernetes-map-type") == "atomic"
    for name, below in (schema.get("properties") or {}).items():
        place = f"{path}.properties[{name}]"
        kept = uncorrelated or (path if atomic_map else "")
        _check(below, place, cel_types.type_of(below), count, kept, costs, causes)
    others, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(others, dict):
        kept = uncorrelated or (path if atomic_map else "")
        place = child(path, "additionalProperties")
        _check(others, place, cel_types.type_of(others), below_count, kept, costs, causes)
    if isinstance(items, dict):
        kept = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        _check(items, child(path, "items"), cel_types.type_of(items), below_count, kept, costs, causes)


def _check_form(rule: Json, schema: Json, path: str, causes: list[Cause]) -> None:
    text = (rule.get("rule") or "").strip()
    message = rule.get("message")
    expression = rule.get("messageExpression")
    if not text:
        causes.append(required(child(path, "rule"), "rule is not specified"))
    if message and not message.strip():
        causes.append(invalid(child(path, "message"), message, "message must be non-empty if specified"))
    elif message and "\n" in message.strip():
        causes.append(invalid(child(path, "message"), message, "message must not contain line breaks"))
    elif "\n" in text and not (message or "").strip():
        problem = "message must be specified if rule contains line breaks"
        causes.append(required(child(path, "message"), problem))
    if expression and not expression.strip():
        problem = "messageExpression must be non-empty if specified"
        causes.append(required(child(path, "messageExpression"), problem))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        causes.append(unsupported(child(path, "reason"), reason, _REASONS))
    _check_field_path(rule.get("fieldPath") or "", schema, child(path, "fieldPath"), causes)


def _check_field_path(text: str, schema: Json, path: str, causes: list[Cause]) -> None:
    if not text:
        return
    if not text.strip():
        causes.append(invalid(path, text, "fieldPath must be non-empty if specified"))
    elif "\n" in text:
        causes.append(invalid(path, text, "fieldPath must not contain line breaks"))
    else:
        problem = _path_problem(text, schema)
        if problem:
            causes.append(invalid(path, text, f"fieldPath must be a valid path: {problem}"))


def _path_problem(text: str, schema: Json) -> str:
    end = 0
    for match in _STEP.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        name = match.group(1) if match.group(1) is not None else match.group(2).replace("\\'", "'")
        below = (schema.get("properties") or {}).get(name)
        if below is None and isinstance(schema.get("additionalProperties"), dict):
            below = schema["additionalProperties"] if match.group(2) is not None else None
        if below is None:
            return "does not refer to a valid field"
        schema = below
    return "" if end == len(text) else f"expected [ or . but got: {text[end:]}"


def _check_rule(
    rule: Json,
    path: str,
    within: tuple[Environment, Environment],
    times: int,
    uncorrelated: str,
    costs: _Costs,
    causes: list[Cause],
) -> None:
    text = rule["rule"]
    try:
        compiled = compile_rule({**rule, "messageExpression": None}, within)
    except CompileError as error:
        causes.append(invalid(child(path, "rule"), text, f"compilation failed: {error}"))
        return
    if not gives(compiled.program, BOOL):
        causes.append(invalid(child(path, "rule"), text, "cel expression must evaluate to a bool"))
        return
    if compiled.transition and uncorrelated:
        problem = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        causes.append(invalid(child(path, "rule"), text, problem))
    if rule.get("optionalOldSelf") is not None and not compiled.transition:
        problem = "optionalOldSelf may not be set if oldSelf is not used in rule"
        causes.append(invalid(child(path, "optionalOldSelf"), rule["optionalOldSelf"], problem))
    _charge(compiled.program, "estimated rule cost", child(path, "rule"), times, costs, causes)
    expression = rule.get("messageExpression")
    if expression and expression.strip():
        environment = within[1] if compiled.optional else within[0]
        _check_message(expression, environment, child(path, "messageExpression"), times, costs, causes)


def _check_message(
    text: str, environment: Environment, path: str, times: int, costs: _Costs, causes: list[Cause]
) -> None:
    try:
        program = environment.compile(text)
    except CompileError as error:
        causes.append(invalid(path, text, f"messageExpression compilation failed: {error}"))
        return
    if not gives(program, STRING):
        causes.append(invalid(path, text, _NOT_TEXT))
        return
    _charge(program, "estimated messageExpression cost", path, times, costs, causes)


def _charge(program: Program, name: str, path: str, times: int, costs: _Costs, causes: list[Cause]) -> None:
    cost = min(program.cost * times, UNBOUNDED)
    if cost > RULE_LIMIT:
        causes.append(_too_dear(name, cost, RULE_LIMIT, path))
    costs.total = min(costs.total + cost, UNBOUNDED)
    costs.dear.append((cost, path))


def _too_dear(name: str, cost: int, limit: int, path: str) -> Cause:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    text = (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, "
        "maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
    return Cause(FORBIDDEN, f"Forbidden: {text}", path)
