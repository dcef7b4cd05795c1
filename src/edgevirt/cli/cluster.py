"""Which cluster a command talks to, and talking to it from a command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from edgevirt.cli import instance
from edgevirt.cli.errors import CommandError

if TYPE_CHECKING:
    from edgevirt.kube.client import Client

T = TypeVar("T")

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="Cluster to talk to. Default: $KUBECONFIG, else this machine's edgevirt, else ~/.kube/config.",
)
namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="Namespace.")


def find_kubeconfig(given: Path | None) -> Path:
    """The kubeconfig to use. Raises CommandError if there is none."""
    if given is not None:
        if not given.exists():
            raise CommandError(f"there is no kubeconfig {given}", "give the path of one: --kubeconfig PATH")
        return given
    # Like kubectl: files that do not exist are skipped, and if all are, there is no falling back to others.
    listed = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    candidates = listed or [
        instance.layout().admin_kubeconfig,
        Path.home() / ".kube/config",
    ]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    if listed:
        raise CommandError(f"$KUBECONFIG names {listed[0]}, which does not exist", "unset KUBECONFIG")
    raise CommandError(
        "no cluster is known here: edgevirt was never started on this machine and $KUBECONFIG is not set",
        "edgevirt up",
    )


def run(kubeconfig: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do `work` with a client; errors of the cluster become errors of the command."""

    from edgevirt.kube import errors
    from edgevirt.kube.client import Client

    path = find_kubeconfig(kubeconfig)
    if not os.access(path, os.R_OK):
        raise CommandError(f"you may not read the kubeconfig {path}", "run the same command with sudo")

    async def connected() -> T:
        async with Client.from_kubeconfig(path, user_agent="edgevirt") as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except errors.ConnectionFailed as error:
        raise CommandError(f"the API server does not answer: {error}", "edgevirt status") from error
    except errors.ConfigError as error:
        raise CommandError(f"{path} cannot be used: {error}", "give another: --kubeconfig PATH") from error
    except errors.ApiError as error:
        raise CommandError(error.message) from error
