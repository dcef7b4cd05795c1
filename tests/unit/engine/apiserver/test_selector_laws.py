"""Label selectors: what is printed is parsed back and matches what a naive reading of it matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.reading.selectors import parse_labels

pytestmark = pytest.mark.unit

KEYS = st.sampled_from(("a", "b", "example.org/c", "in", "notin", "x-y.z"))
WORDS = st.sampled_from(("", "1", "2", "10", "x", "notin", "A_b.c"))
LABELS = st.dictionaries(KEYS, WORDS, max_size=4)
Term = tuple[str, str, tuple[str, ...]]
TERMS: st.SearchStrategy[Term] = st.one_of(
    st.tuples(st.sampled_from(("exists", "absent")), KEYS, st.just(())),
    st.tuples(st.sampled_from(("=", "==", "!=")), KEYS, st.tuples(WORDS)),
    st.tuples(
        st.sampled_from(("in", "notin")),
        KEYS,
        st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple),
    ),
    st.tuples(st.sampled_from(("<", ">")), KEYS, st.tuples(st.sampled_from(("1", "2", "-3")))),
)
SPACE = st.sampled_from(("", " ", "  "))


def printed(term: Term, space: str) -> str:
    operator, key, values = term
    match operator:
        case "exists":
            return f"{space}{key}{space}"
        case "absent":
            return f"!{space}{key}"
        case "in" | "notin":
            return f"{key} {operator} ({space}{f'{space},'.join(values)}{space})"
    return f"{key}{space}{operator}{space}{values[0]}{space}"


def matches(term: Term, labels: dict[str, str]) -> bool:
    operator, key, values = term
    value = labels.get(key)
    match operator:
        case "exists":
            return value is not None
        case "absent":
            return value is None
        case "=" | "==" | "in":
            return value in values
        case "!=" | "notin":
            return value not in values
    if value is None or not value.lstrip("-").isdecimal():
        return False
    return int(value) > int(values[0]) if operator == ">" else int(value) < int(values[0])


@given(terms=st.lists(TERMS, max_size=4), labels=LABELS, space=SPACE)
def test_printed_selector_matches_what_it_says(terms: list[Term], labels: dict[str, str], space: str) -> None:
    text = ",".join(printed(term, space) for term in terms)
    parsed = parse_labels(text)
    assert len(parsed) == len(terms)
    assert all(one.matches(labels) for one in parsed) == all(matches(term, labels) for term in terms), text


@given(
    st.lists(
        st.sampled_from(("a", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", "<", ">", "1", " ")),
        max_size=8,
    )
)
def test_any_tokens_are_parsed_or_refused(tokens: list[str]) -> None:
    code = 400
    try:
        assert all(one.matches({"a": "1"}) in (True, False) for one in parse_labels("".join(tokens)))
    except StatusError as error:
        code = error.code
    assert code == 400
