"""Lifecycle hooks: what a container wants done right after it has started and before it is asked to end.

The rules are the kubelet's: a hook succeeds when its command returns 0, when anybody answers its HTTP request
(the status does not matter), or when it has slept; nobody looks at its output but a reader of our log. A hook
may run twice when the kubelet is killed while it ends a pod; postStart is never repeated for a run.
"""

from __future__ import annotations

import ssl

import aiohttp

from edgevirt.api.core import Container, HTTPGetAction, LifecycleHandler
from edgevirt.engine.kubelet import probes
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.engine.kubelet.runtime import Attempt

_USER_AGENT = "kube-lifecycle/1.36"
_SHOWN = 200


class HookFailed(Exception):
    """The hook did not do what it was to do; the message says what happened."""


async def run(resident: Resident, container: Container, attempt: Attempt, handler: LifecycleHandler) -> None:
    """Do what `handler` says; HookFailed if it cannot be done. It has no time limit of its own."""
    if handler.exec:
        await _execute(resident, attempt, handler.exec.command)
    elif handler.http_get:
        await _request(resident, container, handler.http_get)
    elif handler.sleep:
        await resident.services.clock.sleep(float(handler.sleep.seconds or 0))
    else:
        raise HookFailed("invalid handler: neither exec, httpGet nor sleep")


async def _execute(resident: Resident, attempt: Attempt, command: tuple[str, ...]) -> None:
    code, output = await resident.services.runtime.execute(attempt, command, timeout=None)
    if code != 0:
        said = output.decode(errors="replace")[:_SHOWN]
        raise HookFailed(f"command '{' '.join(command)}' exited with {code}: {said}")


async def _request(resident: Resident, container: Container, action: HTTPGetAction) -> None:
    address = resident.record.addresses[0] if resident.record.addresses else "127.0.0.1"
    try:
        url = probes.url_of(action, container, address)
        try:
            await _get(url, action)
        except (aiohttp.ClientConnectorSSLError, aiohttp.ServerDisconnectedError):
            if not url.startswith("https:"):
                raise
            await _get(url.replace("https:", "http:", 1), action)  # as kubelets do for a server without TLS
    except (probes.ProbeFailed, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise HookFailed(f"the request failed: {error or type(error).__name__}") from error


async def _get(url: str, action: HTTPGetAction) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the hook tells the container something, it does not ask who it is
    headers = probes.headers_of(action, _USER_AGENT)
    unlimited = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=unlimited) as session,
        session.get(url, headers=headers, ssl=context, allow_redirects=False) as response,
    ):
        await response.content.read(1)
