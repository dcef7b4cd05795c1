from __future__ import annotations

from pathlib import Path

import pytest

from edgevirt.engine.kubelet.accounting import Usage, of_group, of_node
from edgevirt.engine.kubelet.cgroups import Hierarchies

pytestmark = pytest.mark.unit


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_unified_groups_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a/pod1/cpu.stat": "usage_usec 1500\nuser_usec 1\n",
            "a/pod1/memory.current": "5000\n",
            "a/pod1/memory.stat": "anon 1\ninactive_file 2000\n",
        },
    )
    assert of_group(Hierarchies({}, None, tmp_path), "/a/pod1") == Usage(1_500_000, 3000)


def test_groups_of_version_1_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "cpu/a/pod1/cpuacct.usage": "77\n",
            "memory/a/pod1/memory.usage_in_bytes": "5000\n",
            "memory/a/pod1/memory.stat": "inactive_file 1\ntotal_inactive_file 6000\n",
        },
    )
    hierarchies = Hierarchies({"cpuacct": tmp_path / "cpu", "memory": tmp_path / "memory"}, None, None)
    assert of_group(hierarchies, "/a/pod1") == Usage(77, 0)


def test_a_group_that_is_gone_has_no_usage(tmp_path: Path) -> None:
    assert of_group(Hierarchies({}, None, tmp_path), "/a/pod1") is None


def test_the_node_counts_what_it_worked_and_what_it_cannot_give_back(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "stat": "cpu  100 10 50 9999 888 3 7 55 20 0\ncpu0 1 1 1 1\n",
            "meminfo": "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 100 kB\n",
        },
    )
    assert of_node(tmp_path) == Usage(170 * 10_000_000, 600 << 10)
