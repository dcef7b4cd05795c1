"""The edgevirt that is measured: where its kubeconfig, its logs and its two processes are."""

from __future__ import annotations

import os
from pathlib import Path

from edgevirt.install.standalone import supervise
from edgevirt.install.standalone.layout import Layout
from edgevirt.kube.client import Client


class BenchError(Exception):
    """The benchmark cannot be run; the text says what to do."""


def layout() -> Layout:
    return Layout.from_environment()


def client() -> Client:
    """A client with the administrator's rights, or those of $KUBECONFIG if that is set."""
    path = Path(os.environ.get("KUBECONFIG") or layout().admin_kubeconfig)
    if not path.exists():
        raise BenchError(f"there is no kubeconfig {path}; run: edgevirt up")
    return Client.from_kubeconfig(path, user_agent="edgevirt-bench")


def processes() -> dict[str, int]:
    """Pids of the two processes by name."""
    found: dict[str, int] = {}
    for name in supervise.MODULES:
        pid = supervise.running_pid(layout(), name)
        if pid is None:
            raise BenchError(f"the {name} process does not run; run: edgevirt up")
        found[name] = pid
    return found
