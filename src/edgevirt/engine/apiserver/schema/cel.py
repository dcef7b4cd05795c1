"""CEL rules of custom resources (x-kubernetes-validations): compiled once, evaluated on every write.

A rule sees its value as `self` and, if it mentions it, the stored value as `oldSelf`. Rules that mention
`oldSelf` are transition rules: they are skipped where there is no stored counterpart, unless the rule says
optionalOldSelf. All rules of an object share one budget, so that validation ends whatever they say.
`cel_admission` decides which rules a definition may carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    NO_FIELD,
    REQUIRED,
    Json,
    cel_types,
    child,
    shown,
)
from edgevirt.engine.apiserver.schema.cel_values import bound as bind
from edgevirt.engine.apiserver.schema.values import ABSENT, ItemCounterparts
from edgevirt.engine.cel import Budget, BudgetExceeded, Environment, EvaluationError, Program, Type
from edgevirt.engine.cel.types import optional_of
from edgevirt.engine.cel.values import NONE, Optional

OBJECT_BUDGET = 10_000_000
"""What all rules of one object may cost together."""
_MAX_MESSAGE = 5120


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. `optional` says it wants `oldSelf` as an optional and is never skipped."""

    text: str
    program: Program
    transition: bool
    optional: bool
    message: str
    message_program: Program | None
    reason: str
    field_path: str

    def failure(self, value: Any, bound: Any, old_bound: Any, path: str, budget: Budget) -> Cause | None:
        """The cause if the rule does not hold, None if it holds or does not apply. Raises BudgetExceeded."""
        if self.transition and old_bound is ABSENT and not self.optional:
            return None
        variables: dict[str, Any] = {"self": bound}
        if self.transition:
            variables["oldSelf"] = self._old(old_bound)
        try:
            holds = self.program.evaluate(variables, budget) is True
        except EvaluationError as error:
            return self._cause(value, path or NO_FIELD, self._explained(str(error)))
        if holds:
            return None
        where = path + self.field_path if path else self.field_path.removeprefix(".")
        return self._cause(value, where or NO_FIELD, self._message(variables, budget))

    def _old(self, old_bound: Any) -> Any:
        if not self.optional:
            return old_bound
        return NONE if old_bound is ABSENT else Optional(True, old_bound)

    def _explained(self, error: str) -> str:
        if error.startswith("no such overload"):
            return (
                f"'{error}': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {self._shown_rule()}"
            )
        return f"{error} evaluating rule: {self._shown_rule()}"

    def _message(self, variables: Mapping[str, Any], budget: Budget) -> str:
        if self.message_program is not None:
            try:
                text = self.message_program.evaluate(variables, budget)
            except EvaluationError:
                text = ""
            if (
                isinstance(text, str)
                and text.strip()
                and "\n" not in text.strip()
                and len(text) <= _MAX_MESSAGE
            ):
                return text.strip()
        return self.message or f"failed rule: {self._shown_rule()}"

    def _shown_rule(self) -> str:
        return " ".join(self.text.split())

    def _cause(self, value: Any, where: str, text: str) -> Cause:
        match self.reason:
            case "FieldValueForbidden":
                return Cause(FORBIDDEN, f"Forbidden: {text}", where)
            case "FieldValueRequired":
                return Cause(REQUIRED, f"Required value: {text}", where)
            case "FieldValueDuplicate":
                return Cause(DUPLICATE, f"Duplicate value: {shown(value)}", where)
        if isinstance(value, dict | list):
            return Cause(INVALID, f"Invalid value: {text}", where)
        return Cause(INVALID, f"Invalid value: {shown(value)}: {text}", where)


def environments(kind: Type) -> tuple[Environment, Environment]:
    """Where rules on values of a type are compiled: plainly, and with `oldSelf` as an optional."""
    plain = Environment({"self": kind, "oldSelf": kind})
    return plain, plain.extended({"oldSelf": optional_of(kind)})


def compile_rule(rule: Json, within: tuple[Environment, Environment]) -> Rule:
    """Compile one entry of x-kubernetes-validations. Raises CompileError."""
    text = rule.get("rule") or ""
    optional = bool(rule.get("optionalOldSelf"))
    environment = within[1] if optional else within[0]
    program = environment.compile(text)
    expression = rule.get("messageExpression")
    return Rule(
        text=text,
        program=program,
        transition=program.mentions("oldSelf"),
        optional=optional,
        message=(rule.get("message") or "").strip(),
        message_program=environment.compile(expression) if expression else None,
        reason=rule.get("reason") or INVALID,
        field_path=rule.get("fieldPath") or "",
    )


