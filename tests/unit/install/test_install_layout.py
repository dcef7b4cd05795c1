"""Where an instance's files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevirt.install.standalone.layout import Layout

pytestmark = pytest.mark.unit


def test_without_a_root_the_usual_directories_are_used() -> None:
    layout = Layout.from_environment({})
    assert str(layout.config_file) == "/etc/edgevirt/config.yaml"
    assert str(layout.run) == "/run/edgevirt"


def test_root_is_put_before_every_path() -> None:
    layout = Layout.from_environment({"EDGEVIRT_ROOT": "/srv/two"})
    paths = [layout.etc, layout.pki, layout.data, layout.store, layout.images, layout.run, layout.logs]
    assert all(path.is_relative_to("/srv/two") for path in paths)


def test_relative_root_is_refused() -> None:
    with pytest.raises(ValueError, match="must be an absolute path"):
        Layout.from_environment({"EDGEVIRT_ROOT": "here"})


def test_keys_and_kubeconfigs_are_in_directories_only_the_owner_can_enter(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    layout.create()
    for directory in (layout.pki, layout.etc / "kubeconfig", layout.store, layout.handler_state):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_wrong_modes_are_put_right(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    layout.pki.chmod(0o777)
    layout.create()
    assert layout.pki.stat().st_mode & 0o777 == 0o700
