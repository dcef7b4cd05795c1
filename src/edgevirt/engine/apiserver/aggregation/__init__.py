"""Aggregation: APIs that other servers serve under this one's address.

`build` makes the aggregator the server mounts, and the directory of service addresses that admission
shares with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgevirt.engine.apiserver.aggregation.aggregator import Aggregator, StatusWriter
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory
from edgevirt.engine.apiserver.aggregation.local import api_service
from edgevirt.engine.apiserver.aggregation.trust import ClientCertificate, TrustStore
from edgevirt.engine.apiserver.aggregation.validation import validate as validate_api_service
from edgevirt.engine.apiserver.extension import ObjectReader

__all__ = [
    "Aggregator",
    "ServiceDirectory",
    "StatusWriter",
    "api_service",
    "authentication_config_map",
    "build",
    "validate_api_service",
]

FRONT_PROXY_NAME = "front-proxy-client"
"""Common name of the certificate with which this server calls aggregated ones."""


def build(
    reader: ObjectReader,
    directory: ServiceDirectory,
    certificate: Path,
    key: Path,
    write_status: StatusWriter,
    on_discovery_change: Callable[[], None] = lambda: None,
) -> Aggregator:
    """The aggregator, following `reader`; run its `run` beside the server.

    `certificate` and `key` identify the front proxy. `directory` must observe the same reader.
    """
    trust = TrustStore(ClientCertificate(certificate, key))
    aggregator = Aggregator(directory, trust, write_status, on_discovery_change)
    aggregator.observe(reader)
    return aggregator


def authentication_config_map(client_ca_pem: bytes, front_proxy_ca_pem: bytes) -> dict[str, object]:
    """`extension-apiserver-authentication`, from which aggregated servers learn whom to believe."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": client_ca_pem.decode(),
            "requestheader-allowed-names": f'["{FRONT_PROXY_NAME}"]',
            "requestheader-client-ca-file": front_proxy_ca_pem.decode(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        },
    }
