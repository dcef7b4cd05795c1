"""Services from kubectl to their endpoints."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from small_cluster import SmallCluster

from edgevirt.api.core import Endpoints
from edgevirt.api.discovery import EndpointSlice
from edgevirt.api.resources import ENDPOINT_SLICES, ENDPOINTS

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def addresses(one: Endpoints | None) -> int:
    return sum(len(subset.addresses) for subset in one.subsets) if one is not None else -1


def ready(slices: tuple[EndpointSlice, ...], name: str) -> int:
    return sum(
        1
        for one in slices
        if one.metadata.labels.get("kubernetes.io/service-name") == name
        for endpoint in one.endpoints
        if endpoint.conditions is not None and endpoint.conditions.ready
    )


async def test_an_exposed_deployment_has_endpoints_that_follow_its_size(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "deployment", "shop", "--image=nginx:1", "--replicas=2")
    await cluster.kubectl("expose", "deployment", "shop", "--port=80", "--target-port=8080")
    await cluster.until(ENDPOINTS, "shop", lambda one: addresses(one) == 2)
    await cluster.until_all(ENDPOINT_SLICES, lambda all_: ready(all_, "shop") == 2)
    service = await cluster.json("get", "service", "shop")
    assert service["spec"]["clusterIP"].startswith("10.")
    (one,) = (await cluster.json("get", "endpointslices", "-l", "kubernetes.io/service-name=shop"))["items"]
    assert one["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert one["endpoints"][0]["targetRef"]["kind"] == "Pod"
    assert one["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert "Endpoints:" in await cluster.kubectl("describe", "service", "shop")
    await cluster.kubectl("scale", "deployment/shop", "--replicas=1")
    await cluster.until(ENDPOINTS, "shop", lambda one: addresses(one) == 1)
    await cluster.kubectl("delete", "service", "shop")
    await cluster.until(ENDPOINTS, "shop", lambda one: one is None)
    await cluster.until_all(ENDPOINT_SLICES, lambda all_: ready(all_, "shop") == 0)
    await cluster.kubectl("delete", "deployment", "shop")


async def test_endpoints_of_a_service_without_selector_are_left_alone_and_mirrored(
    cluster: SmallCluster,
) -> None:
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "manual"},
        "spec": {"ports": [{"port": 80}]},
    }
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "manual"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}],
    }
    await cluster.kubectl("apply", "-f", "-", stdin=service)
    await cluster.kubectl("apply", "-f", "-", stdin=endpoints)
    await cluster.until_all(ENDPOINT_SLICES, lambda all_: ready(all_, "manual") == 1)
    kept = await cluster.json("get", "endpoints", "manual")
    assert kept["subsets"][0]["addresses"] == [{"ip": "192.0.2.1"}]
    await cluster.kubectl("delete", "service", "manual")


async def test_two_services_never_get_the_same_address(cluster: SmallCluster) -> None:
    await cluster.kubectl("create", "service", "clusterip", "one", "--tcp=80", "--clusterip=10.96.0.50")
    code, _, err = await cluster.run(
        "create", "service", "clusterip", "two", "--tcp=80", "--clusterip=10.96.0.50"
    )
    assert code == 1
    assert "provided IP is already allocated" in err
    await cluster.kubectl("delete", "service", "one")
    await cluster.kubectl("create", "service", "clusterip", "two", "--tcp=80", "--clusterip=10.96.0.50")
    await cluster.kubectl("create", "service", "nodeport", "open", "--tcp=80")
    opened = await cluster.json("get", "service", "open")
    assert 30000 <= opened["spec"]["ports"][0]["nodePort"] <= 32767


async def test_the_api_server_has_a_service(cluster: SmallCluster) -> None:
    found = await cluster.json("get", "service", "kubernetes")
    assert found["spec"]["clusterIP"] == "10.96.0.1"
    assert found["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
