"""The control-plane process: API server, engine controllers, scheduler, virt-api and virt-controller.

Every part is a client of the API server over TLS with its own identity, as it would be on a real cluster;
sharing a process only saves memory. If one part ends, the process ends: whoever started it sees why in the
log, and nothing half alive stays behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import click

from edgevirt.engine import controllers, scheduler
from edgevirt.engine.apiserver import server as apiserver
from edgevirt.install.standalone import bootstrap, config, host_image, identity_files
from edgevirt.install.standalone.layout import Layout
from edgevirt.install.standalone.parts import LOOPBACK, start
from edgevirt.install.standalone.process import run_process
from edgevirt.install.standalone.renewal import keep_identities_fresh
from edgevirt.install.standalone.shutdown import uncordon
from edgevirt.install.standalone.supervise import CONTROL_PLANE
from edgevirt.kube.client import Client
from edgevirt.kube.memory import freeze_heap

log = logging.getLogger("edgevirt.control_plane")


@click.command()
@click.option("--report-fd", type=int, help="Descriptor to say 'ready' or the reason of a failure on.")
def main(report_fd: int | None) -> None:
    """Run the control plane until SIGTERM."""
    import uvloop

    run_process(CONTROL_PLANE, report_fd, _serve, uvloop.new_event_loop)


async def _serve(layout: Layout, settings: config.Config, ready: Callable[[], None]) -> None:
    issued = identity_files.paths(layout)
    renewed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        await start(
            group,
            "certificates",
            lambda written: keep_identities_fresh(layout, settings, written, renewed),
        )
        await start(
            group,
            "apiserver",
            lambda ready: apiserver.run(_apiserver(layout, settings, issued, renewed), ready),
        )
        async with Client.from_kubeconfig(layout.admin_kubeconfig, user_agent="edgevirt-up") as client:
            await bootstrap.definitions(client)
            await start(group, "virt-api", lambda ready: _virt_api(layout, settings, issued, ready))
            await bootstrap.webhooks(client, issued.ca.read_bytes(), LOOPBACK, settings.virt_api_port)
            await bootstrap.configuration(client)
            await uncordon(client, settings.node_name)
        await start(group, "controllers", lambda ready: _controllers(layout, issued, ready))
        await start(group, "scheduler", lambda ready: _scheduler(layout, ready))
        await start(group, "virt-controller", lambda ready: _virt_controller(layout, ready))
        freeze_heap()
        ready()
        log.info("control plane is ready")


def _apiserver(
    layout: Layout, settings: config.Config, issued: identity_files.Identities, renewed: asyncio.Event
) -> apiserver.Settings:
    return apiserver.Settings(
        data_dir=layout.store,
        address=settings.api_address,
        port=settings.api_port,
        certificate=issued.apiserver.certificate,
        key=issued.apiserver.key,
        client_ca=issued.ca,
        token_key_dir=issued.ca_key_directory,
        front_proxy_ca=issued.front_proxy_ca,
        front_proxy_certificate=issued.front_proxy_client.certificate,
        front_proxy_key=issued.front_proxy_client.key,
        kubelet_ca=issued.ca,
        kubelet_certificate=issued.kubelet_client.certificate,
        kubelet_key=issued.kubelet_client.key,
        reload=renewed,
        service_subnet=settings.service_subnet,
        advertise_address=config.first_address(settings.pod_subnet),
        audit=_audit(layout, settings) if settings.audit_policy else None,
    )


def _audit(layout: Layout, settings: config.Config) -> apiserver.AuditSettings:
    return apiserver.AuditSettings(
        log=layout.audit_log,
        policy=settings.audit_policy,
        max_bytes=settings.audit_log_maxsize * 1024 * 1024,
        backups=settings.audit_log_maxbackup,
    )


async def _virt_api(
    layout: Layout, settings: config.Config, issued: identity_files.Identities, ready: asyncio.Event
) -> None:
    from edgevirt import virt_api

    await virt_api.run(
        virt_api.Settings(
            kubeconfig=layout.kubeconfig("virt-api"),
            tls_cert=issued.virt_api.certificate,
            tls_key=issued.virt_api.key,
            handler_ca=issued.ca,
            handler_client_cert=issued.virt_api_client.certificate,
            handler_client_key=issued.virt_api_client.key,
            address=LOOPBACK,
            port=settings.virt_api_port,
            front_proxy_ca=issued.front_proxy_ca,
            front_proxy_names=(identity_files.FRONT_PROXY_CLIENT,),
        ),
        ready,
    )


async def _controllers(layout: Layout, issued: identity_files.Identities, ready: asyncio.Event) -> None:
    await controllers.run(controllers.Settings(layout.kubeconfig("controllers"), ca_file=issued.ca), ready)


async def _scheduler(layout: Layout, ready: asyncio.Event) -> None:
    await scheduler.run(scheduler.Settings(layout.kubeconfig("scheduler")), ready)


async def _virt_controller(layout: Layout, ready: asyncio.Event) -> None:
    from edgevirt import virt_controller

    await virt_controller.run(
        virt_controller.Settings(layout.kubeconfig("virt-controller"), launcher_image=host_image.NAME), ready
    )


if __name__ == "__main__":
    main()
