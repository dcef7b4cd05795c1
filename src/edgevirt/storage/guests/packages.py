"""Debian packages fetched from the machine's own apt sources and unpacked into a directory.

Nothing is installed on the machine and no maintainer script runs. Archives are kept in the work
directory's `archives`, so building again needs no network while the versions stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgevirt.storage.guests.tools import BuildError, run

KERNEL_METAPACKAGE = "linux-image-cloud-amd64"


def refresh_lists_if_empty() -> None:
    """Run `apt-get update` once on a machine whose package lists were never fetched."""
    lists = Path("/var/lib/apt/lists")
    if not any(lists.glob("*_Packages*")):
        run(["apt-get", "update", "-q"], deadline=300)


def kernel_package() -> str:
    """The package that carries the current cloud kernel, e.g. linux-image-6.1.0-30-cloud-amd64."""
    shown = run(["apt-cache", "depends", "--important", KERNEL_METAPACKAGE]).decode()
    for line in shown.splitlines():
        word, _, package = line.strip().partition(": ")
        if word == "Depends" and package.startswith("linux-image-"):
            return package
    raise BuildError(
        f"apt knows no kernel behind {KERNEL_METAPACKAGE}: run 'apt-get update' and check the sources of apt"
    )


def unpack(packages: Iterable[str], into: Path, archives: Path) -> None:
    """Fetch `packages` (names, dependencies not followed) and unpack them below `into`."""
    archives.mkdir(parents=True, exist_ok=True)
    into.mkdir(parents=True, exist_ok=True)
    for package in packages:
        archive = _fetch(package, archives)
        run(["dpkg-deb", "--extract", archive, into])


def _fetch(package: str, archives: Path) -> Path:
    candidate = _candidate_version(package)
    # apt writes the epoch's colon as %3a in file names.
    wanted = f"{package}_{candidate.replace(':', '%3a')}_*.deb"
    if not any(archives.glob(wanted)):
        run(["apt-get", "download", "-q", f"{package}={candidate}"], directory=archives, deadline=300)
    found = sorted(archives.glob(wanted))
    if not found:
        raise BuildError(f"apt-get download {package} left no file {wanted}")
    return found[-1]


def _candidate_version(package: str) -> str:
    for line in run(["apt-cache", "policy", package]).decode().splitlines():
        word, _, version = line.strip().partition(": ")
        if word == "Candidate" and version != "(none)":
            return version
    raise BuildError(f"apt knows no package {package}: run 'apt-get update' and check the sources of apt")
