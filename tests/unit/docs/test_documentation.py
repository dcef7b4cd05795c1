"""The documentation says what is there: commands, options, dependencies, examples, links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from edgevirt.cli.main import COMMANDS, cli
from edgevirt.install.standalone import preflight
from edgevirt.install.standalone.config import Config
from edgevirt.virt_api import defaults
from edgevirt.virt_api.validation import check_machine

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.yaml"))
CLI = (ROOT / "docs/cli.md").read_text()
DEPENDENCIES = (ROOT / "docs/dependencies.md").read_text()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand with its full name."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield name, command


def options() -> Iterator[tuple[str, str]]:
    for name, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from ((name, option) for option in parameter.opts)


def identifier(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_documented(name: str) -> None:
    # Related commands share a heading: "edgevirt start, stop, restart".
    *group, last = name.split()
    heading = rf"^###? edgevirt {' '.join(group)}.*\b{last}\b"
    assert re.search(heading, CLI, re.MULTILINE), f"docs/cli.md has no section about edgevirt {name}"


@pytest.mark.parametrize(("command", "option"), sorted(set(options())))
def test_every_option_is_documented(command: str, option: str) -> None:
    assert re.search(rf"`{re.escape(option)}[` ]", CLI), f"docs/cli.md does not mention {option} of {command}"


def test_no_option_is_documented_that_does_not_exist() -> None:
    known = {option for _, option in options()} | {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)", CLI)) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_mentions_every_command(name: str) -> None:
    assert re.search(rf"`edgevirt {name}\b|`{name}`", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("key", [field.encode_name for field in msgspec.structs.fields(Config)])
def test_every_setting_is_documented(key: str) -> None:
    assert f"`{key}`" in CLI


def test_every_runtime_dependency_has_its_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0] for line in project["dependencies"]}
    table = DEPENDENCIES.split("## System packages")[0]
    cells = re.findall(r"^\| ([\w, -]+) \|", table, re.MULTILINE)
    rows = {name for cell in cells for name in cell.split(", ")} - {"package"}
    assert rows == wanted


def test_every_package_that_setup_installs_has_its_row() -> None:
    setup = (ROOT / "scripts/setup").read_text()
    needs = re.search(r"^needs=\((.*?)^\)", setup, re.MULTILINE | re.DOTALL)
    assert needs is not None
    installed = {line.strip().split(":")[0] for line in needs[1].split("\n") if line.strip()}
    missing = sorted(package for package in installed if not re.search(rf"\b{package}\b", DEPENDENCIES))
    assert missing == []


def test_setup_installs_what_the_preflight_asks_for() -> None:
    setup = (ROOT / "scripts/setup").read_text()
    asked = {*preflight.PROGRAMS.values(), *preflight.FILES.values()}
    assert sorted(package for package in asked if f"    {package}:" not in setup) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=identifier)
def test_example_is_admitted_without_a_word(path: Path) -> None:
    source = defaults.Source(
        new_uuid=lambda: "11111111-1111-1111-1111-111111111111", now=lambda: "2030-01-01T00:00:00Z"
    )
    machines: list[dict[str, Any]] = [
        document for document in yaml.safe_load_all(path.read_text()) if document["kind"] == "VirtualMachine"
    ]
    assert machines
    for machine in machines:
        machine["metadata"].setdefault("namespace", "default")
        assert check_machine(defaults.machine(machine, None, source), None) == []


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        *EXAMPLES,
        *sorted(ROOT.glob("scripts/*")),
        *sorted(ROOT.glob("src/**/*.py")),
        ROOT / "Makefile",
        ROOT / "requirements.txt",
        ROOT / "requirements-dev.txt",
    ],
    ids=identifier,
)
def test_no_path_or_address_of_somebodys_machine(path: Path) -> None:
    text = path.read_text()
    found = re.findall(r"/home/\w+|/Users/\w+|/root/\w+|--(?:extra-)?index-url \S+", text)
    assert found == []
