"""What guests see: cloud-init data from every source, extra disks, the network, their one console."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator

import pytest
from live_cluster import Cluster, Namespace
from live_console import Console
from live_machines import address, instance_spec, machine, script, secret

from live_instance import Instance

pytestmark = pytest.mark.system

USER_DATA = "#!/bin/sh\necho the user data ran\n"
NETWORK_DATA = "version: 2\nethernets:\n  eth0:\n    dhcp4: true\n"


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Iterator[Namespace]:
    """Two running machines, `left` with all its cloud-init data from secrets and an empty disk, `right`."""
    with cluster.namespace() as namespace:
        from_secrets = {
            "secretRef": {"name": "user-data"},
            "networkDataSecretRef": {"name": "network-data"},
        }
        encoded = {
            "userDataBase64": base64.b64encode(USER_DATA.encode()).decode(),
            "networkDataBase64": base64.b64encode(NETWORK_DATA.encode()).decode(),
        }
        left = instance_spec(cluster.image, grace=0, cloud_init=from_secrets, empty_disk="48Mi")
        right = instance_spec(cluster.image, grace=0, cloud_init=encoded)
        namespace.apply(
            secret("user-data", userdata=USER_DATA),
            secret("network-data", networkdata=NETWORK_DATA),
            machine("left", left),
            machine("right", right),
        )
        for name in ("left", "right"):
            namespace.until_ready("vmi", name)
        yield namespace


@pytest.fixture(scope="module")
def left(pair: Namespace) -> Iterator[Console]:
    with Console(pair, "left") as console:
        console.log_in()
        yield console


@pytest.mark.parametrize("name", ["left", "right"])
def test_cloud_init_data_reaches_the_guest(pair: Namespace, name: str) -> None:
    """From secrets in `left`, base64 in `right`; the kind without encoding is in nearly every other test."""
    with Console(pair, name) as console:
        console.log_in()
        console.run("umount /mnt 2>/dev/null; mount -t iso9660 -o ro /dev/vdb /mnt")
        assert console.run("cat /mnt/user-data") == USER_DATA.strip()
        assert console.run("cat /mnt/network-config") == NETWORK_DATA.strip()
        assert name in console.run("cat /mnt/meta-data")
        assert console.run("hostname") == name


def test_an_empty_disk_has_its_size_and_serial_and_takes_data(left: Console) -> None:
    assert left.run("cat /sys/block/vdc/size") == str(48 * 2**20 // 512)
    assert left.run("cat /sys/block/vdc/serial") == "SCRATCH1"
    left.run("mke2fs -q /dev/vdc && mkdir -p /run/scratch && mount /dev/vdc /run/scratch")
    left.run("echo kept > /run/scratch/file && umount /run/scratch && mount /dev/vdc /run/scratch")
    assert left.run("cat /run/scratch/file") == "kept"


def test_guests_reach_each_other(pair: Namespace, left: Console) -> None:
    other = address(pair.get("vmi", "right"))
    left.run(f"ping -c 2 -W 5 {other}")
    assert left.run(f"wget -q -O - http://{other}/") == "right"


def test_the_guest_has_the_address_its_status_says(pair: Namespace, left: Console) -> None:
    mine = pair.get("vmi", "left")
    shown = left.run("ip -4 -o addr show dev eth0; cat /sys/class/net/eth0/address")
    assert f"inet {address(mine)}/" in shown
    assert mine["status"]["interfaces"][0]["mac"] in shown
    assert left.run("cat /etc/resolv.conf") != ""


def test_a_guest_reaches_the_host(pair: Namespace, left: Console, instance: Instance) -> None:
    left.run(f"ping -c 2 -W 5 {instance.gateway}")
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.client_address[0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the host")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.HTTPServer((instance.gateway, 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        answer = left.run(f"wget -q -O - http://{instance.gateway}:{server.server_port}/")
        server.shutdown()
        serving.join()
    assert answer == "the host"
    assert asked == [address(pair.get("vmi", "left"))]


def test_a_second_console_takes_over_from_the_first(pair: Namespace) -> None:
    with Console(pair, "right") as first:
        first.log_in()
        with Console(pair, "right") as second:
            second.log_in()
            first.until_closed()
            assert second.run("echo still here") == "still here"


def test_the_agent_tells_what_runs_in_the_guest(pair: Namespace) -> None:
    pair.kubectl("wait", "vmi/left", "--for=condition=AgentConnected", "--timeout=60s")


def test_a_machine_without_network_runs(namespace: Namespace) -> None:
    spec = instance_spec(namespace.cluster.image, grace=0, network=False, cloud_init=script("true"))
    namespace.apply(machine("alone", spec))
    namespace.until_ready("vmi", "alone")
    with Console(namespace, "alone") as console:
        console.log_in()
        assert console.run("ls /sys/class/net") == "lo"
