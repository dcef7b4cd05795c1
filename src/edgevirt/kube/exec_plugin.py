"""Credentials printed by a command (client.authentication.k8s.io/v1 and v1beta1).

The command runs without a terminal, in its own process group, with a deadline and bounded output. What it
returns is kept until the expiry it states, or until the server rejects it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from datetime import datetime

import msgspec

from edgevirt.api.meta import Struct, Time
from edgevirt.kube.clock import parse_timestamp
from edgevirt.kube.errors import ConfigError
from edgevirt.kube.kubeconfig import KubeConfig

DEADLINE = 60.0
MAX_OUTPUT = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class ExecCredential:
    token: str
    cert: bytes
    key: bytes
    expires: datetime | None


class _Status(Struct):
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Time = ""
    token: str = ""


class _Answer(Struct):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


async def obtain(config: KubeConfig, timeout: float = DEADLINE) -> ExecCredential:
    """Run the configured plug-in once. Raises ConfigError with its own words when it fails."""
    plugin = config.exec
    if plugin is None:
        raise ConfigError("no exec plug-in is configured")
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            "server": config.server,
            "certificate-authority-data": config.ca_data,
            "tls-server-name": config.tls_server_name,
        }
    info = msgspec.json.encode({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})
    environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": info.decode()}
    output = await _run((plugin.command, *plugin.args), environment, plugin.install_hint, timeout)
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{plugin.command} did not print an ExecCredential: {error}") from error
    if answer.api_version != plugin.api_version or answer.status is None:
        raise ConfigError(f"{plugin.command} printed no status of {plugin.api_version} ExecCredential")
    status = answer.status
    if not status.token and not status.client_certificate_data:
        raise ConfigError(f"{plugin.command} returned neither a token nor a client certificate")
    return ExecCredential(
        token=status.token,
        cert=status.client_certificate_data.encode(),
        key=status.client_key_data.encode(),
        expires=parse_timestamp(status.expiration_timestamp) if status.expiration_timestamp else None,
    )


async def _run(command: tuple[str, ...], environment: dict[str, str], hint: str, timeout: float) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(
            f"cannot run the credential plug-in {command[0]}: {error.strerror}{'; ' + hint if hint else ''}"
        ) from error
    try:
        async with asyncio.timeout(timeout):
            assert process.stdout is not None
            assert process.stderr is not None
            output, errors = await asyncio.gather(
                _read_bounded(process.stdout), _read_bounded(process.stderr)
            )
            code = await process.wait()
    except TimeoutError as error:
        raise ConfigError(
            f"the credential plug-in {command[0]} did not finish within {timeout:g} s"
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        said = errors.decode(errors="replace").strip()
        raise ConfigError(f"the credential plug-in {command[0]} failed with exit code {code}: {said}")
    return output


async def _read_bounded(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(65536):
        kept += chunk
        if len(kept) > MAX_OUTPUT:
            raise ConfigError(f"the credential plug-in printed more than {MAX_OUTPUT} bytes")
    return bytes(kept)
