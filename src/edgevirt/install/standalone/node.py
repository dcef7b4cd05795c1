"""The node process: kubelet, service proxy and virt-handler. Pods and guests outlive it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path

import click

from edgevirt.api.kubevirt.labels import DEVICE_KVM
from edgevirt.engine import kubelet, service_proxy
from edgevirt.install.standalone import capabilities, config, host_image, identity_files
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.parts import LOOPBACK, start
from edgevirt.install.standalone.process import run_process
from edgevirt.install.standalone.supervise import NODE
from edgevirt.kube.memory import freeze_heap
from edgevirt.virt_handler import server as virt_handler
from edgevirt.virt_handler.settings import Settings as HandlerSettings

log = logging.getLogger("edgevirt.node")


@click.command()
@click.option("--report-fd", type=int, help="Descriptor to say 'ready' or the reason of a failure on.")
def main(report_fd: int | None) -> None:
    """Run the node until SIGTERM."""
    run_process(NODE, report_fd, _serve)


async def _serve(layout: Layout, settings: config.Config, ready: Callable[[], None]) -> None:
    issued = identity_files.paths(layout)
    devices = kubelet.DeviceRegistry()
    async with asyncio.TaskGroup() as group:
        await start(
            group, "kubelet", lambda ready: kubelet.run(_kubelet(layout, settings, issued), ready, devices)
        )
        await start(group, "service-proxy", lambda ready: service_proxy.run(_proxy(layout, settings), ready))
        # While virt-handler proves or disproves KVM there is time for this.
        warming = group.create_task(asyncio.to_thread(capabilities.warm, layout, capabilities.EMULATION))
        await start(
            group,
            "virt-handler",
            lambda ready: virt_handler.run(_virt_handler(layout, settings, issued), ready, devices),
        )
        await warming
        if devices.get(DEVICE_KVM):
            await asyncio.to_thread(capabilities.warm, layout, capabilities.KVM)
        freeze_heap()
        ready()
        log.info("node is ready")


def _kubelet(layout: Layout, settings: config.Config, issued: identity_files.Identities) -> kubelet.Settings:
    return kubelet.Settings(
        kubeconfig=layout.kubeconfig("kubelet"),
        node_name=settings.node_name,
        root_dir=layout.data,
        run_dir=layout.run / "kubelet",
        address=LOOPBACK,
        port=settings.kubelet_port,
        certificate=issued.kubelet.certificate,
        key=issued.kubelet.key,
        client_ca=issued.ca,
        api_clients=(identity_files.KUBELET_CLIENT,),
        cni=kubelet.CniSettings(bridge=settings.bridge, subnet=settings.pod_subnet, network=settings.bridge),
        cgroup_prefix=settings.cgroup,
        host_images=((host_image.NAME, host_image.prepare(layout)),),
        images_dir=layout.images,
        api_address=f"{config.first_address(settings.service_subnet)}:443",
    )


def _proxy(layout: Layout, settings: config.Config) -> service_proxy.Settings:
    loopback = ipaddress.ip_address(settings.api_address).is_loopback
    return service_proxy.Settings(
        kubeconfig=layout.kubeconfig("service-proxy"),
        bridge=settings.bridge,
        pod_subnet=settings.pod_subnet,
        service_subnet=settings.service_subnet,
        node=settings.node_name,
        api_server=(settings.api_address, settings.api_port) if loopback else None,
        pods_dir=layout.pods,
    )


def _virt_handler(
    layout: Layout, settings: config.Config, issued: identity_files.Identities
) -> HandlerSettings:
    return HandlerSettings(
        kubeconfig=layout.kubeconfig("virt-handler"),
        node_name=settings.node_name,
        pods_dir=Path(layout.pods),
        state_dir=layout.handler_state,
        host_address=LOOPBACK,
        tls_cert=issued.virt_handler.certificate,
        tls_key=issued.virt_handler.key,
        tls_ca=issued.ca,
        address=LOOPBACK,
        port=settings.virt_handler_port,
    )


if __name__ == "__main__":
    main()
