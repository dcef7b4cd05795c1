"""Pod networks through the standard CNI plugins.

The network is a plugin list (`*.conflist`) in the configuration directory, the first by name, as container
runtimes read it; the kubelet writes one for a bridge when there is none. Masquerading is one nftables table
of the node instead of rules per pod: nothing of it can be left behind by a pod.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgevirt.engine.kubelet.settings import CniSettings
from edgevirt.linux import nft

INTERFACE = "eth0"
_CNI_VERSION = "0.4.0"
_SIOCBRDELBR = 0x89A1
_SIOCSIFFLAGS = 0x8914


class CniError(Exception):
    """A plugin failed; the message is the plugin's own, with its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A plugin list as loaded from `path`."""

    path: Path
    name: str
    version: str
    plugins: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PodNetwork:
    """Which pod a plugin is called for. `netns` is the path of its network namespace.

    `ports` are for plugins that say they can map ports of the machine.
    """

    container_id: str
    netns: str
    namespace: str
    name: str
    ports: tuple[dict[str, Any], ...] = ()


def bridge_list(settings: CniSettings, leases: Path) -> dict[str, Any]:
    """The plugin list of the default network (pure)."""
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": settings.bridge,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": str(leases), "ranges": [[{"subnet": settings.subnet}]]},
    }
    if settings.mtu:
        bridge["mtu"] = settings.mtu
    return {"cniVersion": _CNI_VERSION, "name": settings.network, "plugins": [bridge]}


class Cni:
    """Attaches pods to the network. Methods block for the time of a plugin: call them in a thread."""

    def __init__(self, settings: CniSettings, root: Path, *, timeout: float = 30.0) -> None:
        """`root`: directory for our own configuration and address leases."""
        self._settings = settings
        self._timeout = timeout
        self._leases = root / "leases"
        self._conf_dir = settings.conf_dir or root / "net.d"
        if settings.conf_dir is None:
            ipaddress.ip_network(settings.subnet)  # ValueError now, not at the first pod
            self._conf_dir.mkdir(parents=True, exist_ok=True)
            self._leases.mkdir(parents=True, exist_ok=True)
            path = self._conf_dir / f"10-{settings.network}.conflist"
            path.write_text(json.dumps(bridge_list(settings, self._leases), indent=2) + "\n")

    def network(self) -> Network:
        """The network new pods join; CniError when none is configured or it cannot be read."""
        for path in sorted(self._conf_dir.glob("*.conflist")):
            try:
                document = json.loads(path.read_text())
                return Network(
                    path,
                    document["name"],
                    document.get("cniVersion", _CNI_VERSION),
                    tuple(document["plugins"]),
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CniError(f"network configuration {path} cannot be used: {error}") from error
        raise CniError(f"no network configuration (*.conflist) in {self._conf_dir}")

    def add(self, pod: PodNetwork) -> tuple[str, ...]:
        """Attach the pod; returns its addresses. After CniError the pod is detached again."""
        network = self.network()
        result: dict[str, Any] | None = None
        try:
            for plugin in network.plugins:
                result = self._call("ADD", network, plugin, pod, result)
        except CniError:
            self.delete(pod)
            raise
        addresses = (entry.get("address", "") for entry in (result or {}).get("ips", ()))
        return tuple(address.partition("/")[0] for address in addresses if address)

    def delete(self, pod: PodNetwork) -> None:
        """Detach the pod and give its addresses back. Idempotent; a missing namespace is fine."""
        network = self.network()
        for plugin in reversed(network.plugins):
            self._call("DEL", network, plugin, pod, None)

    def stale_leases(self, known: frozenset[str]) -> Iterator[str]:
        """Container ids with an address lease of our own network that nobody in `known` has."""
        seen: set[str] = set()
        for path in (self._leases / self._settings.network).glob("*"):
            with contextlib.suppress(OSError):
                first = path.read_text().split()
                if "." in path.name or ":" in path.name:
                    holder = first[0].removesuffix(INTERFACE) if first else ""
                    if holder and holder not in known and holder not in seen:
                        seen.add(holder)
                        yield holder

    def start_masquerade(self) -> None:
        """Let pods reach what the node reaches, under the node's address. Idempotent."""
        if not self._settings.masquerade or self._settings.conf_dir is not None:
            return
        subnet = ipaddress.ip_network(self._settings.subnet)
        family = "ip" if subnet.version == 4 else "ip6"
        self._nft(
            f"add table {family} {self._table}\ndelete table {family} {self._table}\n"
            f"table {family} {self._table} {{\n chain postrouting {{\n"
            f"  type nat hook postrouting priority srcnat; policy accept;\n"
            f"  {family} saddr {subnet} {family} daddr != {subnet} masquerade\n }}\n}}\n"
        )

    def tear_down(self) -> None:
        """Remove the node's own bridge and table; for a node without pods."""
        if self._settings.conf_dir is not None:
            return
        if self._settings.masquerade:
            family = "ip" if ipaddress.ip_network(self._settings.subnet).version == 4 else "ip6"
            self._nft(f"add table {family} {self._table}\ndelete table {family} {self._table}\n")
        if Path("/sys/class/net", self._settings.bridge, "bridge").exists():
            name = self._settings.bridge.encode()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name, 0))
                fcntl.ioctl(control, _SIOCBRDELBR, struct.pack("16s", name))

    @property
    def _table(self) -> str:
        return f"edgevirt-{self._settings.bridge}"

    def _nft(self, script: str) -> None:
        try:
            nft.load(script, deadline=self._timeout)
        except nft.NftError as error:
            raise CniError(f"the masquerading rule could not be set: {error}") from error

    def _call(
        self,
        command: str,
        network: Network,
        plugin: dict[str, Any],
        pod: PodNetwork,
        previous: dict[str, Any] | None,
    ) -> dict[str, Any] | None:
        config = {"cniVersion": network.version, "name": network.name, **plugin}
        if previous is not None:
            config["prevResult"] = previous
        if pod.ports and (plugin.get("capabilities") or {}).get("portMappings"):
            config["runtimeConfig"] = {"portMappings": list(pod.ports)}
        kind = str(plugin.get("type", ""))
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": pod.container_id,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": INTERFACE,
            "CNI_PATH": ":".join(str(path) for path in self._settings.bin_dirs),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};"
            f"K8S_POD_INFRA_CONTAINER_ID={pod.container_id}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        process = subprocess.Popen(
            [str(self._program(kind))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(json.dumps(config).encode(), self._timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise CniError(f"CNI plugin {kind} {command} took longer than {self._timeout:.0f} s") from error
        if process.returncode != 0:
            raise CniError(f"CNI plugin {kind} {command}: {_message(out, err)}")
        if not out.strip():
            return None
        try:
            result = json.loads(out)
        except ValueError as error:
            raise CniError(f"CNI plugin {kind} {command} answered with no JSON") from error
        return result if isinstance(result, dict) else None

    def _program(self, kind: str) -> Path:
        for directory in self._settings.bin_dirs:
            if kind and "/" not in kind and (directory / kind).exists():
                return directory / kind
        places = ", ".join(str(path) for path in self._settings.bin_dirs)
        raise CniError(f"CNI plugin {kind!r} is not in {places}; install containernetworking-plugins")


def _message(out: bytes, err: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(out)
        return f"{answer.get('msg', '')} {answer.get('details', '')}".strip()[:500]
    return (err or out).decode(errors="replace").strip()[:500] or "no reason given"
