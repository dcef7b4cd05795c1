"""The kubelet's HTTPS server: logs for `kubectl logs`, exec, attach and port-forward, the pods it runs.

Only a client with a certificate of the configured CA that was issued to the API server is served; it has
authenticated and authorised the user by then. Renewed certificate files are taken for new connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from edgevirt.engine.kubelet import accounting, logs
from edgevirt.engine.kubelet.container import ephemeral, names_in_order
from edgevirt.engine.kubelet.node import memory_bytes
from edgevirt.engine.kubelet.pods import Pods
from edgevirt.engine.kubelet.resource_metrics import exposition, summary
from edgevirt.engine.kubelet.settings import Settings
from edgevirt.engine.pki.identity import IdentityError, peer_role
from edgevirt.linux import inotify

_MAX_HEAD = 1 << 20
"""A command to run is in the request's line, and may be a whole script."""
_PODS: web.AppKey[Pods] = web.AppKey("pods")
_SETTINGS: web.AppKey[Settings] = web.AppKey("settings")


async def serve(settings: Settings, pods: Pods, tasks: asyncio.TaskGroup) -> None:
    """Listen on the settings' address and port; the server ends with the task group."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(settings.client_ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    runner = web.AppRunner(
        application(pods, settings),
        access_log=None,
        shutdown_timeout=1.0,
        max_line_size=_MAX_HEAD,
        max_field_size=_MAX_HEAD,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.address, settings.port, ssl_context=context, reuse_address=True)
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    tasks.create_task(_until_cancelled(runner, settings, context))


def application(pods: Pods, settings: Settings) -> web.Application:
    """The routes, behind the check of who asks."""
    app = web.Application(middlewares=[_authenticate])
    app[_PODS] = pods
    app[_SETTINGS] = settings
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/pods", _pods)
    app.router.add_get("/metrics/resource", _metrics)
    app.router.add_get("/stats/summary", _summary)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _container_logs)
    for path in ("/exec/{namespace}/{pod}/{container}", "/attach/{namespace}/{pod}/{container}"):
        app.router.add_route("*", path, _stream)
    app.router.add_route("*", "/portForward/{namespace}/{pod}", _stream)
    return app


async def _until_cancelled(runner: web.AppRunner, settings: Settings, context: ssl.SSLContext) -> None:
    watcher = inotify.Watcher()

    def renewed(name: str) -> None:
        if name in ("", settings.certificate.name, settings.key.name):
            with contextlib.suppress(ssl.SSLError, OSError):  # one of the pair is still the old one
                context.load_cert_chain(settings.certificate, settings.key)

    for directory in {settings.certificate.parent, settings.key.parent}:
        watcher.add(directory, inotify.IN_MOVED_TO | inotify.IN_CLOSE_WRITE, renewed)
    try:
        await asyncio.Event().wait()
    finally:
        watcher.close()
        await runner.cleanup()


@web.middleware
async def _authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport else None
    if not is_api_server(certificate, request.app[_SETTINGS]):
        return web.Response(status=403, text="this certificate is not the API server's\n")
    response: web.StreamResponse = await handler(request)
    return response


def is_api_server(certificate: Mapping[str, Any] | None, settings: Settings) -> bool:
    """Whether a verified certificate (as `getpeercert()` gives it) was issued to the API server."""
    if not certificate:
        return False
    with contextlib.suppress(IdentityError):
        if peer_role(certificate).role in settings.api_roles:
            return True
    names = [value for group in certificate.get("subject", ()) for key, value in group if key == "commonName"]
    return any(name in settings.api_clients for name in names)


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _pods(request: web.Request) -> web.Response:
    items = [worker.pod for worker in request.app[_PODS].all()]
    body = {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


async def _stream(request: web.Request) -> web.StreamResponse:
    from edgevirt.engine.kubelet.streaming.routes import answer  # most nodes are never asked for it

    return await answer(request, request.app[_PODS])


async def _metrics(request: web.Request) -> web.Response:
    pods = request.app[_PODS]
    text = exposition(accounting.of_node(), pods.now(), pods.measured())
    return web.Response(text=text, content_type="text/plain", charset="utf-8")


async def _summary(request: web.Request) -> web.Response:
    pods, settings = request.app[_PODS], request.app[_SETTINGS]
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    document = summary(
        settings.node_name, boot, memory_bytes(), accounting.of_node(), pods.now(), pods.measured()
    )
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


async def _container_logs(request: web.Request) -> web.StreamResponse:
    where = request.match_info
    worker = request.app[_PODS].get(where["namespace"], where["pod"])
    if worker is None:
        return web.Response(status=404, text=f'pod "{where["pod"]}" does not run on this node\n')
    names = [c.name for c in (*names_in_order(worker.pod), *ephemeral(worker.pod))]
    if where["container"] not in names:
        text = f"container {where['container']} is not valid for pod {where['pod']}\n"
        return web.Response(status=400, text=text)
    try:
        query = parse_query(dict(request.query), worker.now())
    except ValueError as error:
        return web.Response(status=400, text=f"{error}\n")
    previous = request.query.get("previous") in ("true", "1")
    found = worker.log_of(where["container"], previous=previous)
    if found is None or (previous and not found[0].exists()):
        which = "previous terminated container" if previous else "container"
        state = "not found" if previous else "is waiting to start"
        return web.Response(
            status=400, text=f'{which} "{where["container"]}" in pod "{where["pod"]}" {state}\n'
        )
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for chunk in logs.read(found[0], query, found[1]):
        await response.write(chunk)
    await response.write_eof()
    return response


def parse_query(values: dict[str, str], now: float) -> logs.LogQuery:
    """The query of /containerLogs; ValueError names the parameter that is wrong."""
    since = None
    if "sinceSeconds" in values:
        since = now - _number(values, "sinceSeconds")
    elif "sinceTime" in values:
        try:
            since = datetime.fromisoformat(values["sinceTime"].replace("Z", "+00:00")).timestamp()
        except ValueError as error:
            raise ValueError(f"sinceTime: {values['sinceTime']!r} is not a time") from error
    return logs.LogQuery(
        follow=values.get("follow") in ("true", "1"),
        tail=_number(values, "tailLines") if "tailLines" in values else None,
        since=since,
        limit_bytes=_number(values, "limitBytes") if "limitBytes" in values else None,
        timestamps=values.get("timestamps") in ("true", "1"),
    )


def _number(values: dict[str, str], name: str) -> int:
    try:
        number = int(values[name])
    except ValueError as error:
        raise ValueError(f"{name}: {values[name]!r} is not a number") from error
    if number < 0:
        raise ValueError(f"{name}: {number} is negative")
    return number
