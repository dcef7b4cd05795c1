"""What can be set about an instance: /etc/edgevirt/config.yaml, written by the first `edgevirt up`.

An unknown key or a value of the wrong type is refused with its name; nothing is guessed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path

import msgspec
import yaml

from edgevirt.engine.pki.files import write_durably

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_LINK = re.compile(r"^[a-zA-Z0-9_.-]{1,15}\Z")
_CGROUP = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}\Z")

OPTIONS = "options of the command"
"""Where a value that is in no file comes from."""


class ConfigError(Exception):
    """The configuration cannot be used. The text names the file, the key and what is allowed."""

    def __init__(self, where: str, words: str) -> None:
        super().__init__(f"{where}: {words}")
        self.next_step = "edgevirt up --help" if where == OPTIONS else f"mend {where}, then edgevirt up"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Settings of one instance. Ports are TCP; all but the API's listen on loopback only."""

    api_address: str = "127.0.0.1"
    """Address the API server listens on; 0.0.0.0 makes it reachable from other machines."""
    api_port: int = 6443
    virt_api_port: int = 6444
    kubelet_port: int = 10250
    virt_handler_port: int = 8186
    node_name: str = msgspec.field(default_factory=lambda: socket.gethostname().lower())
    pod_subnet: str = "10.244.0.0/24"
    """Addresses of pods, and of guests on the pod network."""
    service_subnet: str = "10.96.0.0/12"
    """Cluster addresses of services. Must differ between instances on one machine that use the same."""
    bridge: str = "edgevirt0"
    """Bridge the pods are connected to. Must differ between instances on one machine."""
    cgroup: str = "edgevirt"
    """Parent control group of all pods. Must differ between instances on one machine."""
    audit_policy: str = ""
    """What the API server writes down about requests: a level or a policy file; "" for nothing."""
    audit_log_maxsize: int = 100
    """MiB of one audit log file before the next is begun."""
    audit_log_maxbackup: int = 5
    """Older audit log files that are kept."""


def load(path: Path) -> Config:
    """The configuration in `path`; defaults if there is no such file. Raises ConfigError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    try:
        config = msgspec.convert(yaml.safe_load(text) or {}, Config)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"is not YAML: {error}") from error
    except msgspec.ValidationError as error:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(Config))
        raise ConfigError(str(path), f"{error}; the keys are {known}") from error
    check(config, str(path))
    return config


def check(config: Config, where: str) -> None:
    """Raise ConfigError for the first value that cannot work."""
    ports = {
        "apiPort": config.api_port,
        "virtApiPort": config.virt_api_port,
        "kubeletPort": config.kubelet_port,
        "virtHandlerPort": config.virt_handler_port,
    }
    for key, port in ports.items():
        if not 0 < port < 65536:
            raise ConfigError(where, f"{key} is {port} but must be between 1 and 65535")
    for port in ports.values():
        keys = [key for key, other in ports.items() if other == port]
        if len(keys) > 1:
            raise ConfigError(where, f"{' and '.join(keys)} are both {port} but must differ")
    try:
        ipaddress.ip_address(config.api_address)
    except ValueError as error:
        raise ConfigError(
            where, f"apiAddress is '{config.api_address}' but must be an IP address, such as 0.0.0.0"
        ) from error
    _check_subnet("podSubnet", "10.244.0.0/24", config.pod_subnet, where)
    _check_subnet("serviceSubnet", "10.96.0.0/12", config.service_subnet, where)
    if ipaddress.ip_network(config.pod_subnet).overlaps(ipaddress.ip_network(config.service_subnet)):
        raise ConfigError(
            where, f"podSubnet {config.pod_subnet} and serviceSubnet {config.service_subnet} overlap"
        )
    for key, number, most in (
        ("auditLogMaxsize", config.audit_log_maxsize, 10_000),
        ("auditLogMaxbackup", config.audit_log_maxbackup, 1_000),
    ):
        if not 1 <= number <= most:
            raise ConfigError(where, f"{key} is {number} but must be between 1 and {most}")
    if not _NAME.match(config.node_name):
        raise ConfigError(
            where, f"nodeName is '{config.node_name}' but must be lower-case letters, digits, '-' and '.'"
        )
    if not _LINK.match(config.bridge) or config.bridge in (".", ".."):
        raise ConfigError(
            where, f"bridge is '{config.bridge}' but must be 1 to 15 letters, digits, '_', '.' or '-'"
        )
    if not _CGROUP.match(config.cgroup):
        raise ConfigError(
            where, f"cgroup is '{config.cgroup}' but must be up to 63 lower-case letters, digits and '-'"
        )


def _check_subnet(key: str, example: str, text: str, where: str) -> None:
    try:
        subnet = ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(where, f"{key}: {error}; it must look like {example}") from error
    if subnet.version != 4 or subnet.prefixlen > 28:
        raise ConfigError(where, f"{key} is {subnet} but must be an IPv4 network of at least /28")
    if subnet.is_loopback or subnet.is_multicast or subnet.is_link_local or subnet.is_unspecified:
        raise ConfigError(where, f"{key} is {subnet} but must be a network that hosts can have")


def first_address(subnet: str) -> str:
    """The first address of a network: the gateway of pods, the service `kubernetes` among services."""
    return str(ipaddress.ip_network(subnet)[1])


def save(path: Path, config: Config) -> None:
    """Write the configuration durably: it is complete on disk before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "# Settings of this edgevirt instance; `edgevirt up` reads them at its start.\n"
    text += yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False)
    write_durably(path, text.encode(), 0o644)
