"""The page of clients that work is what the tests say, and every test says something."""

from __future__ import annotations

import pytest

import clients_page

pytestmark = pytest.mark.unit


def test_the_page_is_what_make_docs_makes() -> None:
    assert (clients_page.ROOT / "docs/clients.md").read_text() == clients_page.page(), "run: make docs"


def test_every_test_of_a_client_says_what_it_exercises() -> None:
    assert clients_page.exercises()
    assert clients_page.unmarked() == []


def test_every_client_has_a_pinned_version() -> None:
    for exercise in clients_page.exercises():
        assert clients_page.version(exercise.client)
