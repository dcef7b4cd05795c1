"""The system suite: real guests, through a kubeconfig, kubectl and the edgevirt command only.

By default against an edgevirt that is started for the session and must leave nothing behind; with
`EDGEVIRT_TEST_KUBECONFIG` against the cluster of that file, with `EDGEVIRT_TEST_IMAGE` as the tiny guest's
image. Tests that look at the machine itself take the fixture `instance` and are skipped there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_cluster import Cluster, Namespace

from live_instance import IMAGE, Instance
from live_traces import traces

KUBECONFIG_VARIABLE = "EDGEVIRT_TEST_KUBECONFIG"
IMAGE_VARIABLE = "EDGEVIRT_TEST_IMAGE"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    given = os.environ.get(KUBECONFIG_VARIABLE)
    if given:
        yield Cluster(Path(given).resolve(), os.environ.get(IMAGE_VARIABLE) or IMAGE, None)
        return
    if os.geteuid() != 0:
        pytest.fail("the system tests start guests, which needs root: sudo make test-system")
    instance = Instance()
    try:
        instance.up()
        instance.provide_image()
        yield Cluster(instance.kubeconfig, IMAGE, instance)
    finally:
        instance.down()
        left = traces(instance)
        assert not left, f"edgevirt down left behind: {left}"
        instance.remove()


@pytest.fixture
def instance(cluster: Cluster) -> Instance:
    if cluster.instance is None:
        pytest.skip("looks at the machine edgevirt runs on")
    return cluster.instance


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """An empty namespace, deleted with everything in it afterwards."""
    with cluster.namespace() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:
        for name in ("namespace", "pair"):
            found = getattr(item, "funcargs", {}).get(name)
            if isinstance(found, Namespace):
                shown = found.kubectl("get", "vm,vmi,pods,events", "-o", "wide", check=False)
                report.sections.append((f"objects in {found.name}", shown.stdout + shown.stderr))
                if found.cluster.instance is not None:
                    report.sections.append(("logs", found.cluster.instance.logs()))
    return report
