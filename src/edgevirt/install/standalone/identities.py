"""Who is who on the box: one certificate per component and purpose, issued anew at every start and in time.

Client certificates name the service account a component would have on a real cluster, so RBAC is the same on
both engines. Certificates used between components carry their role as a URI SAN, which the peer checks.
Keys lie in directories only root can enter.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from edgevirt.engine.pki.authority import LEAF_LIFETIME, Authority, Leaf, write_leaf
from edgevirt.engine.pki.identity import role_uri
from edgevirt.install.rbac import NAMESPACE
from edgevirt.install.standalone.config import Config, first_address
from edgevirt.install.standalone.identity_files import (
    CLUSTER_CA,
    FRONT_PROXY_CA,
    FRONT_PROXY_CLIENT,
    KUBELET_CLIENT,
)
from edgevirt.install.standalone.layout import Layout
from edgevirt.kube import kubeconfig

ADMIN_LIFETIME = timedelta(days=365)
"""People copy the administrator's kubeconfig to other machines, where nothing renews it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """Every certificate of the box, not yet on disk. `not_after` is when the first of them ends."""

    leaves: Mapping[str, Leaf]
    kubeconfigs: Mapping[Path, tuple[str, Leaf]]
    """File -> user and certificate."""
    ca: bytes
    server: str
    not_after: datetime

    def write(self, layout: Layout) -> None:
        """Put everything where `paths` and the layout say, each file complete at once. Raises OSError."""
        for name, leaf in self.leaves.items():
            write_leaf(layout.pki, name, leaf)
        for path, (user, leaf) in self.kubeconfigs.items():
            kubeconfig.write(path, self.server, self.ca, leaf.cert_pem, leaf.key_pem, user=user)


def issuer(layout: Layout, config: Config, lifetime: timedelta = LEAF_LIFETIME) -> Callable[[], Issued]:
    """What issues every certificate of the box anew; the authorities are made, and written, on first use.

    Raises `edgevirt.engine.pki.PkiError` when the authority's files do not belong together, and OSError; the
    function it returns needs no file and raises nothing.
    """
    authority = Authority.load_or_create(layout.pki, CLUSTER_CA, "edgevirt")
    front_proxy = Authority.load_or_create(layout.pki, FRONT_PROXY_CA, "edgevirt-front-proxy")
    return functools.partial(_issue, layout, config, lifetime, authority, front_proxy)


def _issue(
    layout: Layout, config: Config, lifetime: timedelta, authority: Authority, front_proxy: Authority
) -> Issued:
    make = functools.partial(authority.issue, lifetime=lifetime)
    node = config.node_name
    loopback = ["127.0.0.1", "::1"]
    host_names = ["localhost", node]
    addresses = sorted({*loopback, *_own_address(config)})
    service_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    service_names.append("kubernetes.default.svc.cluster.local")
    # Pods find the server by its service, and other machines' tools by the endpoint of that service.
    served = sorted({*addresses, first_address(config.service_subnet), first_address(config.pod_subnet)})
    leaves = {
        "apiserver": make("kube-apiserver", dns=[*host_names, *service_names], ips=served, server=True),
        KUBELET_CLIENT: make(KUBELET_CLIENT, uris=[role_uri("apiserver")], client=True),
        "virt-api": make(
            "virt-api",
            dns=["localhost", f"virt-api.{NAMESPACE}.svc"],
            ips=loopback,
            uris=[role_uri("virt-api")],
            server=True,
        ),
        "virt-api-client": make("virt-api", uris=[role_uri("virt-api")], client=True),
        "kubelet": make(f"system:node:{node}", dns=host_names, ips=addresses, server=True),
        "virt-handler": make(
            "virt-handler",
            dns=host_names,
            ips=loopback,
            uris=[role_uri("virt-handler", node)],
            server=True,
        ),
        FRONT_PROXY_CLIENT: front_proxy.issue(FRONT_PROXY_CLIENT, client=True, lifetime=lifetime),
    }
    kubeconfigs = {layout.kubeconfig(name): (name, leaf) for name, leaf in _users(make, node).items()}
    admin = authority.issue(
        "kubernetes-admin", groups=["system:masters"], client=True, lifetime=max(lifetime, ADMIN_LIFETIME)
    )
    kubeconfigs[layout.admin_kubeconfig] = ("admin", admin)
    return Issued(
        leaves,
        kubeconfigs,
        authority.cert_pem,
        local_server(config),
        min(leaf.not_after for leaf in leaves.values()),
    )


def _users(make: Callable[..., Leaf], node: str) -> dict[str, Leaf]:
    accounts = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]

    def account(component: str, role: str, node: str = "") -> Leaf:
        user = f"system:serviceaccount:{NAMESPACE}:{component}"
        return make(user, groups=accounts, uris=[role_uri(role, node)], client=True)

    return {
        "virt-api": account("kubevirt-apiserver", "virt-api"),
        "virt-controller": account("kubevirt-controller", "virt-controller"),
        "virt-handler": account("kubevirt-handler", "virt-handler", node),
        "scheduler": make("system:kube-scheduler", client=True),
        "controllers": make("system:kube-controller-manager", client=True),
        "service-proxy": make("system:kube-proxy", client=True),
        "kubelet": make(f"system:node:{node}", groups=["system:nodes"], client=True),
    }


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
