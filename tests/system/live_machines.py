"""Manifests of small machines, as a user would write them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def instance_spec(
    image: str,
    *,
    memory: str | None = "128Mi",
    grace: int = 15,
    cloud_init: Object | None = None,
    empty_disk: str = "",
    network: bool = True,
) -> Object:
    """The `spec` of a VirtualMachineInstance. `cloud_init`: the body of its cloudInitNoCloud."""
    disks: list[Object] = [{"name": "root", "disk": {"bus": "virtio"}}]
    volumes: list[Object] = [{"name": "root", "containerDisk": {"image": image}}]
    if cloud_init is not None:
        disks.append({"name": "cloudinit", "disk": {"bus": "virtio"}})
        volumes.append({"name": "cloudinit", "cloudInitNoCloud": cloud_init})
    if empty_disk:
        disks.append({"name": "scratch", "disk": {"bus": "virtio"}, "serial": "SCRATCH1"})
        volumes.append({"name": "scratch", "emptyDisk": {"capacity": empty_disk}})
    devices: Object = {"disks": disks}
    spec: Object = {
        "terminationGracePeriodSeconds": grace,
        "domain": {"cpu": {"cores": 1}, "devices": devices},
        "volumes": volumes,
    }
    if memory is not None:
        spec["domain"]["memory"] = {"guest": memory}
    if network:
        devices["interfaces"] = [{"name": "default", "bridge": {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]
    else:
        devices["autoattachPodInterface"] = False
    return spec


def machine(name: str, spec: Object, strategy: str = "Always") -> Object:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {
            "runStrategy": strategy,
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def instance(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name},
        "spec": spec,
    }


def secret(name: str, **values: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def script(body: str) -> Object:
    """Cloud-init user data that the tiny guest runs as a shell script at the end of its boot."""
    return {"userData": f"#!/bin/sh\n{body}\n"}


def address(vmi: Object) -> str:
    found: str = vmi["status"]["interfaces"][0]["ipAddress"]
    return found
