"""Building: one at a time, nothing half-made, errors that say what to do."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgevirt.storage.guests import debian, packages, tools
from edgevirt.storage.guests.build import GUESTS, GuestImage, build, built
from edgevirt.storage.guests.sources import Source, parse_settings, parse_targets
from edgevirt.storage.guests.tools import BuildError, require, run

pytestmark = pytest.mark.unit

# The package offers the function of the same name, which hides the module.
build_module = sys.modules["edgevirt.storage.guests.build"]


def _writes(content: bytes) -> GuestImage:
    def make(output: Path, work: Path, scratch: Path) -> None:
        (scratch / "in-progress").write_bytes(b"x")
        output.write_bytes(content)

    return GuestImage("fake", "a stand-in", "1Mi", 1, make)


@pytest.fixture(autouse=True)
def as_root_with_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(build_module, "refresh_lists_if_empty", lambda: None)


def test_disk_is_lent_and_nothing_of_the_build_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUESTS, "fake", _writes(b"disk"))
    with built("fake", tmp_path) as disk:
        assert disk.read_bytes() == b"disk"
        assert [path.name for path in disk.parent.iterdir()] == ["fake.qcow2"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_failed_build_leaves_neither_output_nor_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(output: Path, work: Path, scratch: Path) -> None:
        output.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(GUESTS, "fake", GuestImage("fake", "", "1Mi", 1, make))
    with pytest.raises(BuildError, match=r"disk is full below .*free some space"):
        build("fake", tmp_path / "out.qcow2", tmp_path / "work")
    assert not (tmp_path / "out.qcow2").exists()
    assert list((tmp_path / "work/scratch").iterdir()) == []


def test_next_build_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUESTS, "fake", _writes(b"disk"))
    stale = tmp_path / "scratch/dead/root/etc"
    stale.mkdir(parents=True)
    build("fake", tmp_path / "out.qcow2", tmp_path)
    assert not (tmp_path / "scratch/dead").exists()
    assert (tmp_path / "out.qcow2").read_bytes() == b"disk"


def test_second_build_waits_until_the_first_one_s_disk_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GUESTS, "fake", _writes(b"disk"))
    waiting = threading.Event()
    second: list[bytes] = []

    def build_second() -> None:
        with built("fake", tmp_path, say=lambda words: waiting.set() if "waiting" in words else None) as disk:
            second.append(disk.read_bytes())

    thread = threading.Thread(target=build_second)
    with built("fake", tmp_path) as disk:
        thread.start()
        assert waiting.wait(10)
        assert disk.exists()
        assert second == []
    thread.join(10)
    assert second == [b"disk"]


def test_too_little_space_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GUESTS, "fake", GuestImage("fake", "", "1Mi", 1 << 40, lambda *_: None))
    with pytest.raises(BuildError, match=r"needs 1099511627776 MiB of free space in .*free some"):
        build("fake", tmp_path / "out.qcow2", tmp_path)


def test_unknown_guest_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no guest 'alpine' to build; known: debian, tiny, tiny-pc"):
        build("alpine", tmp_path / "out", tmp_path)


def test_without_root_a_build_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="run it with sudo"):
        build("tiny", tmp_path / "out", tmp_path)


def test_all_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tools.shutil, "which", lambda tool, path: None if tool in ("mcopy", "sgdisk") else tool
    )
    with pytest.raises(BuildError, match="mcopy, sgdisk are not installed: apt-get install gdisk mtools"):
        require("cpio", "mcopy", "sgdisk")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("E: Could not resolve 'deb.example'", "network and DNS"),
        ("W: Temporary failure resolving 'deb.example'", "network and DNS"),
        ("E: 404  Not Found [IP: 192.0.2.1 80]", "apt-get update"),
        ("write error: No space left on device", "free some disk space"),
    ],
)
def test_failure_of_a_tool_says_what_to_do(words: str, advice: str) -> None:
    with pytest.raises(BuildError, match=f"(?s)sh failed with exit code 3: .*What to do: .*{advice}"):
        run(["sh", "-c", 'echo "$1" >&2; exit 3', "sh", words])


def test_tool_past_its_deadline_is_ended_with_its_children(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    # The child holds the FIFO's writing end; its end of file tells that the child is gone.
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(BuildError, match="did not end within"):
            run(["sh", "-c", 'sleep 60 >"$1" & wait', "sh", held], deadline=0.5)
        select.select([reader], [], [], 20)  # killed is not gone: the kernel closes its files a moment later
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("number", "status", "scratch"),
    [(signal.SIGINT, 130, 0), (signal.SIGKILL, -signal.SIGKILL, 1)],
    ids=["interrupted", "killed"],
)
def test_ended_build_leaves_no_tool_running(
    tmp_path: Path, number: signal.Signals, status: int, scratch: int
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    program = f"""
import os, sys
from pathlib import Path
import edgevirt.storage.guests
b = sys.modules["edgevirt.storage.guests.build"]
from edgevirt.storage.guests.tools import run
os.geteuid = lambda: 0
b.refresh_lists_if_empty = lambda: None
def make(output, work, scratch):
    run(["sh", "-c", "echo started > {held}; exec sleep 60 > {held}"])
