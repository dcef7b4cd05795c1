"""The language: what expressions mean, what is refused, and what they may cost."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.cel import (
    Budget,
    BudgetExceeded,
    CompileError,
    Environment,
    EvaluationError,
    Type,
    types,
)
from edgevirt.engine.cel.values import NONE

pytestmark = pytest.mark.unit

SELF = types.object_type(
    "selfType",
    {
        "n": types.INT,
        "s": types.STRING.sized(20),
        "l": types.list_of(types.STRING.sized(5), 10),
        "m": types.map_of(types.STRING, types.INT, 10),
        "d": types.DYN,
        "t": types.TIMESTAMP,
    },
)
ENVIRONMENT = Environment({"self": SELF, "o": types.DYN})
VALUES: dict[str, Any] = {
    "self": {"n": 7, "s": "abc", "l": ["x", "y"], "m": {"k": 1, "j": 2}, "d": 5},
    "o": {"a": {"b": [1, 2]}, "nothing": None},
}


def value(text: str) -> Any:
    return ENVIRONMENT.compile(text).evaluate(VALUES)


@pytest.mark.parametrize(
    "text",
    """
    self.n + 1 == 8 && -self.n == -7 && self.n % 4 == 3 && -7 / 2 == -3 && -7 % 2 == -1
    7u + 1u == 8u && dyn(1) == 1u && dyn(1.0) == 1
    1 < 1.5 && 2u > 1 && !(1 > 1.0)
    self.s + 'd' == "abcd" && r'\\d' == '\\\\d' && '''a'b''' == "a'b" && '\\u00e9' == 'é'
    b'abc' == bytes('abc') && string(b'abc') == 'abc' && size(b'\\xff') == 1
    'x' in self.l && !('z' in self.l) && 'k' in self.m
    self.l[0] == 'x' && self.m['k'] == 1 && o.a.b[1] == 2 && o['a']['b'][0] == 1
    has(self.d) && !has(self.t) && has(o.a.b) && !has(o.a.c)
    self.l.all(x, x.size() == 1) && self.l.exists(x, x == 'y') && self.l.exists_one(x, x > 'x')
    self.l.map(x, x + '!') == ['x!', 'y!'] && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]
    [1, 2, 3].filter(x, x % 2 == 1) == [1, 3] && self.m.exists(k, self.m[k] == 2)
    self.l.all(i, v, i < 2 && v in ['x', 'y']) && self.m.existsOne(k, v, v == 1)
    self.m.transformMap(k, v, v + 1) == {'k': 2, 'j': 3} && [3, 4].transformList(i, v, i * v) == [0, 4]
    self.m.transformMapEntry(k, v, {k + k: v}) == {'kk': 1, 'jj': 2}
    self.m.transformList(k, v, v > 1, k) == ['j']
    1 / 0 == 1 || true
    !(1 / 0 == 1 && false)
    [1, 0].exists(x, 1 / x == 1)
    (self.n > 5 ? 'big' : 'small') == 'big'
    self.?t.hasValue() == false && self.?d.orValue(1) == 5 && o.?a.?z.?y.orValue(3) == 3
    o[?'a'].hasValue() && [1][?5].orValue(9) == 9 && o.?nothing.hasValue()
    optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().hasValue()
    optional.of(2).optFlatMap(x, optional.none()).or(optional.of(1)).value() == 1
    [?optional.of(1), ?optional.none(), 2] == [1, 2] && {?'a': optional.none()} == {}
    optional.ofNonZeroValue(0) == optional.none() && [optional.of(1)].unwrapOpt() == [1]
    cel.bind(x, self.n * 2, x + x) == 28
    type(1) == int && type('a') == string && type([]) == list && type(self.n) != double
    int('12') + int(1.9) + int(3u) == 16 && double('1.5') == 1.5 && uint(3) == 3u && bool('true')
    string(1) + string(true) + string(1.5) + string(2.0) == '1true1.52'
    timestamp('2026-01-31T23:30:00Z') + duration('30m') == timestamp('2026-02-01T00:00:00Z')
    timestamp('2026-01-31T23:30:00+01:00').getHours() == 22 && duration('1h').getMinutes() == 60
    timestamp('2026-03-01T00:00:00Z').getMonth() == 2 && timestamp('2026-03-01T00:00:00Z').getDate() == 1
    timestamp('2026-03-01T00:00:00Z').getHours('Europe/Berlin') == 1
    string(duration('1.5s')) == '1.5s'
    string(timestamp('2026-01-01T00:00:00.25Z')) == '2026-01-01T00:00:00.25Z'
    dyn(1) != dyn('a') && dyn([1, 2]) == [1.0, 2.0] && dyn({'a': 1}) == {'a': 1u}
    9223372036854775807 > 0 && -9223372036854775808 < 0 && 0xff == 255 && 1e3 == 1000.0
    """.strip().splitlines(),
)
def test_expressions_mean_what_they_mean_in_kubernetes(text: str) -> None:
    assert value(text.strip()) is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("self.t.getHours() > 1", "no such key: t"),
        ("self.m['z'] == 1", "no such key: z"),
        ("self.l[2] == ''", "index out of bounds: 2"),
        ("1 / (self.n - 7) == 1", "division by zero"),
        ("self.n % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + self.n == 0", "integer overflow"),
        ("1u - uint(self.n) == 0u", "unsigned integer overflow"),
        ("self.d.startsWith('a')", "no such overload"),
        ("o.nothing.x == 1", "no such overload"),
        ("int(self.s) == 1", 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("[].max() == 1", "max called on empty list"),
    ],
)
def test_values_that_do_not_exist_are_errors(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError) as failure:
        value(text)
    assert problem in str(failure.value)


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("self.foo", "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^"),
        (
            "self.n == 'a'",
            "ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'\n"
            " | self.n == 'a'\n | .......^",
        ),
        ("self.s.foo()", "ERROR: <input>:1:11: undeclared reference to 'foo' (in container '')"),
        ("self.l.exists(x, x)", "expected type 'bool' but found 'string'"),
        ("self.n.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("self.s == null", "found no matching overload for '_==_' applied to '(string, null)'"),
        (
            "self.n &&",
            "ERROR: <input>:1:10: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(',",
        ),
        ("(1", "Syntax error: missing ')' at '<EOF>'"),
        ("1 1", "Syntax error: extraneous input '1' expecting <EOF>"),
        ("for", "reserved identifier: for"),
        ("'a", "Syntax error: token recognition error at: ''a'"),
        ("has(self)", "invalid argument to has() macro"),
        ("self.l.all(1, true)", "argument must be a simple name"),
        ("duration('x')", "invalid duration argument"),
        ("timestamp('x')", "invalid timestamp argument"),
        ("'a'.matches('(')", "invalid matches argument"),
        ("Foo{a: 1}", "undeclared reference to 'Foo' (in container '')"),
        ("9223372036854775808", "invalid int literal"),
        ("self.n\n  == 'a'", "ERROR: <input>:2:3: found no matching overload"),
        ("(" * 200 + "1" + ")" * 200, "expression recursion limit exceeded"),
        ("self" + ".d" * 300, "expression recursion limit exceeded"),
    ],
)
def test_expressions_that_cannot_work_are_reported_with_their_place(text: str, report: str) -> None:
    with pytest.raises(CompileError) as failure:
        ENVIRONMENT.compile(text)
    assert report in str(failure.value)


def test_comments_and_line_breaks_are_space() -> None:
    assert value("// a comment\n true // another") is True


def test_long_chains_do_not_run_out_of_stack() -> None:
    assert value(" || ".join(["self.n == 1"] * 2000 + ["true"])) is True
    assert value(" + ".join(["self.n"] * 100)) == 700


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("self.n > 1", 3),
        ("self.n > 1 && self.s == 'a'", 6),
        ("self.l.all(x, x == 'a')", 2 + 10 * (3 + 2) + 1),
        ("'x'.contains('y')", 1),
    ],
)
def test_the_highest_cost_follows_from_the_sizes_of_the_types(text: str, most: int) -> None:
    program = ENVIRONMENT.compile(text)
    assert program.cost == most
    budget = Budget(1000)
    program.evaluate(VALUES, budget)
    assert 1000 - budget.remaining <= most


def test_nested_loops_over_unlimited_lists_cost_without_limit() -> None:
    endless = Environment({"self": types.list_of(types.INT)})
    assert endless.compile("self.all(x, self.all(y, x == y))").cost == types.UNBOUNDED


def test_an_expression_that_exceeds_its_budget_is_stopped() -> None:
    program = Environment({"self": types.list_of(types.INT)}).compile("self.map(x, self.map(y, x + y))")
    with pytest.raises(BudgetExceeded, match="actual cost limit exceeded"):
        program.evaluate({"self": list(range(100_000))})
    spent = Budget(100)
    with pytest.raises(BudgetExceeded):
        program.evaluate({"self": list(range(100))}, spent)
    assert spent.remaining < 0 or spent.remaining == 0


def doubled(start: str, step: str, last: str, times: int = 30) -> str:
    """An expression that doubles a value again and again."""
    text = last.replace("$", f"v{times}")
    for level in range(times, 0, -1):
        text = f"cel.bind(v{level}, {step.replace('$', f'v{level - 1}')}, {text})"
    return f"cel.bind(v0, {start}, {text})"


@pytest.mark.parametrize(
    ("start", "step", "last"),
    [
        ("'abcdefgh'", "$ + $", "$ == 'x'"),
        ("'abcdefgh'", "'%s%s'.format([$, $])", "$ == 'x'"),
        ("'abcdefgh'", "[$, $].join()", "$ == 'x'"),
        ("'abcdefgh'", "$.replace('', $)", "$ == 'x'"),
        ("[1]", "$ + $", "size($) == 1"),
        ("dyn([1])", "dyn([$, $])", "$ == dyn([$[0], $[0], 1].slice(0, 2))"),
        ("dyn([1])", "dyn([$, $])", "'%s'.format([$]) == 'x'"),
        ("dyn([1])", "dyn([$, $])", "[$, $].distinct().size() == 1"),
        ("dyn([1])", "dyn({'a': $, 'b': $})", "$ == dyn({'a': $.b, 'b': $.a})"),
    ],
)
def test_values_that_double_are_stopped_before_they_fill_memory_or_take_long(
    start: str, step: str, last: str
) -> None:
    program = ENVIRONMENT.compile(doubled(start, step, last))
    with pytest.raises((BudgetExceeded, EvaluationError)):
        program.evaluate(VALUES)


def test_a_hostile_pattern_takes_linear_time() -> None:
    text = Environment({"self": types.STRING}).compile("self.matches('(a+)+b')")
    assert text.evaluate({"self": "a" * 50_000}, Budget()) is False


@given(st.text(alphabet="selfn.()[]{}<>=!&|?:,'\"+-*/% 019xuab\\\n", max_size=40))
def test_whatever_is_compiled_is_refused_or_runs(text: str) -> None:
    try:
        program = ENVIRONMENT.compile(text)
    except CompileError:
        return
    with contextlib.suppress(EvaluationError, BudgetExceeded):
        program.evaluate(VALUES)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
        max_leaves=8,
    )
)
def test_every_value_equals_itself_and_has_a_type(item: Any) -> None:
    environment = Environment({"x": types.DYN})
    assert environment.compile("x == x").evaluate({"x": item}) is True
    assert isinstance(environment.compile("type(x)").evaluate({"x": item}), Type)


def test_absent_optionals_are_one_value() -> None:
    assert value("optional.none()") is NONE
