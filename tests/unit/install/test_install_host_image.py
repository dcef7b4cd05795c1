"""What the host image brings to launchers: libvirt's records where they look for them, at any time."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevirt.install.standalone import capabilities, host_image
from edgevirt.install.standalone.layout import Layout
from edgevirt.virt_launcher.settings import Settings as LauncherSettings

pytestmark = pytest.mark.unit


def test_records_made_after_the_kubelet_took_the_layer_reach_launchers(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    image = host_image.prepare(layout)

    bound = {target: Path(source) for source, target in image.binds}
    looked_for = LauncherSettings.__dataclass_fields__["capabilities_dir"].default
    source = bound[str(looked_for)]

    assert source == layout.capabilities
    assert source.is_dir()
    assert not source.is_relative_to(image.layer)


def test_records_let_libvirt_ask_for_the_cpu_in_few_questions() -> None:
    record = b"<qemuCaps>\n  <flag name='kvm'/>\n  <flag name='cpu-unavailable-features'/>\n</qemuCaps>\n"

    assert capabilities.brisk(record) == b"<qemuCaps>\n  <flag name='kvm'/>\n</qemuCaps>\n"


def test_a_record_of_a_libvirt_that_never_asks_so_stays_as_it_is() -> None:
    record = b"<qemuCaps>\n  <flag name='kvm'/>\n</qemuCaps>\n"

    assert capabilities.brisk(record) == record
