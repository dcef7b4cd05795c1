"""Cluster addresses and node ports in a network of their own: a node with a bridge, and pods that answer."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

RUN = secrets.token_hex(2)
BRIDGE = "svcbr0"
HERE = Path(__file__).parent
ANSWER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[2])))
print("up", flush=True)
while True:
    connection, client = server.accept()
    connection.sendall(f"{sys.argv[1]} {client[0]}".encode())
    connection.close()
"""
ASK = """
import socket, sys
try:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print(connection.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
    return done.stdout


class Network:
    """A node with two pods, an outside host, and the proxy's process."""

    node = f"sv{RUN}n"
    outside = f"sv{RUN}o"

    def __init__(self, base: Path) -> None:
        self._base = base
        self._processes: list[subprocess.Popen[str]] = []
        for name in (self.node, self.outside):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "-n",
            self.node,
            "link",
            "add",
            "up0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.outside,
        )
        ip("-n", self.node, "addr", "add", "10.199.8.1/24", "dev", "up0")
        ip("-n", self.node, "link", "set", "up0", "up")
        ip("-n", self.outside, "addr", "add", "10.199.8.2/24", "dev", "eth0")
        ip("-n", self.outside, "link", "set", "eth0", "up")
        ip("netns", "exec", self.node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.proxy: subprocess.Popen[str] | None = None

    def add_bridge(self) -> None:
        ip("-n", self.node, "link", "add", BRIDGE, "type", "bridge")
        ip("-n", self.node, "addr", "add", "10.199.7.1/24", "dev", BRIDGE)
        ip("-n", self.node, "link", "set", BRIDGE, "up")

    def add_pod(self, number: int) -> str:
        name, port = f"sv{RUN}p{number}", f"v{RUN}{number}"
        ip("netns", "add", name)
        ip("-n", self.node, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", self.node, "link", "set", port, "master", BRIDGE, "up")
        ip("-n", self.node, "link", "set", port, "type", "bridge_slave", "hairpin", "on")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"10.199.7.{number}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", "10.199.7.1")
        self.add_server(name, f"pod{number}", 8080)
        return name

    def add_server(self, namespace: str, answer: str, port: int) -> None:
        server = self._start(namespace, ANSWER, answer, str(port))
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"

    def _start(self, namespace: str, code: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", code, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self._processes.append(process)
        return process

    def ask(self, namespace: str, address: str, port: int) -> str:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", ASK, address, str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    def start_proxy(self) -> None:
        command = ["ip", "netns", "exec", self.node, sys.executable, str(HERE / "proxied_node.py")]
        with (self._base / "proxy.log").open("w") as log:
            self.proxy = subprocess.Popen(
                [*command, str(self._base), BRIDGE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._processes.append(self.proxy)
        self._read_until("ready")

    def _read_until(self, start: str) -> None:
        assert self.proxy is not None
        out: IO[str] | None = self.proxy.stdout
        assert out is not None
        while line := out.readline():
            if line.startswith(start):
                return
        raise AssertionError((self._base / "proxy.log").read_text())

    def tell(self, command: str | dict[str, Any]) -> None:
        """Create or delete, and wait until the rules that follow from it are loaded."""
        assert self.proxy is not None
        assert self.proxy.stdin is not None
        self.proxy.stdin.write((command if isinstance(command, str) else json.dumps(command)) + "\n")
        self.proxy.stdin.flush()
        self._read_until("loaded")

    def stop_proxy(self) -> None:
        assert self.proxy is not None
        assert self.proxy.stdin is not None
        self.proxy.stdin.close()
        assert self.proxy.wait(30) == 0, (self._base / "proxy.log").read_text()

    def tables(self) -> str:
        command = ["ip", "netns", "exec", self.node, "nft", "list", "tables"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        for name in ip("netns", "list").split():
            if name.startswith(f"sv{RUN}"):
                ip("netns", "del", name)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = Network(tmp_path_factory.mktemp("services"))
    try:
        yield made
    finally:
        made.close()


def service(name: str, address: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": address, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


def endpoints(name: str, *addresses: str, ready: bool = True) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one], "conditions": {"ready": ready}} for one in addresses],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def test_services_answer_from_pods_and_the_node_and_nothing_is_left_behind(network: Network) -> None:
    network.start_proxy()
    network.add_bridge()
    pods = [network.add_pod(2), network.add_pod(3)]
    network.tell(
        service(
            "web", "10.96.7.7", type="NodePort", ports=[{"port": 80, "targetPort": 8080, "nodePort": 30080}]
        )
    )
    assert network.ask(pods[0], "10.96.7.7", 80) == "ConnectionRefusedError", "nobody answers yet"
    network.tell(endpoints("web", "10.199.7.2", "10.199.7.3"))
    for client in (*pods, network.node):
        answers = {network.ask(client, "10.96.7.7", 80).split()[0] for _ in range(12)}
        assert answers == {"pod2", "pod3"}, f"{client} reaches both, also itself"
    assert network.ask(pods[0], "10.96.7.8", 80) == "ConnectionRefusedError", "no such service"
    name, client = network.ask(network.outside, "10.199.8.1", 30080).split()
    assert name in ("pod2", "pod3")
    assert client == "10.199.8.2", "a client outside keeps its address"
    for address in ("127.0.0.1", "10.199.8.1"):
        assert network.ask(network.node, address, 30080).split()[0] in ("pod2", "pod3")
    network.tell(service("steady", "10.96.7.9", sessionAffinity="ClientIP"))
    network.tell(endpoints("steady", "10.199.7.2", "10.199.7.3"))
    assert len({network.ask(network.node, "10.96.7.9", 80) for _ in range(8)}) == 1
    network.tell("delete web")
    assert network.ask(pods[0], "10.96.7.7", 80) == "ConnectionRefusedError"
    assert network.ask(network.node, "10.96.7.7", 80) == "ConnectionRefusedError"


def test_pods_reach_the_api_server_by_its_service_and_its_loopback_by_no_other_way(network: Network) -> None:
    pod = f"sv{RUN}p2"
    code = (
        "import ssl, socket; c = ssl.create_default_context(); c.check_hostname = False;"
        "c.verify_mode = ssl.CERT_NONE;"
        "s = c.wrap_socket(socket.create_connection(('10.96.0.1', 443), 5));"
        "s.sendall(b'GET /livez HTTP/1.0\\r\\n\\r\\n'); print(s.recv(4096).decode().splitlines()[0])"
    )
    command = ["ip", "netns", "exec", pod, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "200" in done.stdout, done.stderr
    network.add_server(network.node, "node", 9090)
    assert network.ask(pod, "10.199.7.1", 9090).startswith("node"), "the server is there"
    ip("netns", "exec", pod, "sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    ip("-n", pod, "addr", "del", "127.0.0.1/8", "dev", "lo")
    ip("-n", pod, "route", "add", "127.0.0.0/8", "via", "10.199.7.1")
    assert network.ask(pod, "127.0.0.1", 9090) == "TimeoutError"
    network.stop_proxy()
    assert "edgevirt-services" not in network.tables()
    assert network.ask(pod, "10.199.7.3", 8080).split()[0] == "pod3", "pods themselves are still there"