def gives(program: Program, wanted: Type) -> bool:
    """Whether a program's value may be of a type."""
    return program.type.kind in (wanted.kind, "dyn")


@dataclass(slots=True)
class RuleTree:
    """The rules of one value and of the values below it. Branches without rules are absent."""

    schema: Json
    rules: list[Rule]
    properties: dict[str, RuleTree] = field(default_factory=dict)
    others: RuleTree | None = None
    items: RuleTree | None = None

    def check(self, obj: Json, old: Json | None, limit: int = OBJECT_BUDGET) -> list[Cause]:
        """Causes of all rules that do not hold for `obj`; `old` is the stored object or None."""
        walk = _Walk(Budget(limit))
        try:
            walk.check(self, obj, ABSENT if old is None else old, "", ABSENT, True)
        except BudgetExceeded as error:
            walk.causes.append(walk.exhausted(str(error)))
        return walk.causes


class _Walk:
    """One validation: what was found so far, what may still be spent, and which rule is being run."""

    def __init__(self, budget: Budget) -> None:
        self.causes: list[Cause] = []
        self._budget = budget
        self._path = ""
        self._rule = ""

    def exhausted(self, error: str) -> Cause:
        text = "validation failed due to running out of cost budget, no further validation rules will be run"
        if self._budget.remaining > 0:
            text = (
                f"'{error}': no further validation rules will be run due to call cost exceeds limit for "
                f"rule: {self._rule}"
            )
        return Cause(INVALID, f"Invalid value: {text}", self._path or NO_FIELD)

    def check(
        self, tree: RuleTree, value: Any, old: Any, path: str, bound: Any = ABSENT, is_root: bool = False
    ) -> None:
        if tree.rules:
            if bound is ABSENT:
                bound = bind(tree.schema, value, is_root)
            self._check_rules(tree, value, old, path, bound, is_root)
        if isinstance(value, dict):
            self._check_fields(tree, value, old if isinstance(old, dict) else {}, path, bound)
        elif isinstance(value, list) and tree.items is not None:
            counterpart = ItemCounterparts(tree.schema, old)
            for index, item in enumerate(value):
                if item is not None:
                    below = ABSENT if bound is ABSENT else bound[index]
                    self.check(tree.items, item, counterpart.of(item), f"{path}[{index}]", below)

    def _check_rules(
        self, tree: RuleTree, value: Any, old: Any, path: str, bound: Any, is_root: bool
    ) -> None:
        unchanged = old is not ABSENT and value == old
        transition = any(rule.transition for rule in tree.rules)
        old_bound = ABSENT if old is ABSENT or not transition else bind(tree.schema, old, is_root)
        for rule in tree.rules:
            if unchanged and not rule.transition:
                continue
            self._path, self._rule = path, rule.text
            cause = rule.failure(value, bound, old_bound, path, self._budget)
            if cause is not None:
                self.causes.append(cause)

    def _check_fields(self, tree: RuleTree, value: Json, stored: Json, path: str, bound: Any) -> None:
        if tree.schema.get("x-kubernetes-map-type") == "atomic":
            stored = {}
        for name, below in tree.properties.items():
            if value.get(name) is not None:
                seen = ABSENT if bound is ABSENT else bound.get(cel_types.escaped(name), ABSENT)
                self.check(below, value[name], _present(stored, name), child(path, name), seen)
        if tree.others is not None:
            declared = tree.schema.get("properties") or {}
            for name, item in value.items():
                if name not in declared and item is not None:
                    self.check(tree.others, item, _present(stored, name), child(path, name))


def _present(stored: Json, name: str) -> Any:
    found = stored.get(name)
    return ABSENT if found is None else found


def rule_tree(schema: Json) -> RuleTree | None:
    """All rules of a whole object's schema, or None if it has none. Raises CompileError."""
    return _tree(schema, cel_types.root_type(schema))


def _tree(schema: Json, kind: Type | None) -> RuleTree | None:
    declared = schema.get("x-kubernetes-validations") or ()
    rules: list[Rule] = []
    if declared and kind is not None:
        within = environments(kind)
        rules = [compile_rule(rule, within) for rule in declared]
    below: dict[str, RuleTree] = {}
    for name, property_schema in (schema.get("properties") or {}).items():
        tree = _tree(property_schema, cel_types.type_of(property_schema))
        if tree is not None:
            below[name] = tree
    others, items = schema.get("additionalProperties"), schema.get("items")
    others_tree = _tree(others, cel_types.type_of(others)) if isinstance(others, dict) else None
    items_tree = _tree(items, cel_types.type_of(items)) if isinstance(items, dict) else None
    if not rules and not below and others_tree is None and items_tree is None:
        return None
    return RuleTree(schema, rules, below, others_tree, items_tree)
