"""What is looked at before anything is started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from edgevirt.install.standalone import preflight
from edgevirt.install.standalone.config import Config

pytestmark = pytest.mark.unit


def words(problems: list[preflight.Problem]) -> str:
    return "\n".join(f"{problem.words} | {problem.next_step}" for problem in problems)


def test_without_root_that_is_the_only_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    found = preflight.check(Config(), tmp_path)
    assert [problem.next_step for problem in found] == ["sudo edgevirt up"]


def test_missing_packages_are_named_in_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PROGRAMS", {"no-such-program": "one", "no-other": "two", "sh": "dash"})
    monkeypatch.setattr(preflight, "FILES", {Path("/no/such/file"): "three"})
    assert words(preflight._packages()) == (
        "these packages are missing: one three two | apt-get install one three two"
    )


def test_full_disk_is_found_before_the_directory_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "MIN_FREE_BYTES", 1 << 60)
    found = preflight._disk(tmp_path / "not" / "there")
    assert "MiB free" in words(found)
    assert f"df -h {tmp_path}" in words(found)


def test_every_taken_port_is_named_with_its_option() -> None:
    with socket.socket() as one, socket.socket() as two:
        for taken in (one, two):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = [taken.getsockname()[1] for taken in (one, two)]
        settings = msgspec.structs.replace(Config(), kubelet_port=ports[0], virt_handler_port=ports[1])
        found = words(preflight._ports(settings))
    assert f"127.0.0.1:{ports[0]} (kubeletPort) cannot be used: Address already in use" in found
    assert "edgevirt up --kubelet-port N" in found
    assert "edgevirt up --virt-handler-port N" in found


def test_address_of_another_machine_is_told_from_a_taken_port() -> None:
    found = words(preflight._ports(msgspec.structs.replace(Config(), api_address="198.51.100.7")))
    assert "198.51.100.7 (apiAddress) is no address of this machine" in found


def test_interface_that_is_no_bridge_is_not_taken_for_ours() -> None:
    found = words(preflight._network(msgspec.structs.replace(Config(), bridge="lo")))
    assert "lo already, and it is not a bridge" in found


HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("route", "subnet", "overlaps"),
    [
        ("eth0\t0000F40A\t0\t1\t0\t0\t0\t00FFFFFF", "10.244.0.0/24", True),
        ("eth0\t0000000A\t0\t1\t0\t0\t0\t000000FF", "10.244.0.0/24", True),
        ("evtest9\t0000F40A\t0\t1\t0\t0\t0\t00FFFFFF", "10.244.0.0/24", False),
        ("eth0\t0001F40A\t0\t1\t0\t0\t0\t00FFFFFF", "10.244.0.0/24", False),
        ("eth0\t00000000\t0100000A\t3\t0\t0\t0\t00000000", "10.244.0.0/24", False),
    ],
    ids=["the-same", "a-larger-one", "our-own-bridge", "a-neighbour", "the-default-route"],
)
def test_pod_subnet_that_is_somebody_elses_is_refused(
    tmp_path: Path, route: str, subnet: str, overlaps: bool
) -> None:
    table = tmp_path / "route"
    table.write_text(HEADER + route + "\n")
    settings = msgspec.structs.replace(Config(), bridge="evtest9", pod_subnet=subnet)
    found = words(preflight._network(settings, table))
    assert ("overlaps with" in found) is overlaps
    assert ("--pod-subnet" in found) is overlaps
