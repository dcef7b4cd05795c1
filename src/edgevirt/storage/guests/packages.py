"""Debian packages fetched from the machine's own apt sources and unpacked into directories.

Nothing is installed on the machine and no maintainer script runs. Archives and unpacked trees are kept
below the work directory, named by their versions, so building again needs no network until a new version
is in the machine's package lists; what is superseded is removed. An archive or a tree has its final name
only when it is complete.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from edgevirt.storage.guests.tools import BuildError, run

CLOUD_KERNEL = "linux-image-cloud-amd64"
"""Debian's kernel for virtual machines: virtio only, and twice as fast to boot under emulation."""
FULL_KERNEL = "linux-image-amd64"
"""Debian's kernel with all drivers."""


def refresh_lists() -> None:
    """Run `apt-get update`. Raises BuildError, for one without a network."""
    run(["apt-get", "update", "-q", "--error-on=any"], deadline=300)


def refresh_lists_if_empty() -> None:
    """Run `apt-get update` once on a machine whose package lists were never fetched."""
    lists = Path("/var/lib/apt/lists")
    if not any(lists.glob("*_Packages*")):
        refresh_lists()


def kernel_package(metapackage: str) -> str:
    """The package behind a kernel's metapackage, e.g. linux-image-6.1.0-30-cloud-amd64."""
    shown = run(["apt-cache", "depends", "--important", metapackage]).decode()
    for line in shown.splitlines():
        word, _, package = line.strip().partition(": ")
        if word == "Depends" and package.startswith("linux-image-"):
            return package
    raise BuildError(
        f"apt knows no kernel behind {metapackage}: run 'apt-get update' and check the sources of apt"
    )


def tree(
    name: str, packages: Iterable[str], work: Path, finish: Callable[[Path], None] = lambda _: None
) -> Path:
    """The directory with `packages` unpacked (dependencies not followed), made if it is not there yet.

    `finish` completes a new tree before it gets its final name. Trees of the same `name` with other
    versions are removed. Raises BuildError.
    """
    wanted = tuple(packages)
    try:
        return _tree(name, candidate_versions(wanted), work, finish)
    except _FetchError:
        # Lists that are some weeks old name versions the archive has thrown away since.
        refresh_lists()
        return _tree(name, candidate_versions(wanted), work, finish)


def candidate_versions(packages: Iterable[str]) -> dict[str, str]:
    """What apt would install of each package. Raises BuildError for one that apt does not know."""
    wanted = tuple(packages)
    versions: dict[str, str] = {}
    current = ""
    for line in run(["apt-cache", "policy", *wanted]).decode().splitlines():
        if not line.startswith(" "):
            current = line.rstrip(":")
        word, _, version = line.strip().partition(": ")
        if word == "Candidate" and version != "(none)":
            versions[current] = version
    unknown = [package for package in wanted if package not in versions]
    if unknown:
        raise BuildError(
            f"apt knows no package {', '.join(unknown)}: run 'apt-get update' and check the sources of apt"
        )
    return versions


class _FetchError(BuildError):
    """An archive could not be fetched."""


def _tree(name: str, versions: dict[str, str], work: Path, finish: Callable[[Path], None]) -> Path:
    trees = work / "trees"
    identity = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()[:12]
    whole = trees / f"{name}-{identity}"
    if whole.exists():
        return whole
    part = trees / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for package, version in versions.items():
        run(["dpkg-deb", "--extract", _fetch(package, version, work / "archives"), part])
    finish(part)
    for outdated in trees.glob(f"{name}-*"):
        shutil.rmtree(outdated)
    part.rename(whole)
    return whole


def _fetch(package: str, version: str, archives: Path) -> Path:
    # apt writes the epoch's colon as %3a in file names.
    wanted = f"{package}_{version.replace(':', '%3a')}_*.deb"
    for found in archives.glob(wanted):
        return found
    part = archives / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        run(["apt-get", "download", "-q", f"{package}={version}"], directory=part, deadline=600)
    except BuildError as error:
        raise _FetchError(str(error)) from error
    for found in part.glob(wanted):
        for outdated in archives.glob(f"{package}_*.deb"):
            outdated.unlink()
        return found.rename(archives / found.name)
    raise BuildError(f"apt-get download {package} left no file {wanted}")