b.GUESTS["fake"] = b.GuestImage("fake", "", "1Mi", 1, make)
try:
    b.build("fake", Path("{tmp_path}/out"), Path("{tmp_path}/work"))
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    with held.open("rb") as reader:
        assert reader.readline() == b"started\n"
        process.send_signal(number)
        assert process.wait(30) == status
        assert reader.read() == b""
    # What a killed build leaves there is removed by the next one.
    assert len(list((tmp_path / "work/scratch").iterdir())) == scratch
    assert not (tmp_path / "out").exists()


def test_killed_debian_build_leaves_no_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # mmdebstrap in the machine's own mount namespace left /proc and /sys mounted below the scratch directory.
    commands: list[list[str]] = []
    monkeypatch.setattr(debian, "run", lambda arguments, **_: commands.append([str(a) for a in arguments]))
    monkeypatch.setattr(
        debian, "debian_sources", lambda: (Source("http://deb.example", "bookworm", ("main",)),)
    )
    monkeypatch.setattr(debian, "fetch_settings", lambda: "")
    debian._install(tmp_path / "root", tmp_path, tmp_path)
    (command,) = commands
    before = command[: command.index("mmdebstrap")]
    assert before[0] == "unshare"
    assert {"--mount", "--propagation=private", "--pid", "--kill-child"} <= set(before)


class FakeApt:
    """apt and dpkg as far as trees need them."""

    def __init__(self, versions: dict[str, str]) -> None:
        self.versions = versions
        self.in_archive = dict(versions)
        self.fetched: list[str] = []
        self.updates = 0

    def run(
        self, arguments: list[str | Path], *, directory: Path | None = None, deadline: float = 0
    ) -> bytes:
        match [str(argument) for argument in arguments]:
            case ["apt-cache", "policy", *names]:
                known = (name for name in names if name in self.versions)
                return "".join(f"{n}:\n  Candidate: {self.versions[n]}\n" for n in known).encode()
            case ["apt-get", "download", "-q", wanted]:
                name, _, version = wanted.partition("=")
                if self.in_archive.get(name) != version:
                    raise BuildError("404  Not Found")
                assert directory is not None
                (directory / f"{name}_{version.replace(':', '%3a')}_amd64.deb").write_text(version)
                self.fetched.append(wanted)
            case ["apt-get", "update", *_]:
                self.updates += 1
                self.versions = dict(self.in_archive)
            case ["dpkg-deb", "--extract", archive, into]:
                (Path(into) / Path(archive).name.partition("_")[0]).write_text(Path(archive).read_text())
            case other:
                raise AssertionError(other)
        return b""


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    fake = FakeApt({"grub": "1:2.06", "shim": "15"})
    monkeypatch.setattr(packages, "run", fake.run)
    return fake


