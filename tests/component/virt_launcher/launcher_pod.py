"""A launcher pod without a kubelet: namespaces, the pod's directories, user 107, and a protocol client."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import edgevirt.virt_launcher

UID = "11111111-2222-3333-4444-555555555555"
MONITOR = Path(edgevirt.virt_launcher.__file__).parent / "monitor.py"
DEADLINE = 60.0

_NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc")
_IN_MOVED_TO = 0x80

_SETUP = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/kubevirt/sockets /run/kubevirt-private /run/libvirt /run/kubevirt-ephemeral-disks
mkdir -p /run/kubevirt-image-volume/disk_0
for name in kubevirt/sockets kubevirt-private kubevirt-ephemeral-disks kubevirt-image-volume/disk_0; do
  mount --bind "$POD/$name" "/run/$name"
done
chown -R 107:107 /run/kubevirt /run/kubevirt-private /run/libvirt /run/kubevirt-ephemeral-disks
echo "qemu:x:107:107:qemu:/var/run/kubevirt-private:/usr/sbin/nologin" | cat /etc/passwd - > /run/passwd
mount --bind /run/passwd /etc/passwd
echo "qemu:x:107:" > /run/group
mount --bind /run/group /etc/group
ip link set lo up
ip link add k6t-eth0 type bridge
ip address add 10.0.2.1/24 dev k6t-eth0
ip tuntap add tap0 mode tap user 107
ip link set tap0 master k6t-eth0 up
ip link set k6t-eth0 up
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
chmod 0666 /dev/net/tun
exec setpriv --reuid 107 --regid 107 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def vmi(**changes: Any) -> dict[str, Any]:
    """A VMI with a containerDisk, a seed disk and a blank disk; `changes` replace parts of its spec."""
    spec = {
        "domain": {
            "cpu": {"cores": 1, "sockets": 1, "threads": 1, "model": "host-model"},
            "memory": {"guest": "64Mi"},
            "features": {"acpi": {"enabled": True}},
            "devices": {
                "disks": [
                    {"name": "root", "disk": {"bus": "virtio"}},
                    {"name": "seed", "disk": {"bus": "virtio"}},
                    {"name": "blank", "disk": {"bus": "sata"}},
                ]
            },
        },
        "volumes": [
            {"name": "root", "containerDisk": {"image": "guest"}},
            {"name": "seed", "cloudInitNoCloud": {"userData": "#cloud-config\n"}},
            {"name": "blank", "emptyDisk": {"capacity": "1Gi"}},
        ],
        **changes,
    }
    return {"metadata": {"name": "vm1", "namespace": "default", "uid": UID}, "spec": spec}


class Pod:
    """One running launcher pod."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process) -> None:
        self.directory = directory
        self._process = process

    @property
    def socket(self) -> Path:
        return self.directory / "kubevirt/sockets/launcher-sock"

    async def ready(self) -> None:
        """Return when the launcher's socket has got its name, as virt-handler would see it."""
        renamed = asyncio.Event()
        loop = asyncio.get_running_loop()
        libc = ctypes.CDLL(None, use_errno=True)
        watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        libc.inotify_add_watch(watch, os.fsencode(self.socket.parent), _IN_MOVED_TO)
        loop.add_reader(watch, renamed.set)
        try:
            if not self.socket.exists():
                waits = [asyncio.ensure_future(renamed.wait()), asyncio.ensure_future(self._process.wait())]
                await asyncio.wait(waits, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            assert self.socket.exists(), f"the pod is not ready: {self._process.returncode}"
        finally:
            loop.remove_reader(watch)
            os.close(watch)

    async def exit_code(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self._process.wait()

    def pids(self, *words: str) -> list[int]:
        """Processes of this pod whose command line has all `words`."""
        first = self._first()
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdigit() and os.readlink(f"/proc/{name}/ns/pid") == os.readlink(
                    f"/proc/{first}/ns/pid"
                ):
                    line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if all(word in line for word in words):
                        found.append(int(name))
        return found

    def _first(self) -> int:
        """The pod's PID 1, as this side sees it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def terminate(self) -> None:
        os.kill(self._first(), signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self._first(), signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        await self.ready()
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


class Client:
    """virt-handler's side of the protocol, as small as it can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = 0
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, params: object = None) -> dict[str, Any]:
        """The result; an error is returned as {"error": ...}."""
        self._last += 1
        data = json.dumps({"id": self._last, "method": method, "params": params}).encode()
        self._writer.write(struct.pack(">I", len(data)) + data)
        while True:
            frame = await self._frame()
            if "event" in frame:
                self.events.append(frame["event"])
                continue
            response = frame["response"]
            assert response["id"] == self._last
            return {"error": response["error"]} if "error" in response else response["result"]

    async def until(self, state: str) -> dict[str, Any]:
        """The first status pushed with this state."""
        while True:
            for event in self.events:
                if event["kind"] == "Domain" and event["status"].get("state") == state:
                    return event["status"]
            self.events = [(await self._frame())["event"]]

    async def _frame(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            (length,) = struct.unpack(">I", await self._reader.readexactly(4))
            return json.loads(await self._reader.readexactly(length))


@contextlib.asynccontextmanager
async def launcher_pod(*, grace: int = 5, disk: bytes = b"") -> AsyncIterator[Pod]:
    """Run a pod; everything of it is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="launcher-"))
    for name in ("kubevirt/sockets", "kubevirt-private", "kubevirt-ephemeral-disks"):
        (directory / name).mkdir(parents=True)
    image = directory / "kubevirt-image-volume/disk_0/disk/guest.img"
    image.parent.mkdir(parents=True)
    image.write_bytes(disk or b"\0" * (1 << 20))
    private = "/var/run/kubevirt-private"
    flags = {
        "--qemu-timeout": "302s",
        "--name": "vm1",
        "--uid": UID,
        "--namespace": "default",
        "--kubevirt-share-dir": "/var/run/kubevirt",
        "--ephemeral-disk-dir": "/var/run/kubevirt-ephemeral-disks",
        "--container-disk-dir": "/var/run/kubevirt/container-disks",
        "--grace-period-seconds": str(grace),
        "--hook-sidecars": "0",
        "--ovmf-path": "/usr/share/edk2/ovmf",
        "--disk-memory-limit": "2097152000",
        "--hypervisor": "kvm",
    }
    switches = ("--run-as-nonroot", "--image-volume", "--upgrade-ordinal-ifaces")
    arguments = [word for pair in flags.items() for word in pair] + list(switches)
    process = await asyncio.create_subprocess_exec(
        *_NAMESPACES,
        "sh",
        "-c",
        _SETUP,
        "sh",
        sys.executable,
        "-I",
        "-S",
        str(MONITOR),
        *arguments,
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "POD": str(directory),
            "XDG_CACHE_HOME": private,
            "XDG_CONFIG_HOME": private,
            "XDG_RUNTIME_DIR": "/var/run",
        },
        start_new_session=True,
    )
    pod = Pod(directory, process)
    try:
        yield pod
    finally:
        if process.returncode is None:
            pod.kill()  # with PID 1 the kernel ends all that is in the pod
            await process.wait()
        shutil.rmtree(directory, ignore_errors=True)
