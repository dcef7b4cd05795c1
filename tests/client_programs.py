"""Where scripts/setup-clients has put the clients that tests run: programs and libraries not of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENTS = ROOT / ".cache/clients"
KUBECTL_VERSIONS = ("1.20", "1.36", "1.37")
"""Debian's, the one that comes with Helm, and the newest."""
HELM_VERSION = "4.2"


def kubectl(version: str) -> Path:
    return _there(CLIENTS / "bin" / f"kubectl-{version}")


def helm() -> Path:
    return _there(CLIENTS / "bin/helm")


def python(environment: str) -> Path:
    """The interpreter of one of the environments beside this one: `libraries` or `wrapper`."""
    return _there(CLIENTS / environment / "bin/python")


def node_modules() -> Path:
    return _there(CLIENTS / "javascript/node_modules")


def _there(path: Path) -> Path:
    if not path.exists():
        pytest.fail(f"{path.relative_to(ROOT)} is missing: make setup-clients", pytrace=False)
    return path
