"""Real child processes: pid files, reports, ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevirt.install.standalone import supervise
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.supervise import says_ready

pytestmark = pytest.mark.unit

NAME = "node"
PYTHON = sys.executable
HEAD = """
import asyncio, click, os, signal, sys
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.reporter import Reporter, run_until_told

@click.command()
@click.option("--report-fd", type=int)
def main(report_fd):
    layout = Layout.from_environment()
    reporter = Reporter(layout, "node", report_fd)
    {body}

main()
"""
GOOD = """
    async def work():
        reporter.ready()
        await asyncio.Event().wait()
    asyncio.run(run_until_told(work(), reporter))
"""
NEVER_READY = """
    async def work():
        if (layout.root / "waiting").exists():
            (layout.root / "waiting").write_text("waiting")
        await asyncio.Event().wait()
    asyncio.run(run_until_told(work(), reporter))
    (layout.root / "ended").touch()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.create()
    return found


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes a body of text the program that `start` runs."""

    def become(body: str) -> None:
        script = tmp_path / "program.py"
        script.write_text(HEAD.replace("{body}", body.strip()))
        runner = tmp_path / "python"
        runner.write_text(f'#!/bin/sh\nshift 2\nexec "{PYTHON}" "{script}" "$@"\n')
        runner.chmod(0o755)
        monkeypatch.setattr(supervise.sys, "executable", str(runner))

    return become


def reap(pid: int) -> None:
    os.waitpid(pid, 0)


def test_started_process_is_known_by_its_lock_and_stopped(
    layout: Layout, program: Callable[[str], None]
) -> None:
    program(GOOD)
    pid = supervise.start(layout, NAME, 20)
    assert supervise.running(layout, NAME) == supervise.Running(pid, ready=True)
    waiter = threading.Thread(target=reap, args=(pid,))
    waiter.start()
    assert supervise.stop(layout, NAME, 10)
    waiter.join(10)
    assert supervise.running(layout, NAME) is None
    assert not supervise.stop(layout, NAME, 1)


def test_second_process_says_that_the_first_is_running(
    layout: Layout, program: Callable[[str], None]
) -> None:
    program(GOOD)
    pid = supervise.start(layout, NAME, 20)
    try:
        with pytest.raises(supervise.ProcessError, match="node is running already"):
            supervise.start(layout, NAME, 20)
        assert supervise.running_pid(layout, NAME) == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        reap(pid)


@pytest.mark.parametrize("text", ["", "garbage\n", "1\n", f"{os.getpid()} ready\n", "99999999\n"])
def test_stale_pid_file_is_nobody(layout: Layout, text: str) -> None:
    supervise.pid_file(layout, NAME).write_text(text)
    assert supervise.running(layout, NAME) is None
    assert not supervise.stop(layout, NAME, 1)


def test_missing_run_directory_is_nobody(tmp_path: Path) -> None:
    assert supervise.running(Layout(tmp_path / "none"), NAME) is None


def test_failure_is_told_in_the_words_of_the_process(layout: Layout, program: Callable[[str], None]) -> None:
    program('reporter.fail("the moon is in the way")')
    with pytest.raises(supervise.ProcessError, match=r"^the moon is in the way$"):
        supervise.start(layout, NAME, 20)
    assert supervise.running(layout, NAME) is None


def test_crash_points_to_the_log_which_has_the_traceback(
    layout: Layout, program: Callable[[str], None]
) -> None:
    program('raise RuntimeError("boom")')
    with pytest.raises(supervise.ProcessError, match="exit code 1 before it was ready") as crashed:
        supervise.start(layout, NAME, 20)
    assert str(layout.log_file(NAME)) in str(crashed.value)
    assert "boom" in layout.log_file(NAME).read_text()


def test_process_that_is_not_ready_in_time_is_stopped(layout: Layout, program: Callable[[str], None]) -> None:
    program(NEVER_READY)
    with pytest.raises(supervise.ProcessError, match="was not ready after 1 s and was stopped"):
        supervise.start(layout, NAME, 1.0)
    assert supervise.running(layout, NAME) is None


def test_process_ignoring_sigterm_is_killed(layout: Layout, program: Callable[[str], None]) -> None:
    program(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    reporter.ready()\n    while True: signal.pause()"
    )
    pid = supervise.start(layout, NAME, 20)
    waiter = threading.Thread(target=reap, args=(pid,))
    waiter.start()
    assert supervise.stop(layout, NAME, 0.2)
    waiter.join(10)
    assert supervise.running(layout, NAME) is None


def test_process_ends_when_its_starter_was_killed_before_it_was_ready(
    layout: Layout, program: Callable[[str], None]
) -> None:
    program(NEVER_READY)
    os.mkfifo(layout.root / "waiting")
    starter = subprocess.Popen(
        [
            PYTHON,
            "-c",
            "import sys\n"
            "from pathlib import Path\n"
            "from edgevirt.install.standalone import supervise\n"
            "from edgevirt.install.standalone.layout import Layout\n"
            f"supervise.sys.executable = {supervise.sys.executable!r}\n"
            f"supervise.start(Layout(Path({str(layout.root)!r})), 'node', 60)\n",
        ]
    )
    try:
        assert (layout.root / "waiting").read_text() == "waiting"
        found = supervise.running(layout, NAME)
        assert found is not None
        assert not found.ready
        descriptor = os.pidfd_open(found.pid)
    finally:
        starter.kill()
        starter.wait()
    try:
        ended, _, _ = select.select([descriptor], [], [], 10)
    finally:
        os.close(descriptor)
    assert ended
    assert (layout.root / "ended").exists()


def test_asking_does_not_get_in_the_way_of_a_start(layout: Layout, program: Callable[[str], None]) -> None:
    program(GOOD)
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            supervise.running(layout, NAME)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        pid = supervise.start(layout, NAME, 20)
    finally:
        done.set()
        asker.join()
    os.kill(pid, signal.SIGKILL)
    reap(pid)


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        (b"17 ready\n", True),
        (b"17 ready since=2026 of-a-later-version\n", True),
        (b"17\n", False),
        (b"17 unready\n", False),
        (b"18 ready\n", False),
        (b"", False),
    ],
)
def test_pid_file_of_another_version_is_understood(text: bytes, ready: bool) -> None:
    assert says_ready(text, 17) is ready
