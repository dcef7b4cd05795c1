"""The command line itself: help is quick, errors and exit codes are right, output is what was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgevirt.cli.main import COMMANDS, cli
from edgevirt.cli.output import table

pytestmark = pytest.mark.unit

HEAVY = ("aiohttp", "asyncio", "cryptography", "msgspec", "ssl", "yaml", "uvloop", "rich")


def run(*arguments: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from edgevirt.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(root), "EDGEVIRT_ROOT": str(root), **environment},
        check=False,
    )


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    seen = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "sys.argv = ['edgevirt', '--help']\n"
            "from edgevirt.cli.main import cli\n"
            "cli.main(standalone_mode=False)\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert seen.stdout.splitlines()[-1] == "[]"
    assert all(command in seen.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_loads_and_has_the_help_that_the_list_shows(command: str) -> None:
    loaded = cli.get_command(None, command)  # type: ignore[arg-type]
    assert loaded is not None
    assert loaded.help
    assert loaded.help.splitlines()[0].split(".")[0] in COMMANDS[command][1] + loaded.help


def test_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    done = run("fly", root=tmp_path)
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr
    assert done.stdout == ""


def test_unknown_option_is_wrong_usage(tmp_path: Path) -> None:
    assert run("up", "--no-such", root=tmp_path).returncode == 2


def test_port_out_of_range_is_wrong_usage(tmp_path: Path) -> None:
    done = run("up", "--api-port", "70000", root=tmp_path)
    assert done.returncode == 2
    assert "70000 is not in the range" in done.stderr


def test_error_goes_to_stderr_with_the_next_step(tmp_path: Path) -> None:
    done = run("start", "demo", root=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("edgevirt: no cluster is known here")
    assert "\n  next: " in done.stderr


def test_relative_root_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    for command in ("up", "down", "status"):
        done = run(command, root=tmp_path, EDGEVIRT_ROOT="here")
        assert done.returncode == 1
        assert "must be an absolute path" in done.stderr
        assert "Traceback" not in done.stderr


def test_kubeconfig_of_the_environment_that_is_missing_is_named(tmp_path: Path) -> None:
    done = run("start", "demo", root=tmp_path, KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr


def test_kubeconfig_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("- 1")
    done = run("start", "demo", "--kubeconfig", str(bad), root=tmp_path)
    assert done.returncode == 1
    assert str(bad) in done.stderr
    assert "Traceback" not in done.stderr


def test_status_of_nothing_is_unhealthy_and_says_what_to_do(tmp_path: Path) -> None:
    done = run("status", root=tmp_path)
    assert done.returncode == 1
    assert "control-plane: not running\nnode: not running\nnext: edgevirt up" in done.stdout
    told = json.loads(run("status", "-o", "json", root=tmp_path).stdout)
    assert told["healthy"] is False
    assert told["next"] == "edgevirt up"


def test_same_result_in_every_form(tmp_path: Path) -> None:
    as_json = json.loads(run("version", "-o", "json", root=tmp_path).stdout)
    as_yaml = yaml.safe_load(run("version", "-o", "yaml", root=tmp_path).stdout)
    assert as_json == as_yaml
    assert run("version", root=tmp_path).stdout == f"edgevirt {as_json['version']}\n"


def test_reader_that_has_seen_enough_is_no_crash(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", "from edgevirt.cli.main import main; main()", "version"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody else")
@pytest.mark.parametrize("arguments", [("up",), ("down",), ("image", "list"), ("image", "build", "tiny")])
def test_without_root_the_command_says_so_and_makes_nothing(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    root = tmp_path / "root"
    done = subprocess.run(
        [sys.executable, "-c", "from edgevirt.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "EDGEVIRT_ROOT": str(root)},
        check=False,
    )
    assert done.returncode == 1
    assert "root" in done.stderr
    assert "next: " in done.stderr
    assert "sudo" in done.stderr
    assert not root.exists()


def test_table_has_columns_as_wide_as_their_widest_cell() -> None:
    assert table(("NAME", "X"), [("a", "1"), ("longer", "2")]) == "NAME     X\na        1\nlonger   2"
