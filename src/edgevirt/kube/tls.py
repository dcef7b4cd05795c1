"""TLS contexts for talking to an API server.

Host names are always verified unless the configuration explicitly switches verification off. OpenSSL loads a
client certificate only from a file; one that is embedded in a kubeconfig is passed through an anonymous
memory file, so a private key never gets a name on any file system.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator

from edgevirt.kube.errors import ConfigError
from edgevirt.kube.kubeconfig import KubeConfig


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
