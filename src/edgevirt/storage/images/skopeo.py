"""Fetching from a registry and unpacking archives through `skopeo copy`, the tool every distribution has.

The layers land in a shared content-addressed directory, so an interrupted pull continues with what it has
and two images share what they share. Credentials go in a private file, never on the command line.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevirt.storage.images.errors import (
    BrokenImage,
    ImageError,
    ImageNotFound,
    ImageUnauthorized,
    PullFailed,
    RegistryUnreachable,
    RegistryUntrusted,
)

Progress = Callable[[str], None]
DockerConfig = Mapping[str, Any]
"""The content of a `.dockerconfigjson` secret: {"auths": {registry: {"auth": base64}}}."""

_KEEP_LAYERS = "--dest-oci-accept-uncompressed-layers"
_KEPT_LINES = 40
_MAX_LINE = 64 * 1024
_SYSTEM_POLICY = Path("/etc/containers/policy.json")

_SIGNS: tuple[tuple[type[ImageError], str, tuple[str, ...]], ...] = (
    (
        RegistryUntrusted,
        "the registry's TLS certificate is not trusted, or it speaks plain HTTP",
        ("x509:", "tls:", "server gave HTTP response to HTTPS client", "certificate signed by unknown"),
    ),
    (
        ImageUnauthorized,
        "the registry refuses these credentials; check imagePullSecrets",
        (
            "unauthorized",
            "authentication required",
            "access to the resource is denied",
            "invalid username/password",
            "status code 403",
            "invalid status code from registry 403",
            "denied:",
        ),
    ),
    (
        ImageNotFound,
        "the registry has no such image",
        (
            "manifest unknown",
            "name unknown",
            "not found",
            "status code 404",
            "no image found in manifest list",
        ),
    ),
    (
        RegistryUnreachable,
        "the registry cannot be reached",
        (
            "no such host",
            "connection refused",
            "i/o timeout",
            "network is unreachable",
            "no route to host",
            "connection reset",
            "context deadline exceeded",
            "server misbehaving",
            "EOF",
        ),
    ),
)


def explain(reference: str, lines: Sequence[str]) -> ImageError:
    """The error that skopeo's last words mean."""
    text = "\n".join(lines)
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    message = _fatal(last)
    for kind, meaning, signs in _SIGNS:
        if any(sign in text for sign in signs):
            return kind(f"cannot pull {reference}: {meaning} ({message})")
    return PullFailed(f"cannot pull {reference}: {message}")


def _fatal(line: str) -> str:
    marker = 'msg="'
    start = line.find(marker)
    if start < 0:
        return line.strip()[:500]
    return line[start + len(marker) :].rstrip().rstrip('"').replace('\\"', '"')[:500]


async def fetch(
    reference: str,
    layout: Path,
    blobs: Path,
    *,
    program: str,
    secrets: Sequence[DockerConfig],
    insecure: bool,
    timeout: float,
    progress: Progress | None,
) -> None:
    """Copy `reference` from its registry into the OCI layout `layout`, blobs shared in `blobs`."""
    with _authfile(secrets) as auth:
        argv = [program, *_policy(), "copy", "--remove-signatures", "--retry-times", "1", _KEEP_LAYERS]
        if insecure:
            argv.append("--src-tls-verify=false")
        if auth:
            argv += ["--src-authfile", auth]
        argv += ["--dest-shared-blob-dir", str(blobs), f"docker://{reference}", f"oci:{layout}:image"]
        code, lines = await _run(argv, timeout, progress)
    if code is None:
        raise RegistryUnreachable(f"cannot pull {reference}: not finished after {timeout:.0f} s")
    if code != 0:
        raise explain(reference, lines)


async def digest(
    reference: str,
    *,
    program: str,
    secrets: Sequence[DockerConfig],
    insecure: bool,
    timeout: float,
) -> str:
    """The digest of what the registry has under `reference` now; one small request."""
    with _authfile(secrets) as auth:
        argv = [program, *_policy(), "inspect", "--raw", "--retry-times", "1"]
        if insecure:
            argv.append("--tls-verify=false")
        if auth:
            argv += ["--authfile", auth]
        process = await _start([*argv, f"docker://{reference}"], asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except TimeoutError as error:
            message = f"cannot pull {reference}: no answer after {timeout:.0f} s"
            raise RegistryUnreachable(message) from error
        finally:
            await _end(process)
    if process.returncode != 0:
        raise explain(reference, err.decode(errors="replace").splitlines()[-_KEPT_LINES:])
    return f"sha256:{hashlib.sha256(out).hexdigest()}"


async def unpack_archive(source: Path, layout: Path, blobs: Path, *, program: str, timeout: float) -> None:
    """Copy an OCI directory, OCI archive or docker archive into the OCI layout `layout`."""
    kinds = ("oci",) if source.is_dir() else ("oci-archive", "docker-archive")
    said: list[str] = []
    for kind in kinds:
        argv = [
            program,
            *_policy(),
            "copy",
            "--remove-signatures",
            _KEEP_LAYERS,
            "--dest-shared-blob-dir",
            str(blobs),
        ]
        code, lines = await _run([*argv, f"{kind}:{source}", f"oci:{layout}:image"], timeout, None)
        if code == 0:
            return
        if code is None:
            raise BrokenImage(f"{source}: reading the image took longer than {timeout:.0f} s")
        said.append(f"as {kind}: {_fatal(lines[-1]) if lines else 'no output'}")
    raise BrokenImage(f"{source} is not an image with exactly one entry ({'; '.join(said)})")


def _policy() -> tuple[str, ...]:
    return () if _SYSTEM_POLICY.exists() else ("--insecure-policy",)


@contextlib.contextmanager
def _authfile(secrets: Sequence[DockerConfig]) -> Any:
    auths: dict[str, Any] = {}
    for secret in secrets:
        auths.update(secret.get("auths", {}))
    if not auths:
        yield ""
        return
    with tempfile.NamedTemporaryFile("w", prefix="pull-", suffix=".json") as file:  # mode 0600
        json.dump({"auths": auths}, file)
        file.flush()
        yield file.name


async def _run(
    argv: Sequence[str], timeout: float, progress: Progress | None
) -> tuple[int | None, list[str]]:
    """Exit code (None: deadline passed) and the last lines of output."""
    process = await _start(argv, asyncio.subprocess.STDOUT)
    kept: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
    try:
        async with asyncio.timeout(timeout):
            async for line in _lines(process):
                kept.append(line)
                if progress:
                    progress(line)
            return await process.wait(), list(kept)
    except TimeoutError:
        return None, list(kept)
    finally:
        await _end(process)


async def _start(argv: Sequence[str], stderr: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env={k: v for k, v in os.environ.items() if k in _PASSED_ENVIRONMENT},
            start_new_session=True,
            limit=_MAX_LINE,
        )
    except FileNotFoundError as error:
        raise PullFailed(
            f"{argv[0]} is not installed; install skopeo or import the image from a file"
        ) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout
    while True:
        try:
            raw = await process.stdout.readline()
        except ValueError:  # a line beyond the limit: its content is of no use
            continue
        if not raw:
            return
        yield raw.decode(errors="replace").rstrip()


_PASSED_ENVIRONMENT = frozenset(
    {
        "PATH",
        "HOME",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "TMPDIR",
    }
    | {"SSL_CERT_FILE", "SSL_CERT_DIR"}
)
