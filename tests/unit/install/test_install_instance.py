"""Up and down as undertakings: they succeed or leave everything as it was, one at a time."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from edgevirt.install.standalone import config, instance, preflight, supervise
from edgevirt.install.standalone.layout import Layout

pytestmark = pytest.mark.unit

BOTH = ["control-plane", "node"]


@dataclasses.dataclass
class Processes:
    """Stands for the two processes; `calls` is what was done to them in order."""

    alive: dict[str, supervise.Running] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    failure: dict[str, Exception] = dataclasses.field(default_factory=dict)

    def running(self, layout: Layout, name: str) -> supervise.Running | None:
        return self.alive.get(name)

    def start(self, layout: Layout, name: str, deadline: float) -> int:
        self.calls.append(f"start {name}")
        layout.log_file(name).touch()
        if name in self.failure:
            layout.log_file(name).write_text("the reason\n")
            raise self.failure[name]
        self.alive[name] = supervise.Running(4711, ready=True)
        return 4711

    def stop(self, layout: Layout, name: str, deadline: float) -> bool:
        if name not in self.alive:
            return False
        self.calls.append(f"stop {name}")
        del self.alive[name]
        return True


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    found = Processes()
    for name in ("running", "start", "stop"):
        monkeypatch.setattr(supervise, name, getattr(found, name))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "check", lambda *a, **k: [])
    return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "root")


def files(layout: Layout) -> list[str]:
    return sorted(str(path.relative_to(layout.root)) for path in layout.root.rglob("*") if path.is_file())


def test_up_starts_the_control_plane_before_the_node(layout: Layout, processes: Processes) -> None:
    settings = instance.bring_up(layout, {"api_port": 7443})
    assert processes.calls == ["start control-plane", "start node"]
    assert config.load(layout.config_file) == settings
    assert settings.api_port == 7443


def test_up_of_what_runs_is_refused(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    with pytest.raises(instance.Problems, match="running already"):
        instance.bring_up(layout, {})
    assert list(processes.alive) == BOTH


def test_up_starts_only_what_is_dead(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    processes.stop(layout, "control-plane", 1)
    processes.calls.clear()
    instance.bring_up(layout, {})
    assert processes.calls == ["start control-plane"]


def test_up_ends_what_a_killed_up_left_unready(layout: Layout, processes: Processes) -> None:
    processes.alive["control-plane"] = supervise.Running(7, ready=False)
    instance.bring_up(layout, {})
    assert processes.calls == ["stop control-plane", "start control-plane", "start node"]


def test_failed_first_start_leaves_only_the_log_that_tells_why(layout: Layout, processes: Processes) -> None:
    processes.failure["node"] = supervise.ProcessError("no such luck")
    with pytest.raises(instance.Problems, match="no such luck"):
        instance.bring_up(layout, {})
    assert processes.alive == {}
    assert files(layout) == ["var/log/edgevirt/node.log"]


def test_refused_first_start_leaves_nothing_at_all(
    layout: Layout, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [preflight.Problem("one", "do this"), preflight.Problem("two", "do that")]
    monkeypatch.setattr(preflight, "check", lambda *a, **k: problems)
    with pytest.raises(instance.Problems) as refused:
        instance.bring_up(layout, {})
    assert refused.value.problems == tuple(problems)
    assert not layout.root.exists()


def test_failed_later_start_keeps_data_and_the_settings_of_before(
    layout: Layout, processes: Processes
) -> None:
    instance.bring_up(layout, {"api_port": 7443})
    (layout.store / "store.db").write_text("data")
    instance.take_down(layout, None, print)
    before = layout.config_file.read_bytes()
    processes.failure["control-plane"] = supervise.ProcessError("no")
    with pytest.raises(instance.Problems):
        instance.bring_up(layout, {"api_port": 8443})
    assert layout.config_file.read_bytes() == before
    assert (layout.store / "store.db").read_text() == "data"


def test_interrupted_start_is_undone(layout: Layout, processes: Processes) -> None:
    processes.failure["node"] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        instance.bring_up(layout, {})
    assert processes.alive == {}
    assert not layout.config_file.exists()


def test_failed_healing_does_not_stop_the_part_that_runs(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    processes.stop(layout, "node", 1)
    processes.failure["node"] = supervise.ProcessError("no")
    with pytest.raises(instance.Problems):
        instance.bring_up(layout, {})
    assert list(processes.alive) == ["control-plane"]


def test_full_disk_is_told_with_the_file_and_how_to_look(
    layout: Layout, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, settings: config.Config) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(config, "save", full)
    with pytest.raises(instance.Problems, match="No space left on device") as refused:
        instance.bring_up(layout, {})
    assert refused.value.problems[0].next_step == f"df -h {layout.config_file}"
    assert not layout.root.exists()


def test_only_one_command_works_on_an_instance_at_a_time(layout: Layout, processes: Processes) -> None:
    with instance.exclusive(layout), pytest.raises(instance.Problems, match="another `edgevirt up`"):
        instance.bring_up(layout, {})
    assert processes.calls == []
    assert layout.run.exists()
    instance.bring_up(layout, {})


def test_settings_do_not_change_under_a_running_part(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    processes.stop(layout, "node", 1)
    with pytest.raises(instance.Problems, match="cannot change while a part"):
        instance.bring_up(layout, {"bridge": "br9"})


def test_bridge_does_not_change_under_guests_that_were_kept(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    (layout.pods / "uid").mkdir(parents=True)
    instance.take_down(layout, None, print)
    with pytest.raises(instance.Problems, match="while there are pods"):
        instance.bring_up(layout, {"bridge": "br9"})
    assert instance.bring_up(layout, {"api_port": 7443}).api_port == 7443


def test_down_drains_then_stops_the_node_first(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {"node_name": "edge"})
    processes.calls.clear()
    stopped = instance.take_down(layout, lambda s: processes.calls.append(f"drain {s.node_name}"), print)
    assert processes.calls == ["drain edge", "stop node", "stop control-plane"]
    assert stopped == ["node", "control-plane"]
    assert not layout.run.exists()


def test_down_starts_a_dead_part_to_shut_guests_down_in_order(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})
    (layout.pods / "uid").mkdir(parents=True)
    processes.alive.clear()
    processes.calls.clear()
    said: list[str] = []
    instance.take_down(layout, lambda s: processes.calls.append("drain"), said.append)
    assert processes.calls == [
        "start control-plane",
        "start node",
        "drain",
        "stop node",
        "stop control-plane",
    ]
    assert [words.split()[0] for words in said] == BOTH


def test_down_that_cannot_drain_leaves_everything_running(layout: Layout, processes: Processes) -> None:
    instance.bring_up(layout, {})

    def stuck(settings: config.Config) -> None:
        raise RuntimeError("a guest does not end")

    with pytest.raises(RuntimeError):
        instance.take_down(layout, stuck, print)
    assert list(processes.alive) == BOTH


def test_down_of_nothing_makes_nothing(layout: Layout, processes: Processes) -> None:
    assert instance.take_down(layout, lambda s: None, print) == []
    assert not layout.root.exists()


def test_kept_guests_keep_the_run_directory_that_their_runtime_needs(
    layout: Layout, processes: Processes
) -> None:
    instance.bring_up(layout, {})
    (layout.pods / "uid").mkdir(parents=True)
    instance.take_down(layout, None, print)
    assert layout.run.exists()


def test_without_root_nothing_is_touched(
    layout: Layout, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    for work in (
        lambda: instance.bring_up(layout, {}),
        lambda: instance.take_down(layout, None, print),
    ):
        with pytest.raises(instance.Problems) as refused:
            work()
        assert refused.value.problems[0].next_step.startswith("sudo edgevirt")
    assert not layout.root.exists()
