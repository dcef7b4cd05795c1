"""What a kubelet is told at start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgevirt.storage.images.host import HostImage


@dataclasses.dataclass(frozen=True, slots=True)
class CniSettings:
    """The default pod network: one bridge, addresses from `subnet`.

    Used to write `<root_dir>/cni/net.d/10-<network>.conflist` unless `conf_dir` names a directory with a
    list of the administrator's own. `mtu` 0 leaves the kernel's.
    """

    bridge: str = "edgevirt0"
    subnet: str = "10.88.0.0/16"
    network: str = "edgevirt"
    masquerade: bool = True
    mtu: int = 0
    bin_dirs: tuple[Path, ...] = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
    conf_dir: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `edgevirt.engine.kubelet.run`.

    `root_dir` keeps pods and images over a reboot, `run_dir` is on a tmpfs. `certificate`, `key` and
    `client_ca` are the files of the kubelet's own server. A client must present a certificate of `client_ca`
    that was issued for a role (`edgevirt://<role>/`) in `api_roles`, or whose common name is in
    `api_clients`. `api_address` ("host:port") is where containers reach the API server: it is told to them
    in KUBERNETES_SERVICE_HOST and _PORT. Sizes in bytes, times in seconds.
    """

    kubeconfig: Path
    node_name: str
    root_dir: Path
    run_dir: Path
    address: str
    port: int
    certificate: Path
    key: Path
    client_ca: Path
    api_roles: tuple[str, ...] = ("apiserver",)
    api_clients: tuple[str, ...] = ("kube-apiserver-kubelet-client",)
    cni: CniSettings = CniSettings()
    cgroup_prefix: str = "edgevirt"
    runtime: str = ""
    host_images: tuple[tuple[str, HostImage], ...] = ()
    images_dir: Path | None = None
    insecure_registries: frozenset[str] = frozenset()
    node_labels: tuple[tuple[str, str], ...] = ()
    api_address: str = ""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    reserved_memory: int = 256 << 20
    reserved_millicores: int = 0
    max_pods: int = 110
    max_log_bytes: int = 10 << 20
    lease_seconds: int = 40
    heartbeat_interval: float = 10.0
    status_interval: float = 300.0
    version: str = "v1.36.0+edgevirt"

    @property
    def pods_dir(self) -> Path:
        """Each pod's directory lies here under its uid, as in every kubelet."""
        return self.root_dir / "pods"

    @property
    def images_root(self) -> Path:
        return self.images_dir or self.root_dir / "images"
