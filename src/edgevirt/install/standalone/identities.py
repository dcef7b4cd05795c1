"""Who is who on the box: one certificate per component and purpose, issued anew at every start.

Client certificates name the service account a component would have on a real cluster, so RBAC is the same on
both engines. Certificates used between components carry their role as a URI SAN, which the peer checks.
Keys lie in directories only root can enter.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

from edgevirt.engine.pki import Authority, Leaf, role_uri, write_leaf
from edgevirt.install.rbac import NAMESPACE
from edgevirt.install.standalone.config import Config
from edgevirt.install.standalone.layout import Layout
from edgevirt.kube import kubeconfig

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
    """Paths of everything that was issued."""

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
    """Where `issue` puts its files."""

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


def issue(layout: Layout, config: Config) -> Identities:
    """Issue every certificate and write every kubeconfig; the authorities are made on first use.

    Raises `edgevirt.engine.pki.PkiError` when the authority's files do not belong together, and OSError.
    """
    authority = Authority.load_or_create(layout.pki, CLUSTER_CA, "edgevirt")
    front_proxy = Authority.load_or_create(layout.pki, FRONT_PROXY_CA, "edgevirt-front-proxy")
    node = config.node_name
    loopback = ["127.0.0.1", "::1"]
    host_names = ["localhost", node]
    addresses = sorted({*loopback, *_own_address(config)})
    service_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    leaves = {
        "apiserver": authority.issue(
            "kube-apiserver", dns=[*host_names, *service_names], ips=addresses, server=True
        ),
        KUBELET_CLIENT: authority.issue(KUBELET_CLIENT, client=True),
        "virt-api": authority.issue(
            "virt-api",
            dns=["localhost", f"virt-api.{NAMESPACE}.svc"],
            ips=loopback,
            uris=[role_uri("virt-api")],
            server=True,
        ),
        "virt-api-client": authority.issue("virt-api", uris=[role_uri("virt-api")], client=True),
        "kubelet": authority.issue(f"system:node:{node}", dns=host_names, ips=addresses, server=True),
        "virt-handler": authority.issue(
            "virt-handler",
            dns=host_names,
            ips=loopback,
            uris=[role_uri("virt-handler", node)],
            server=True,
        ),
        FRONT_PROXY_CLIENT: front_proxy.issue(FRONT_PROXY_CLIENT, client=True),
    }
    for name, leaf in leaves.items():
        write_leaf(layout.pki, name, leaf)
    _write_kubeconfigs(layout, config, authority)
    return paths(layout)


def _write_kubeconfigs(layout: Layout, config: Config, authority: Authority) -> None:
    ca = (layout.pki / f"{CLUSTER_CA}.crt").read_bytes()
    accounts = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]

    def account(component: str, role: str, node: str = "") -> Leaf:
        user = f"system:serviceaccount:{NAMESPACE}:{component}"
        return authority.issue(user, groups=accounts, uris=[role_uri(role, node)], client=True)

    node = config.node_name
    users = {
        "virt-api": account("kubevirt-apiserver", "virt-api"),
        "virt-controller": account("kubevirt-controller", "virt-controller"),
        "virt-handler": account("kubevirt-handler", "virt-handler", node),
        "scheduler": authority.issue("system:kube-scheduler", client=True),
        "controllers": authority.issue("system:kube-controller-manager", client=True),
        "kubelet": authority.issue(f"system:node:{node}", groups=["system:nodes"], client=True),
    }
    server = local_server(config)
    for name, leaf in users.items():
        kubeconfig.write(layout.kubeconfig(name), server, ca, leaf.cert_pem, leaf.key_pem, user=name)
    admin = authority.issue("kubernetes-admin", groups=["system:masters"], client=True)
    kubeconfig.write(layout.admin_kubeconfig, server, ca, admin.cert_pem, admin.key_pem)


def local_server(config: Config) -> str:
    """URL under which processes of this box reach the API server."""
    address = ipaddress.ip_address(config.api_address)
    if address.is_unspecified:
        return f"https://127.0.0.1:{config.api_port}"
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"https://{host}:{config.api_port}"


def _own_address(config: Config) -> list[str]:
    address = ipaddress.ip_address(config.api_address)
    return [] if address.is_unspecified else [str(address)]
