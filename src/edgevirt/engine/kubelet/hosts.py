"""The text of the files that tell a container its own name and where to ask for others (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgevirt.api.core import Pod

_MAX_HOSTNAME = 63
_MAX_KERNEL_NAME = 64


def hostname(pod: Pod) -> str:
    """The pod's host name: spec.hostname, else its name, cut to what a host name may be long."""
    spec = pod.spec
    wanted = (spec.hostname_override or spec.hostname if spec else "") or pod.metadata.name
    return wanted[:_MAX_HOSTNAME].rstrip("-.")


def kernel_name(pod: Pod, cluster_domain: str) -> str:
    """What the kernel calls the pod: its host name, or the fully qualified one if the pod wants that.

    ValueError for one that is longer than a kernel allows.
    """
    spec, name = pod.spec, hostname(pod)
    if spec is None or not spec.set_hostname_as_fqdn or not spec.subdomain or spec.hostname_override:
        return name
    full = f"{name}.{spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"
    if len(full) > _MAX_KERNEL_NAME:
        raise ValueError(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long"
            f" ({_MAX_KERNEL_NAME} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts(pod: Pod, addresses: Sequence[str], cluster_domain: str) -> str:
    """/etc/hosts of the pod."""
    spec = pod.spec
    name = hostname(pod)
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    names = name
    if spec and spec.subdomain:
        names = f"{name}.{spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}\t{name}"
    lines += [f"{address}\t{names}" for address in addresses or ("127.0.1.1",)]
    for alias in spec.host_aliases if spec else ():
        lines.append(f"{alias.ip}\t{' '.join(alias.hostnames)}")
    return "\n".join(lines) + "\n"


def resolv_conf(pod: Pod, host: str, cluster_dns: Sequence[str], cluster_domain: str) -> str:
    """/etc/resolv.conf of the pod; `host` is the node's own file.

    ClusterFirst without a cluster DNS server means the node's, as in every kubelet.
    """
    spec = pod.spec
    policy = (spec.dns_policy if spec else "") or "ClusterFirst"
    servers, searches, options = _parse(host)
    cluster_first = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not (spec and spec.host_network)
    )
    if policy == "None":
        servers, searches, options = [], [], []
    elif cluster_first and cluster_dns:
        servers = list(cluster_dns)
        namespace = pod.metadata.namespace
        searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain, *searches]
        options = ["ndots:5"]
    if spec and spec.dns_config:
        servers += spec.dns_config.nameservers
        searches += spec.dns_config.searches
        added = [o.name + (f":{o.value}" if o.value else "") for o in spec.dns_config.options]
        replaced = {option.partition(":")[0] for option in added}
        options = [o for o in options if o.partition(":")[0] not in replaced] + added
    lines = [f"nameserver {server}" for server in _unique(servers)]
    if searches:
        lines.insert(0, "search " + " ".join(_unique(searches)))
    if options:
        lines.append("options " + " ".join(_unique(options)))
    return "\n".join(lines) + "\n"


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *domains]:
                searches = domains
            case ["options", *more]:
                options += more
    return servers, searches, options


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
