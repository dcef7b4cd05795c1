"""What can be set about an instance: /etc/edgevirt/config.yaml, written by the first `edgevirt up`.

An unknown key or a value of the wrong type is refused with its name; nothing is guessed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tempfile
from pathlib import Path

import msgspec
import yaml

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_LINK = re.compile(r"^[a-zA-Z0-9_.-]{1,15}$")


class ConfigError(Exception):
    """The configuration cannot be used. The text names the file, the key and what is allowed."""


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
    bridge: str = "edgevirt0"
    """Bridge the pods are connected to. Must differ between instances on one machine."""
    cgroup: str = "edgevirt"
    """Parent control group of all pods. Must differ between instances on one machine."""


def load(path: Path) -> Config:
    """The configuration in `path`; defaults if there is no such file. Raises ConfigError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Config()
    try:
        config = msgspec.convert(yaml.safe_load(text) or {}, Config)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path} is not a usable configuration: {error}") from error
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
            raise ConfigError(f"{where}: {key} is {port} but must be between 1 and 65535")
    if len(set(ports.values())) != len(ports):
        raise ConfigError(f"{where}: {', '.join(ports)} must be four different ports")
    try:
        ipaddress.ip_address(config.api_address)
    except ValueError as error:
        raise ConfigError(f"{where}: apiAddress: {error}") from error
    try:
        subnet = ipaddress.ip_network(config.pod_subnet)
    except ValueError as error:
        raise ConfigError(f"{where}: podSubnet: {error}") from error
    if subnet.version != 4 or subnet.prefixlen > 28:
        raise ConfigError(f"{where}: podSubnet is {subnet} but must be an IPv4 network of at least /28")
    if not _NAME.match(config.node_name):
        raise ConfigError(
            f"{where}: nodeName '{config.node_name}' must be lower-case letters, digits, '-' and '.'"
        )
    if not _LINK.match(config.bridge):
        raise ConfigError(
            f"{where}: bridge '{config.bridge}' must be 1 to 15 letters, digits, '_', '.' or '-'"
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", config.cgroup):
        raise ConfigError(f"{where}: cgroup '{config.cgroup}' must be lower-case letters, digits and '-'")


def save(path: Path, config: Config) -> None:
    """Write the configuration durably: it is complete on disk before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write("# Settings of this edgevirt instance; `edgevirt up` reads them at its start.\n")
        yaml.safe_dump(msgspec.to_builtins(config), file, sort_keys=False)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
