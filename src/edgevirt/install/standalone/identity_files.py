"""Where the certificates of the box lie. Apart from issuing them, which needs cryptography and 20 MB."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgevirt.install.standalone.layout import Layout

CLUSTER_CA = "ca"
FRONT_PROXY_CA = "front-proxy-ca"
FRONT_PROXY_CLIENT = "front-proxy-client"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"


@dataclasses.dataclass(frozen=True, slots=True)
class KeyPair:
    """Files of a certificate and its key, PEM."""

    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Identities:
    """Paths of every certificate."""

    ca: Path
    ca_key_directory: Path
    front_proxy_ca: Path
    apiserver: KeyPair
    front_proxy_client: KeyPair
    kubelet_client: KeyPair
    virt_api: KeyPair
    virt_api_client: KeyPair
    kubelet: KeyPair
    virt_handler: KeyPair


def paths(layout: Layout) -> Identities:
    """Where `Issued.write` puts its files."""

    def pair(name: str) -> KeyPair:
        return KeyPair(layout.pki / f"{name}.crt", layout.pki / f"{name}.key")

    return Identities(
        ca=layout.pki / f"{CLUSTER_CA}.crt",
        ca_key_directory=layout.pki,
        front_proxy_ca=layout.pki / f"{FRONT_PROXY_CA}.crt",
        apiserver=pair("apiserver"),
        front_proxy_client=pair(FRONT_PROXY_CLIENT),
        kubelet_client=pair(KUBELET_CLIENT),
        virt_api=pair("virt-api"),
        virt_api_client=pair("virt-api-client"),
        kubelet=pair("kubelet"),
        virt_handler=pair("virt-handler"),
    )