def test_second_use_of_a_tree_fetches_nothing(tmp_path: Path, apt: FakeApt) -> None:
    first = packages.tree("loaders", ["grub", "shim"], tmp_path)
    assert sorted(path.name for path in first.iterdir()) == ["grub", "shim"]
    assert packages.tree("loaders", ["grub", "shim"], tmp_path) == first
    assert apt.fetched == ["grub=1:2.06", "shim=15"]


def test_tree_interrupted_midway_is_made_anew(tmp_path: Path, apt: FakeApt) -> None:
    def fail(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packages.tree("loaders", ["grub"], tmp_path, fail)
    whole = packages.tree("loaders", ["grub"], tmp_path, lambda part: (part / "finished").touch())
    assert (whole / "finished").exists()
    assert [path.name for path in (tmp_path / "trees").iterdir()] == [whole.name]


def test_new_version_replaces_the_old_archive_and_tree(tmp_path: Path, apt: FakeApt) -> None:
    packages.tree("loaders", ["shim"], tmp_path)
    apt.versions["shim"] = apt.in_archive["shim"] = "16"
    assert (packages.tree("loaders", ["shim"], tmp_path) / "shim").read_text() == "16"
    assert len(list((tmp_path / "trees").iterdir())) == 1
    assert [path.name for path in (tmp_path / "archives").glob("*.deb")] == ["shim_16_amd64.deb"]


def test_old_package_lists_are_refreshed_once(tmp_path: Path, apt: FakeApt) -> None:
    apt.in_archive["shim"] = "16"
    assert (packages.tree("loaders", ["shim"], tmp_path) / "shim").read_text() == "16"
    assert apt.updates == 1


def test_unknown_package_is_an_error_that_names_it(tmp_path: Path, apt: FakeApt) -> None:
    with pytest.raises(BuildError, match="apt knows no package nonesuch"):
        packages.tree("loaders", ["grub", "nonesuch"], tmp_path)


TARGETS = """\
http://deb.example/debian|bookworm|main|Debian|bookworm
http://deb.example/debian|bookworm|contrib|Debian|bookworm
http://deb.example/debian|bookworm|main|Debian|bookworm
http://user:word@sec.example/debian-security|bookworm-security|main|Debian|bookworm-security
http://deb.example/debian|bookworm-backports|main|Debian|bookworm-backports
https://vendor.example/apt|stable|main|Vendor|stable
"""


def test_only_debian_12_of_the_machine_s_sources_is_used() -> None:
    assert [source.line() for source in parse_targets(TARGETS)] == [
        "deb http://deb.example/debian bookworm main contrib\n",
        "deb http://user:word@sec.example/debian-security bookworm-security main\n",
    ]


def test_guest_gets_sources_without_passwords() -> None:
    source = Source("http://user:word@sec.example/debian", "bookworm", ("main",))
    assert source.public().line() == "deb http://sec.example/debian bookworm main\n"


@pytest.mark.parametrize("targets", ["", "http://x|trixie|main|Debian|trixie\n", TARGETS.split("\n", 3)[3]])
def test_machine_without_debian_12_sources_is_told_what_to_add(targets: str) -> None:
    with pytest.raises(BuildError, match=r"no Debian 12 \(bookworm\): add .*apt-get update"):
        parse_targets(targets)


def test_proxy_and_date_settings_are_taken_over_and_nothing_else() -> None:
    lines = [
        'Acquire "";',
        'Acquire::http "";',
        'Acquire::http::Proxy "http://cache.example:3142";',
        'Acquire::Check-Date "false";',
        'Acquire::IndexTargets::deb::Packages::MetaKey "x";',
        'APT::Update::Post-Invoke:: "rm -rf /x";',
    ]
    settings = parse_settings(lines).splitlines()
    assert settings[:2] == [
        'Acquire::http::Proxy "http://cache.example:3142";',
        'Acquire::Check-Date "false";',
    ]
    assert [line.split()[0] for line in settings[2:]] == ["Dir::Etc::netrc", "Dir::Etc::netrcparts"]
