"""One edgevirt for the session, as `edgevirt up` composes it, and clients with its admin kubeconfig.

Every test gets a namespace of its own, so the clients' leftovers do not meet.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from busybox_pod import IMAGE, SERVER, pod
from client_process import Client, Kubectl, environment

import client_programs
from busybox_image import busybox_image
from live_instance import Instance
from live_traces import traces


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    if os.geteuid() != 0:
        pytest.fail("the client tests start pods, which needs root: sudo make test-component")
    instance = Instance()
    try:
        instance.up()
        instance.edgevirt(
            "image", "import", str(busybox_image(tmp_path_factory.mktemp("image") / "b")), IMAGE
        )
        yield instance
    finally:
        instance.up_if_down()
        instance.down()
        left = traces(instance)
        assert not left, f"edgevirt down left behind: {left}"
        instance.remove()


@pytest.fixture(scope="session")
def homes(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where home directories lie, one per client: their caches of discovery live as long as the session."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture
def admin(instance: Instance, homes: Path) -> Kubectl:
    """A kubectl for what a test needs around it."""
    return Kubectl(
        client_programs.kubectl("1.37"), environment(instance.kubeconfig, homes / "admin"), "default"
    )


@pytest.fixture
def namespace(admin: Kubectl) -> Iterator[str]:
    """The name of an empty namespace; the next test does not wait for its end."""
    name = f"test-{secrets.token_hex(3)}"
    admin("create", "namespace", name)
    yield name
    admin("delete", "namespace", name, "--wait=false")


@pytest.fixture(params=client_programs.KUBECTL_VERSIONS)
def kubectl(request: pytest.FixtureRequest, instance: Instance, homes: Path, namespace: str) -> Kubectl:
    version: str = request.param
    home = homes / f"kubectl-{version}"
    return Kubectl(client_programs.kubectl(version), environment(instance.kubeconfig, home), namespace)


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace with a pod `web` that serves a page at 8080 and is Ready."""
    kubectl.create(pod("web", "sh", "-c", SERVER))
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    return kubectl


@pytest.fixture
def shell(instance: Instance, homes: Path) -> Client:
    """Any program with the kubeconfig in its environment."""
    return Client(("/usr/bin/env",), environment(instance.kubeconfig, homes / "shell"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    instance = getattr(item, "funcargs", {}).get("instance")
    if report.when == "call" and report.failed and isinstance(instance, Instance):
        report.sections.append(("logs", instance.logs()))
    return report
