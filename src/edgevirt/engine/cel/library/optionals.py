"""Values that may be absent: optional.of, orValue and the rest; the macros are the parser's."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, method
from edgevirt.engine.cel.types import BOOL, list_of, optional_of, parameter
from edgevirt.engine.cel.values import NONE, Duration, Optional, Timestamp

_A = parameter("A")
_OPTIONAL = optional_of(_A)


def _of(value: Any) -> Optional:
    return Optional(True, value)


def _of_non_zero(value: Any) -> Optional:
    zero = value in (Duration(0), Timestamp(0)) if isinstance(value, Duration | Timestamp) else not value
    return NONE if zero else Optional(True, value)


def _value(holder: Optional) -> Any:
    if not holder.present:
        raise EvaluationError("optional.none() dereference")
    return holder.value


OVERLOADS = [
    function("optional.of", (_A,), _OPTIONAL, _of),
    function("optional.ofNonZeroValue", (_A,), _OPTIONAL, _of_non_zero),
    function("optional.none", (), _OPTIONAL, lambda: NONE),
    method("value", (_OPTIONAL,), _A, _value),
    method("hasValue", (_OPTIONAL,), BOOL, lambda holder: holder.present),
    method("or", (_OPTIONAL, _OPTIONAL), _OPTIONAL, lambda one, two: one if one.present else two),
    method("orValue", (_OPTIONAL, _A), _A, lambda one, value: one.value if one.present else value),
    method("first", (list_of(_A),), _OPTIONAL, lambda items: _of(items[0]) if items else NONE),
    method("last", (list_of(_A),), _OPTIONAL, lambda items: _of(items[-1]) if items else NONE),
    function(
        "optional.unwrap",
        (list_of(_OPTIONAL),),
        list_of(_A),
        lambda items: [item.value for item in items if item.present],
    ),
    method(
        "unwrapOpt",
        (list_of(_OPTIONAL),),
        list_of(_A),
        lambda items: [item.value for item in items if item.present],
    ),
]
