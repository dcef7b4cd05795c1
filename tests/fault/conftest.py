"""The fault suite: an edgevirt of its own, whose processes are killed and which is taken down and up again.

It looks at the machine itself and so cannot run against a cluster from outside.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parents[1] / "component" / "apiserver"))

from live_cluster import Cluster, Namespace

from live_instance import IMAGE, Instance
from live_traces import traces


@pytest.fixture(scope="session")
def own_instance() -> Iterator[Instance]:
    if os.environ.get("EDGEVIRT_TEST_KUBECONFIG"):
        pytest.skip("the fault tests kill processes of this machine's edgevirt, not of another cluster")
    if os.geteuid() != 0:
        pytest.fail("the fault tests start guests, which needs root: sudo make test-fault")
    instance = Instance()
    try:
        instance.up()
        instance.provide_image()
        yield instance
    finally:
        instance.up_if_down()
        instance.down()
        left = traces(instance)
        assert not left, f"edgevirt down left behind: {left}"
        instance.remove()


@pytest.fixture
def instance(own_instance: Instance) -> Instance:
    """The instance, running."""
    own_instance.up_if_down()
    return own_instance


@pytest.fixture
def namespace(instance: Instance) -> Iterator[Namespace]:
    """An empty namespace, deleted with everything in it afterwards."""
    with Cluster(instance.kubeconfig, IMAGE, instance).namespace() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    found = getattr(item, "funcargs", {}).get("namespace")
    if report.when == "call" and report.failed and isinstance(found, Namespace):
        shown = found.kubectl("get", "vm,vmi,pods,events", "-o", "wide", check=False)
        report.sections.append((f"objects in {found.name}", shown.stdout + shown.stderr))
        report.sections.append(("logs", found.cluster.instance.logs()))
    return report
