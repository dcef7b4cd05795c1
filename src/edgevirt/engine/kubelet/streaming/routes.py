"""The kubelet's streaming routes: /exec, /attach and /portForward of a pod that runs here.

What can be refused is refused before the connection changes its protocol, as plain text, which clients show
after "unable to upgrade connection". Afterwards errors go to the error stream.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from edgevirt.engine.kubelet.pod import PodWorker
from edgevirt.engine.kubelet.pods import Pods
from edgevirt.engine.kubelet.streaming import (
    portforward,
    portforward_spdy,
    portforward_websocket,
    remote_spdy,
    remote_websocket,
)
from edgevirt.engine.kubelet.streaming import (
    request as requests,
)
from edgevirt.engine.kubelet.streaming.attachment import attach
from edgevirt.engine.kubelet.streaming.dialing import dial
from edgevirt.engine.kubelet.streaming.execution import Place, execute
from edgevirt.engine.kubelet.streaming.remote import Remote
from edgevirt.engine.kubelet.streaming.request import Options
from edgevirt.engine.kubelet.streaming.verdict import Verdict
from edgevirt.engine.streams.negotiation import (
    ACCEPTED_VERSIONS,
    NoCommonProtocol,
    spdy_protocol,
    upgrade_wanted,
    websocket_protocol,
)
from edgevirt.engine.streams.takeover import Taken

Work = Callable[[Remote], Awaitable[Verdict]]


class Refused(Exception):
    """Not before the connection was upgraded; carries the answer."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = web.Response(status=status, text=f"{text}\n", headers=headers)


async def answer(request: web.Request, pods: Pods) -> web.StreamResponse:
    """Handler for all routes; the first part of the path says which."""
    if request.method not in ("GET", "POST"):
        raise web.HTTPMethodNotAllowed(request.method, ("GET", "POST"))
    streaming = _Streaming(pods)
    kind = request.path.split("/")[1]
    handler = {
        "exec": streaming.exec,
        "attach": streaming.attach,
        "portForward": streaming.port_forward,
    }[kind]
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response


class _Streaming:
    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    async def exec(self, request: web.Request) -> web.StreamResponse:
        worker, options = self._worker(request), _options(request)
        name = request.match_info["container"]
        place = worker.place_of(name)
        if place is None:
            raise Refused(500, f'container not found ("{name}")')
        if not options.command:
            raise Refused(400, "you must specify a command")
        return await _serve_remote(request, options, lambda remote: execute(Place(*place), options, remote))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        worker, options = self._worker(request), _options(request)
        name = request.match_info["container"]
        found = worker.log_of(name)
        if worker.place_of(name) is None or found is None:
            raise Refused(500, f'container not found ("{name}")')
        log, ended = found
        console = worker.console_of(name)
        return await _serve_remote(request, options, lambda remote: attach(log, ended, console, remote))

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        namespace: Path | None = worker.network_namespace()
        services = worker.services
        forwarder = portforward.Forwarder(
            functools.partial(dial, services, namespace), f"{worker.pod.metadata.name}, uid {worker.uid}"
        )
        match upgrade_wanted(request.headers):
            case "spdy/3.1":
                _negotiate_spdy(request, (portforward.PORTFORWARD,))
                return await portforward_spdy.serve_spdy(request, forwarder)
            case "websocket":
                known = (portforward_spdy.TUNNEL, *portforward_websocket.PROTOCOLS)
                protocol = _negotiate_websocket(request, known)
                if protocol == portforward_spdy.TUNNEL:
                    return await portforward_spdy.serve_tunnel(request, forwarder)
                try:
                    ports = portforward.ports(request.query)
                except ValueError as error:
                    raise Refused(400, str(error)) from error
                return await portforward_websocket.serve_websocket(request, forwarder, protocol, ports)
        raise Refused(400, "unable to upgrade: missing upgrade headers in request")

    def _worker(self, request: web.Request) -> PodWorker:
        worker = self._pods.get(request.match_info["namespace"], request.match_info["pod"])
        if worker is None:
            raise Refused(404, "pod does not exist")
        return worker


def _options(request: web.Request) -> Options:
    try:
        return requests.parse(request.query)
    except ValueError as error:
        raise Refused(400, str(error)) from error


async def _serve_remote(request: web.Request, options: Options, work: Work) -> web.StreamResponse:
    match upgrade_wanted(request.headers):
        case "spdy/3.1":
            protocol = _negotiate_spdy(request, tuple(remote_spdy.PROTOCOLS))
            opened = remote_spdy.remote_over_spdy(request, options, protocol)
        case "websocket":
            protocol = _negotiate_websocket(request, tuple(remote_websocket.PROTOCOLS))
            opened = remote_websocket.remote_over_websocket(request, options, protocol)
        case _:
            raise Refused(400, "unable to upgrade: missing upgrade headers in request")
    async with opened as remote:
        if remote is not None:
            await _run(remote, work)
    return Taken()


async def _run(remote: Remote, work: Work) -> None:
    try:
        verdict = await work(remote)
    except OSError as error:
        verdict = Verdict(failure=str(error))
    if not remote.gone.is_set():
        await remote.finish(verdict)


def _negotiate_spdy(request: web.Request, known: tuple[str, ...]) -> str:
    try:
        return spdy_protocol(request.headers, known)
    except ValueError as error:
        raise Refused(400, str(error)) from error
    except NoCommonProtocol as error:
        raise Refused(403, str(error), {ACCEPTED_VERSIONS: ",".join(known)}) from error


def _negotiate_websocket(request: web.Request, known: tuple[str, ...]) -> str:
    try:
        return websocket_protocol(request.headers, known)
    except NoCommonProtocol as error:
        raise Refused(403, str(error)) from error
