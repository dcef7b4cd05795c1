"""What virt-handler must be told to run on a node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevirt.api.kubevirt.labels import HANDLER_PORT


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths are of the host as this process sees them; times are seconds."""

    kubeconfig: Path
    node_name: str
    pods_dir: Path
    """The kubelet's directory of pod volumes (`/var/lib/kubelet/pods`); only root may write it itself."""
    state_dir: Path
    """Of this agent alone: network records, the KVM verdict."""
    host_address: str
    """Host name or address under which virt-api reaches this node."""
    tls_cert: Path
    tls_key: Path
    tls_ca: Path
    """The authority of client certificates."""
    address: str = "0.0.0.0"
    """Address to listen on."""
    port: int = HANDLER_PORT
    qemu: Path = Path("/usr/bin/qemu-system-x86_64")
    """What the KVM probe runs."""
    kvm_probe_timeout: float = 3.0
    sync_timeout: float = 60.0
    """How long a launcher may take to define and start its domain."""
    request_timeout: float = 10.0
    """How long it may take to answer anything else."""
    network_timeout: float = 15.0
    """How long wiring one pod may take."""
