"""TLS contexts: for talking to an API server, and for peers whose certificate files are renewed meanwhile.

Host names are always verified unless the configuration explicitly switches verification off. OpenSSL loads a
client certificate only from a file; one that is embedded in a kubeconfig is passed through an anonymous
memory file, so a private key never gets a name on any file system.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from edgevirt.kube.errors import ConfigError
from edgevirt.kube.kubeconfig import KubeConfig

log = logging.getLogger("edgevirt.kube.tls")


class CurrentContext:
    """A context made of files, made again when one of them was replaced.

    The files are looked at (not read) when a connection is made, so there is nothing to watch and nothing to
    tell. While a renewal is half done, key and certificate do not fit: the previous context stays in use.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], *files: Path) -> None:
        """`make` reads `files`. Raises what `make` raises, which is OSError for files that are no good."""
        self._make = make
        self._files = files
        self._seen = self._look()
        self._context = make()

    def get(self) -> ssl.SSLContext:
        """The context for the next connection."""
        seen = self._look()
        if seen != self._seen:
            try:
                self._context = self._make()
            except OSError as error:  # ssl.SSLError is one
                log.warning(
                    "renewed certificate cannot be used yet, keeping the old one",
                    extra={"file": str(self._files[0]), "error": str(error)},
                )
            else:
                self._seen = seen
        return self._context

    def for_server(self) -> ssl.SSLContext:
        """A context to listen with, under which every handshake presents the current certificate."""
        context = self._make()

        def choose(connection: ssl.SSLObject, name: str | None, listening: ssl.SSLContext) -> None:
            connection.context = self.get()

        context.sni_callback = choose
        return context

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        marks = []
        for file in self._files:
            try:
                status = file.stat()
            except OSError:
                marks.append((0, 0, 0))
            else:
                marks.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(marks)


def client_context(config: KubeConfig, cert: bytes = b"", key: bytes = b"") -> ssl.SSLContext:
    """A context that trusts the configured CA and presents the configured client certificate.

    `cert` and `key` (PEM) take the place of the configured ones, for credentials that a plug-in returned.
    Raises ConfigError naming what could not be loaded.
    """
    try:
        context = ssl.create_default_context(
            cafile=str(config.ca_file) if config.ca_file else None,
            cadata=config.ca_data.decode("ascii") if config.ca_data else None,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot load the CA certificate {config.ca_file or '(embedded)'}: {error}"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    cert_data, key_data = cert or config.client_cert_data, key or config.client_key_data
    try:
        with _as_file(cert_data) as cert_path, _as_file(key_data) as key_path:
            certificate = cert_path or (str(config.client_cert_file) if config.client_cert_file else None)
            if certificate is not None:
                private = key_path or (str(config.client_key_file) if config.client_key_file else None)
                context.load_cert_chain(certificate, private)
    except OSError as error:  # ssl.SSLError is an OSError, for example when key and certificate don't match
        raise ConfigError(
            f"cannot load the client certificate {config.client_cert_file or '(embedded)'}: {error}"
        ) from error
    return context


@contextlib.contextmanager
def _as_file(pem: bytes) -> Iterator[str | None]:
    if not pem:
        yield None
        return
    descriptor = os.memfd_create("edgevirt-pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(pem)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
