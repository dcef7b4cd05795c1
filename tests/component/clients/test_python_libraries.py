"""Client libraries for Python, each a program of its own in an environment that has nothing of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from busybox_pod import IMAGE
from client_process import Client

import client_programs

pytestmark = pytest.mark.component

PROGRAMS = Path(__file__).with_name("programs")


def finishes(shell: Client, environment: str, program: str, *arguments: str) -> None:
    done = shell.run(client_programs.python(environment), PROGRAMS / f"{program}.py", *arguments, seconds=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n"), done.stdout + done.stderr


@pytest.mark.client(
    "kubernetes",
    "typed: objects, pages, patches, errors, logs, tokens, reviews, both kinds of events, YAML",
)
def test_the_official_client_works(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "kubernetes_typed", namespace, IMAGE)


@pytest.mark.client("kubernetes", "watch: from a list, resumed, by selector, from any state, ended by time")
def test_the_official_client_watches(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "kubernetes_watch", namespace)


@pytest.mark.client(
    "kubernetes", "dynamic: discovery, server-side apply with conflicts, custom kinds, status, scale"
)
def test_the_official_dynamic_client_works(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "kubernetes_dynamic", namespace, f"{namespace}.example.com")


@pytest.mark.client("kubernetes", "leader election with config maps and leases")
def test_the_official_client_elects_leaders(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "kubernetes_leader", namespace)


@pytest.mark.client(
    "kubernetes-asyncio", "objects, patches, apply, pages, concurrent writes, watch, dynamic client"
)
def test_the_asyncio_client_works(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "asyncio_client", namespace)


@pytest.mark.client(
    "lightkube", "objects, patches, apply with conflicts, pages, wait, watch, logs, exec, custom kinds"
)
def test_lightkube_works(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "lightkube_client", namespace, IMAGE)


@pytest.mark.client("kr8s", "objects, patches, selectors, labels, wait, watch, logs, exec, custom kinds")
def test_kr8s_works(shell: Client, namespace: str) -> None:
    finishes(shell, "libraries", "kr8s_client", namespace, IMAGE)


@pytest.mark.client("openshift-python-wrapper", "VirtualMachine: deploy, status, edit, list, clean up")
def test_the_wrapper_handles_machines(shell: Client, namespace: str) -> None:
    finishes(shell, "wrapper", "wrapper_machine", namespace)
