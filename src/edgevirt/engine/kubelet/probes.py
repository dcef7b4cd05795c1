"""Probing a running container: one task per probe, a verdict whenever it changes."""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
from collections.abc import Awaitable, Callable

import aiohttp

from edgevirt.api.core import Container, HTTPGetAction, Probe
from edgevirt.engine.kubelet import grpc_health
from edgevirt.kube.clock import Clock

Execute = Callable[[tuple[str, ...], float], Awaitable[tuple[int | None, bytes]]]
_MAX_ANSWER = 1024
_USER_AGENT = "kube-probe/1.36"


class ProbeFailed(Exception):
    """The container's answer, or that there was none."""


async def watch(
    probe: Probe,
    check: Callable[[], Awaitable[None]],
    verdict: Callable[[bool, str], None],
    clock: Clock,
    *,
    failed: Callable[[str], None] = lambda message: None,
    once: bool = False,
) -> None:
    """Probe until cancelled; call `verdict(good, message)` when a threshold is crossed, `failed` each time.

    With `once` (startup) return after the first good verdict.
    """
    await clock.sleep(float(probe.initial_delay_seconds or 0))
    good_needed = probe.success_threshold or 1
    bad_needed = probe.failure_threshold or 3
    run, last, reported = 0, None, None
    while True:
        try:
            await check()
            good, message = True, ""
        except ProbeFailed as error:
            good, message = False, str(error)
            failed(message)
        run = run + 1 if good == last else 1
        last = good
        if run >= (good_needed if good else bad_needed) and reported != good:
            reported = good
            verdict(good, message)
            if good and once:
                return
        await clock.sleep(float(probe.period_seconds or 10))


def checker(
    probe: Probe, container: Container, address: str, execute: Execute
) -> Callable[[], Awaitable[None]]:
    """The action of `probe` as a coroutine function that raises ProbeFailed. `address`: the pod's."""
    timeout = float(probe.timeout_seconds or 1)

    async def run_command() -> None:
        assert probe.exec
        code, output = await execute(probe.exec.command, timeout)
        if code is None:
            words = json.dumps(" ".join(probe.exec.command))
            raise ProbeFailed(f"command timed out: {words} timed out after {timeout:.0f}s")
        if code != 0:
            raise ProbeFailed(output.decode(errors="replace")[:_MAX_ANSWER])

    async def get() -> None:
        assert probe.http_get
        action = probe.http_get
        url = url_of(action, container, address)
        headers = headers_of(action, _USER_AGENT)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # a probe asks whether somebody answers, not who
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
                session.get(url, headers=headers, ssl=context, allow_redirects=False) as response,
            ):
                if not 200 <= response.status < 400:
                    raise ProbeFailed(f"HTTP probe failed with statuscode: {response.status}")
        except TimeoutError as error:
            raise ProbeFailed(
                f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProbeFailed(f'Get "{url}": {_dialled(error) or error or type(error).__name__}') from error

    async def connect() -> None:
        assert probe.tcp_socket
        host, port = probe.tcp_socket.host or address, _port(probe.tcp_socket.port, container)
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
        except TimeoutError as error:
            raise ProbeFailed(f"dial tcp {_joined(host, port)}: i/o timeout") from error
        except OSError as error:
            raise ProbeFailed(f"dial tcp {_joined(host, port)}: {_connect_error(error)}") from error

    async def ask_health() -> None:
        assert probe.grpc
        port = probe.grpc.port or 0
        try:
            async with asyncio.timeout(timeout):
                await grpc_health.check(address, port, probe.grpc.service)
        except TimeoutError as error:
            raise ProbeFailed(f"timeout: health rpc did not complete within {timeout:.0f}s") from error
        except OSError as error:
            where = f"dial tcp {_joined(address, port)}: {_connect_error(error)}"
            raise ProbeFailed(f"error: {where}") from error
        except grpc_health.Unhealthy as error:
            raise ProbeFailed(str(error)) from error

    if probe.exec:
        return run_command
    if probe.grpc:
        return ask_health
    return get if probe.http_get else connect


def url_of(action: HTTPGetAction, container: Container, address: str) -> str:
    """The URL of an httpGet action; ProbeFailed for a port that is not declared. `address`: the pod's."""
    scheme = (action.scheme or "HTTP").lower()
    host = action.host or address
    return f"{scheme}://{_joined(host, _port(action.port, container))}/{action.path.lstrip('/')}"


def headers_of(action: HTTPGetAction, user_agent: str) -> dict[str, str]:
    """The headers of an httpGet action: its own, else what every kubelet sends."""
    own = {header.name: header.value for header in action.http_headers}
    given = {name.lower() for name in own}
    usual = {"User-Agent": user_agent, "Accept": "*/*"}
    return {**{name: value for name, value in usual.items() if name.lower() not in given}, **own}


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _dialled(error: Exception) -> str:
    """A connection that was not made, in the words users know; "" for other errors."""
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        place = _joined(str(error.host), error.port or 0)
        return f"dial tcp {place}: {_connect_error(error.os_error)}"
    return ""


def _connect_error(error: OSError) -> str:
    known = {errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host"}
    return f"connect: {known.get(error.errno or 0, error.strerror or str(error))}"


def _port(port: int | str | None, container: Container) -> int:
    if isinstance(port, int):
        return port
    for declared in container.ports:
        if declared.name == port and declared.container_port:
            return declared.container_port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    raise ProbeFailed(f"port {port!r} is not declared by container {container.name}")
