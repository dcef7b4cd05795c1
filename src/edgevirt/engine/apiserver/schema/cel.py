"""CEL rules of custom resources (x-kubernetes-validations): compiled once, evaluated on every write.

A rule sees its value as `self` and, if it mentions it, the stored value as `oldSelf`. Rules that mention
`oldSelf` are transition rules: they are skipped where there is no stored counterpart, unless the rule says
optionalOldSelf. Values reach CEL untyped, so a mistake in a field's name shows at evaluation and not when
the definition is admitted; timestamps and durations stay text and must be converted in the rule, which
`rule_error` demands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel as engine
from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.schema import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    NO_FIELD,
    REQUIRED,
    Json,
    child,
    shown,
)
from edgevirt.engine.apiserver.schema.cel_functions import declarations
from edgevirt.engine.apiserver.schema.values import ABSENT, ItemCounterparts

_OLD_SELF = re.compile(r"\boldSelf\b")
_STRINGS = re.compile(r"""("(\\.|[^"\\])*"|'(\\.|[^'\\])*')""")
_CONVERTED_FORMATS = frozenset({"date", "date-time", "datetime", "duration"})

_RESERVED = frozenset(
    (
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    )
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


@functools.cache
def _environment() -> Any:
    return engine.NewEnv(
        variables={"self": engine.Type.DYN, "oldSelf": engine.Type.DYN},
        extensions=[
            ext_optional.ExtOptional(),
            ext_strings.ExtStrings(),
            ext_bindings.ExtBindings(),
            ext_math.ExtMath(),
        ],
        functions=declarations(),
    )


def escaped(name: str) -> str:
    """A property's name as rules have to write it (`namespace` -> `__namespace__`, `a-b` -> `a__dash__b`)."""
    if name in _RESERVED:
        return f"__{name}__"
    for plain, written in _ESCAPES:
        name = name.replace(plain, written)
    return name


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. `fresh` is the program for values without a stored counterpart, if it has one."""

    text: str
    program: Any
    fresh: Any
    transition: bool
    message: str
    message_program: Any
    reason: str
    field_path: str

    def failure(self, value: Any, bound: Any, old_bound: Any, path: str) -> Cause | None:
        """The cause if the rule does not hold, None if it holds or does not apply."""
        if self.transition and old_bound is ABSENT:
            if self.fresh is None:
                return None
            result = self.fresh.eval(data={"self": bound})
        else:
            data = {"self": bound} if old_bound is ABSENT else {"self": bound, "oldSelf": old_bound}
            result = self.program.eval(data=data)
        outcome = result.value()
        if outcome is True:
            return None
        where = path + self.field_path if path else self.field_path.removeprefix(".")
        where = where or NO_FIELD
        if outcome is not False:
            return self._cause(value, where, f"{_plain_error(outcome)} evaluating rule: {self._shown_rule()}")
        return self._cause(value, where, self._message(bound, old_bound))

    def _message(self, bound: Any, old_bound: Any) -> str:
        if self.message_program is not None:
            data = {"self": bound} if old_bound is ABSENT else {"self": bound, "oldSelf": old_bound}
            text = self.message_program.eval(data=data).value()
            if isinstance(text, str) and text.strip() and "\n" not in text.strip():
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


def _plain_error(outcome: Any) -> str:
    text = str(outcome)
    missing = re.search(r'Key not found in map : "?([^"]*)"?', text)
    if missing:
        return f"no such key: {missing.group(1)}"
    return text.partition(": ")[2] or text


def _mentions_old(rule: str) -> bool:
    return _OLD_SELF.search(_STRINGS.sub('""', rule)) is not None


def compile_rule(rule: Json) -> Rule:
    """Compile one entry of x-kubernetes-validations. Raises ValueError with the compiler's message."""
    text = rule.get("rule") or ""
    transition = _mentions_old(text)
    fresh = None
    program_text = text
    if transition and rule.get("optionalOldSelf"):
        fresh = _program(f"cel.bind(oldSelf, optional.none(), {text})")
        program_text = f"cel.bind(oldSelf, optional.of(oldSelf), {text})"
    expression = rule.get("messageExpression")
    return Rule(
        text=text,
        program=_program(program_text, text),
        fresh=fresh,
        transition=transition,
        message=(rule.get("message") or "").strip(),
        message_program=_program(expression) if expression else None,
        reason=rule.get("reason") or INVALID,
        field_path=rule.get("fieldPath") or "",
    )


def _program(text: str, shown_text: str = "") -> Any:
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        message = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        if shown_text and shown_text != text:
            message = message.replace(text, shown_text)
        raise ValueError(message) from error


def rule_error(rule: Json, schema: Json) -> str | None:
    """Why the rule cannot be used on a value of `schema`, or None."""
    try:
        compiled = compile_rule(rule)
    except ValueError as error:
        return f"compilation failed: {error}"
    kind = compiled.program.return_type()
    if kind.name() not in ("BOOL", "DYN"):
        return "must evaluate to a bool"
    bare = _STRINGS.sub('""', rule.get("rule") or "")
    for name in _converted_names(schema, depth=6):
        for mention in re.finditer(rf"(\w+\()?\s*[\w.]*\.{re.escape(escaped(name))}\b", bare):
            if (mention.group(1) or "") not in ("timestamp(", "duration(", "has("):
                return (
                    f"field {name} holds a date or a duration, which this server passes to rules as text: "
                    "convert it with timestamp(...) or duration(...)"
                )
    return None


def _converted_names(schema: Json, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    for name, below in (schema.get("properties") or {}).items():
        if below.get("format") in _CONVERTED_FORMATS and below.get("type") == "string":
            yield name
        yield from _converted_names(below, depth - 1)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _converted_names(schema[key], depth - 1)


@dataclass(slots=True)
class RuleTree:
    """The rules of one value and of the values below it. Branches without rules are absent."""

    schema: Json
    rules: list[Rule]
    properties: dict[str, RuleTree] = field(default_factory=dict)
    others: RuleTree | None = None
    items: RuleTree | None = None

    def check(self, obj: Json, old: Json | None) -> list[Cause]:
        """Causes of all rules that do not hold for `obj`; `old` is the stored object or None."""
        causes: list[Cause] = []
        self._check(obj, ABSENT if old is None else old, "", causes, True)
        return causes

    def _check(self, value: Any, old: Any, path: str, causes: list[Cause], is_root: bool = False) -> None:
        if self.rules:
            bound = _bound(self.schema, value, is_root)
            old_bound = ABSENT if old is ABSENT else _bound(self.schema, old, is_root)
            unchanged = old is not ABSENT and value == old
            for rule in self.rules:
                if unchanged and not rule.transition:
                    continue
                cause = rule.failure(value, bound, old_bound, path)
                if cause is not None:
                    causes.append(cause)
        if isinstance(value, dict):
            self._check_fields(value, old if isinstance(old, dict) else {}, path, causes)
        elif isinstance(value, list) and self.items is not None:
            counterpart = ItemCounterparts(self.schema, old)
            for index, item in enumerate(value):
                if item is not None:
                    self.items._check(item, counterpart.of(item), f"{path}[{index}]", causes)

    def _check_fields(self, value: Json, stored: Json, path: str, causes: list[Cause]) -> None:
        for name, tree in self.properties.items():
            if value.get(name) is not None:
                tree._check(value[name], _present(stored, name), child(path, name), causes)
        if self.others is not None:
            declared = self.schema.get("properties") or {}
            for name, item in value.items():
                if name not in declared and item is not None:
                    self.others._check(item, _present(stored, name), child(path, name), causes)


def _present(stored: Json, name: str) -> Any:
    found = stored.get(name)
    return ABSENT if found is None else found


def rule_tree(schema: Json) -> RuleTree | None:
    """All rules of a structural schema, or None if it has none."""
    rules = [compile_rule(rule) for rule in schema.get("x-kubernetes-validations") or ()]
    below: dict[str, RuleTree] = {}
    for name, property_schema in (schema.get("properties") or {}).items():
        tree = rule_tree(property_schema)
        if tree is not None:
            below[name] = tree
    others, items = schema.get("additionalProperties"), schema.get("items")
    others_tree = rule_tree(others) if isinstance(others, dict) else None
    items_tree = rule_tree(items) if isinstance(items, dict) else None
    if not rules and not below and others_tree is None and items_tree is None:
        return None
    return RuleTree(schema, rules, below, others_tree, items_tree)


def _bound(schema: Json, value: Any, is_root: bool = False) -> Any:
    """`value` as rules see it: escaped names, numbers of type number as doubles, undeclared fields gone."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        if not properties and not isinstance(others, dict):
            return value
        bound: dict[str, Any] = {}
        for name, item in value.items():
            if name in properties:
                bound[escaped(name)] = _bound(properties[name], item)
            elif isinstance(others, dict):
                bound[name] = _bound(others, item)
        if is_root or schema.get("x-kubernetes-embedded-resource"):
            metadata = value.get("metadata") or {}
            kept = {key: metadata[key] for key in ("name", "generateName") if metadata.get(key)}
            identity = {key: value[key] for key in ("apiVersion", "kind") if key in value}
            return {**bound, **identity, "metadata": kept}
        return bound
    if isinstance(value, list):
        items = schema.get("items")
        return [_bound(items, item) for item in value] if isinstance(items, dict) else value
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
