"""The expressions of one MutatingAdmissionPolicy, compiled, and what they make of an object.

An apply configuration (`Object{spec: Object.spec{...}}`) is merged as server-side apply merges, but may not
touch what merges only as a whole, because it would drop what it does not name. A JSON patch is a list of
`JSONPatch{op, path, value}`; one whose test fails changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonpatch
import jsonpointer

from edgevirt.engine.apiserver.admission.conditions import Conditions
from edgevirt.engine.apiserver.admission.expressions import NotCompiled
from edgevirt.engine.apiserver.admission.policy_program import POLICY_BUDGET, PolicyEnvironment, scoped
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.schema import SchemaNode
from edgevirt.engine.apiserver.writing import typed
from edgevirt.engine.apiserver.writing.patch import apply_counted
from edgevirt.engine.cel import Budget, BudgetExceeded, EvaluationError, Program, Type
from edgevirt.engine.cel.functions import function, indexed, same_size
from edgevirt.engine.cel.library.times import shown_duration, shown_timestamp
from edgevirt.engine.cel.types import DYN, STRING, object_type
from edgevirt.engine.cel.values import Duration, StructValue, Timestamp

Json = dict[str, Any]
OBJECT, PATCH = "Object", "JSONPatch"
_PATCH_TYPE = object_type(PATCH, {"op": STRING, "path": STRING, "from": STRING, "value": DYN})


class NotMutated(Exception):
    """A mutation could not be made; `str()` is for the client."""


def struct_type(name: str) -> Type | None:
    """Types of struct literals: the object and what is below it, by path, and JSON patches."""
    if name == PATCH:
        return _PATCH_TYPE
    return object_type(name, {}) if name == OBJECT or name.startswith(f"{OBJECT}.") else None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


FUNCTIONS = indexed([function("jsonpatch.escapeKey", (STRING,), STRING, _escaped, growth=same_size())])


def mutation_environment(has_params: bool) -> PolicyEnvironment:
    return PolicyEnvironment(has_params, functions=FUNCTIONS, structs=struct_type)


def compile_mutation(within: PolicyEnvironment, patch_type: str, expression: str) -> Program:
    """Raises NotCompiled if the expression does not compile or gives something else."""
    program = within.compile(expression)
    kind = program.type
    if patch_type == "ApplyConfiguration":
        fits = kind.kind == "dyn" or (kind.kind == "object" and kind.name == OBJECT)
        wanted = OBJECT
    else:
        element = kind.params[0] if kind.kind == "list" and kind.params else DYN
        fits = kind.kind in ("dyn", "list") and (element.kind == "dyn" or element.name == PATCH)
        wanted = f"list({PATCH})"
    if not fits:
        raise NotCompiled(f"must evaluate to {wanted}")
    return program


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutation. `apply` gives the changed object and leaves the one given alone. Raises NotMutated."""

    patch_type: str
    program: Program

    def apply(self, obj: Json, node: SchemaNode, scope: Mapping[str, Any], budget: Budget) -> Json:
        try:
            value = self.program.evaluate(scope, budget)
        except (EvaluationError, BudgetExceeded) as error:
            text = f"expression '{self.program.text}' resulted in error: {error}"
            raise NotMutated(text) from error
        if self.patch_type == "ApplyConfiguration":
            return _configured(obj, node, value)
        return _patched(obj, value)


class MutationProgram:
    """A policy's spec, compiled. Raises NotCompiled or ConditionError."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        within = mutation_environment(spec.get("paramKind") is not None)
        for variable in spec.get("variables") or ():
            problem = within.declare(variable["name"], variable["expression"])
            if problem:
                raise NotCompiled(problem)
        self._variables = within.variables
        self.conditions = Conditions(spec.get("matchConditions") or (), within.conditions)
        self.mutations = tuple(_mutation(entry, within) for entry in spec.get("mutations") or ())

    def scope(self, values: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
        """The variables of the expressions, the policy's own computed on first use."""
        return scoped(self._variables, values, budget)

    @staticmethod
    def budget() -> Budget:
        return Budget(POLICY_BUDGET)


def _mutation(entry: Mapping[str, Any], within: PolicyEnvironment) -> Mutation:
    patch_type = entry["patchType"]
    field = "applyConfiguration" if patch_type == "ApplyConfiguration" else "jsonPatch"
    return Mutation(patch_type, compile_mutation(within, patch_type, entry[field]["expression"]))


def _configured(obj: Json, node: SchemaNode, value: Any) -> Json:
    if not isinstance(value, dict):
        raise NotMutated("ApplyConfiguration must be an Object")
    _check_names(value, OBJECT)
    config = _plain(value)
    problems = list(_unmergeable(node, config, ""))
    if problems:
        raise NotMutated(f"invalid ApplyConfiguration: {', '.join(problems)}")
    try:
        merged: Json = typed.merge(node, decode_json(encode_json(obj)), config)
    except StatusError as error:
        raise NotMutated(f"error applying patch: {error.message}") from error
    return merged


def _unmergeable(node: SchemaNode, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if node.kind == "atomic":
            yield f"may not mutate atomic arrays, maps or structs: {path}"
            return
        for name, below in value.items():
            found = node.child(name)
            if found is not None:
                yield from _unmergeable(found, below, f"{path}.{name}")
            elif node.kind == "map" and not node.open:
                yield f"{path}.{name}: field not declared in schema"
    elif isinstance(value, list):
        if node.kind not in ("list", "set"):
            yield f"may not mutate atomic arrays, maps or structs: {path}"
        elif node.kind == "list" and node.elem is not None:
            for item in value:
                yield from _unmergeable(node.elem, item, path)


def _check_names(value: Any, path: str) -> None:
    """A struct stands where its type says: `Object.spec` below `spec` and nowhere else."""
    if isinstance(value, StructValue) and value.type_name != path:
        raise NotMutated(
            f'unexpected type name "{value.type_name}", expected "{path}", which matches field name path '
            "from root Object type"
        )
    if isinstance(value, dict):
        for name, below in value.items():
            _check_names(below, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            _check_names(item, path)


def _plain(value: Any) -> Any:
    """CEL's value as JSON. Raises NotMutated."""
    if isinstance(value, dict):
        return {str(name): _plain(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Timestamp):
        return shown_timestamp(value)
    if isinstance(value, Duration):
        return shown_duration(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str | float):
        return value
    raise NotMutated(f"a value of type {type(value).__name__.lower()} cannot stand in an object")


def _patched(obj: Json, value: Any) -> Json:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotMutated("JSONPatch must be a list of operations")
    operations = [_plain(item) for item in value]
    document = decode_json(encode_json(obj))
    try:
        patched = apply_counted(operations, document)
    except jsonpatch.JsonPatchTestFailed:
        return obj
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise NotMutated(f"JSON Patch: {error}") from error
    if not isinstance(patched, dict):
        raise NotMutated("JSON Patch: the result is no object")
    return patched
