"""Bringing the box up and taking it down, as one undertaking that succeeds or changes nothing.

Only one such undertaking runs at a time per instance: it holds a lock on the instance's run directory. What
a failed start had made, processes and files, is undone; what was there before stays as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from edgevirt.install.standalone import config, preflight, supervise
from edgevirt.install.standalone.layout import Layout

START_SECONDS = 90.0
"""What each of the two processes has to become ready."""
STOP_SECONDS = 30.0
"""What a process has to end after SIGTERM."""
_MOUNTS = Path("/proc/self/mountinfo")


class Problems(Exception):
    """Why nothing was done, each with what to do about it; there is at least one."""

    def __init__(self, *problems: preflight.Problem) -> None:
        super().__init__(problems[0].words)
        self.problems = problems


def bring_up(layout: Layout, given: Mapping[str, object]) -> config.Config:
    """Start whatever is not running; `given` are settings to change. Returns the settings in force.

    Raises Problems; then everything is as it was, except for a log that tells why a process failed.
    """
    _need_root("edgevirt makes namespaces, mounts and bridges, which needs root", "up")
    parents = _missing(layout, layout.run)
    try:
        with exclusive(layout):
            made = _missing(layout, layout.etc, layout.data, layout.logs)
            try:
                return _bring_up(layout, given)
            except BaseException:
                _remove(layout, made)
                raise
    except BaseException:
        for directory in parents:
            with contextlib.suppress(OSError):  # others use it too
                directory.rmdir()
        raise


def _bring_up(layout: Layout, given: Mapping[str, object]) -> config.Config:
    _end_unready(layout)
    running = [name for name in supervise.MODULES if supervise.running(layout, name) is not None]
    if len(running) == len(supervise.MODULES):
        raise Problems(preflight.Problem("edgevirt is running already", "edgevirt status"))
    kept, settings = _settings(layout, given)
    if running and settings != kept:
        raise Problems(
            preflight.Problem(
                "settings cannot change while a part of edgevirt is running",
                "edgevirt down, then edgevirt up again",
            )
        )
    if has_pods(layout) and _of_pods(settings) != _of_pods(kept):
        raise Problems(
            preflight.Problem(
                "node name, pod subnet, bridge and control group cannot change while there are pods",
                "edgevirt up without these options, then edgevirt down, which ends the pods, then again",
            )
        )
    problems = preflight.check(settings, layout.data, ports=not running)
    if problems:
        raise Problems(*problems)
    before = layout.config_file.read_bytes() if layout.config_file.exists() else None
    started: list[str] = []
    try:
        layout.create()
        config.save(layout.config_file, settings)
        for name in supervise.MODULES:
            if name not in running:
                started.append(name)
                supervise.start(layout, name, START_SECONDS)
    except BaseException as error:
        for name in reversed(started):
            supervise.stop(layout, name, STOP_SECONDS)
        _restore(layout.config_file, before)
        if isinstance(error, (supervise.ProcessError, OSError)):
            raise Problems(_explained(error)) from error
        raise
    return settings


def take_down(
    layout: Layout, drain: Callable[[config.Config], None] | None, say: Callable[[str], None]
) -> list[str]:
    """Empty the node with `drain` (None leaves the guests running), then stop both processes.

    A part that is dead is started again first if there are guests or links to clean up, which only an
    orderly end does; `say` is told so. Returns what was stopped. Raises Problems, and what `drain` raises.
    """
    _need_root("ending guests and removing bridges needs root", "down")
    if not layout.run.exists() and not has_pods(layout):
        return []
    with exclusive(layout):
        return _take_down(layout, drain, say)


def _take_down(
    layout: Layout, drain: Callable[[config.Config], None] | None, say: Callable[[str], None]
) -> list[str]:
    _end_unready(layout)
    running = {name for name in supervise.MODULES if supervise.running(layout, name) is not None}
    if drain is not None and (running or has_pods(layout)):
        kept, _ = _settings(layout, {})
        if has_pods(layout) or (Path("/sys/class/net") / kept.bridge).exists():
            for name in supervise.MODULES:
                if name not in running:
                    say(f"{name} is not running; starting it, so that the guests can be shut down in order")
                    _start_again(layout, name)
                    running.add(name)
        if len(running) == len(supervise.MODULES):
            drain(kept)
    try:
        stopped = [name for name in reversed(supervise.MODULES) if supervise.stop(layout, name, STOP_SECONDS)]
    except supervise.ProcessError as error:
        raise Problems(preflight.Problem(str(error), "edgevirt status")) from error
    if not has_pods(layout):
        _remove_tree(layout.run)
    return stopped


def _start_again(layout: Layout, name: str) -> None:
    try:
        layout.create()
        supervise.start(layout, name, START_SECONDS)
    except (supervise.ProcessError, OSError) as error:
        raise Problems(
            preflight.Problem(
                f"guests cannot be shut down in order, because {name} could not be started: {error}",
                "mend that, then edgevirt down; or stop edgevirt alone: edgevirt down --keep-guests",
            )
        ) from error


@contextlib.contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Hold the instance's lock while the block runs. Raises Problems if another command holds it."""
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(layout.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Problems(_explained(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_still(layout.run, descriptor):
            raise BlockingIOError
        yield
    except BlockingIOError as error:
        raise Problems(
            preflight.Problem(
                "another `edgevirt up` or `edgevirt down` is at work here",
                "wait until it has ended, then edgevirt status",
            )
        ) from error
    finally:
        os.close(descriptor)


def has_pods(layout: Layout) -> bool:
    """Whether pods of this or an earlier run are on the node."""
    return layout.pods.is_dir() and any(layout.pods.iterdir())


def _need_root(why: str, command: str) -> None:
    if os.geteuid() != 0:
        raise Problems(preflight.Problem(why, f"sudo edgevirt {command}"))


def _settings(layout: Layout, given: Mapping[str, object]) -> tuple[config.Config, config.Config]:
    """The settings that are kept, and those with `given` in them."""
    try:
        kept = config.load(layout.config_file)
        settings = msgspec.structs.replace(kept, **given)
        config.check(settings, config.OPTIONS)
    except config.ConfigError as error:
        raise Problems(preflight.Problem(str(error), error.next_step)) from error
    return kept, settings


def _of_pods(settings: config.Config) -> tuple[str, ...]:
    subnets = settings.pod_subnet, settings.service_subnet
    return settings.node_name, *subnets, settings.bridge, settings.cgroup


def _end_unready(layout: Layout) -> None:
    """End processes of an `up` that was killed: nobody else can be starting them while we hold the lock."""
    for name in reversed(supervise.MODULES):
        found = supervise.running(layout, name)
        if found is not None and not found.ready:
            supervise.stop(layout, name, STOP_SECONDS)


def _explained(error: Exception) -> preflight.Problem:
    words = f"edgevirt could not be started: {error}"
    if not isinstance(error, OSError) or not error.filename:
        return preflight.Problem(words, "mend that, then edgevirt up")
    words = f"edgevirt could not be started: {error.filename}: {error.strerror}"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return preflight.Problem(words, f"df -h {error.filename}" if full else f"ls -ld {error.filename}")


def _restore(path: Path, before: bytes | None) -> None:
    with contextlib.suppress(OSError):
        if before is None:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != before:
            path.write_bytes(before)


def _missing(layout: Layout, *directories: Path) -> list[Path]:
    """Those that do not exist, and their parents that do not either, the deepest first."""
    missing = {path for each in directories for path in (each, *each.parents) if not path.exists()}
    return sorted(missing, key=lambda path: len(path.parts), reverse=True)


def _remove(layout: Layout, made: list[Path]) -> None:
    """Remove what a failed start has made; a log with words in it stays. The lock must be held."""
    if all(supervise.running(layout, name) is None for name in supervise.MODULES) and not has_pods(layout):
        _remove_tree(layout.run)
    for directory in made:
        if directory in (layout.etc, layout.data):
            _remove_tree(directory)
        elif directory == layout.logs and directory.is_dir():
            for log in directory.iterdir():
                if log.stat().st_size == 0:
                    log.unlink()
        with contextlib.suppress(OSError):
            directory.rmdir()


def _remove_tree(directory: Path) -> None:
    """Remove it and what is in it; nothing at all if something is mounted below."""
    below = f"{directory}/"
    mounted = [line.split()[4] for line in _MOUNTS.read_text().splitlines()]
    if not any(point.startswith(below) for point in mounted):
        shutil.rmtree(directory, ignore_errors=True)


def _is_still(directory: Path, descriptor: int) -> bool:
    """Whether the path still means the directory that was opened; `down` removes it in the end."""
    try:
        return os.path.samestat(os.stat(directory), os.fstat(descriptor))
    except FileNotFoundError:
        return False
