"""virt-launcher in a pod of its own with a real libvirt and a real QEMU (emulated, nothing to boot)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from launcher_pod import UID, Pod, launcher_pod, vmi

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(
        os.geteuid() != 0
        or not Path("/usr/sbin/libvirtd").exists()
        or any(shutil.which(tool) is None for tool in ("qemu-system-x86_64", "unshare", "setpriv", "ip")),
        reason="needs root, libvirtd, QEMU, util-linux and iproute2",
    ),
]
PRIVATE_MEMORY_LIMIT_MIB = 20


def private_memory_mib(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) / 1024


async def test_vm_starts_is_watched_and_ends() -> None:
    async with launcher_pod() as pod, pod.client() as handler:
        assert (await handler.ask("Hello", {"version": 1}))["launcher"] == "edgevirt"
        assert await handler.ask("Ping") is None
        assert await handler.ask("Subscribe") == {"uid": UID}
        status = await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        assert (status["state"], status["virtualization"], status["machineType"]) == (
            "Running",
            "qemu",
            "pc-q35-7.2",
        )
        assert await handler.ask("SyncVirtualMachine", {"vmi": vmi()}) == status
        (qemu,) = pod.pids("qemu-system")
        (launcher,) = pod.pids("__main__.py")
        assert private_memory_mib(launcher) < PRIVATE_MEMORY_LIMIT_MIB
        mapped = Path(f"/proc/{launcher}/maps").read_text()
        assert not [name for name in ("_ssl.cpython", "aiohttp", "_rust.abi3", "_yaml") if name in mapped]
        for name in ("virt-serial0", "virt-vnc", "guest-agent"):
            assert (pod.directory / "kubevirt-private" / UID / name).is_socket()
        killed = await handler.ask("KillVirtualMachine")
        assert (killed["state"], killed["reason"]) == ("Shutoff", "Destroyed")
        assert not Path(f"/proc/{qemu}").exists()
        refused = await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        assert refused["state"] == "Shutoff"  # it ran once; it is not started again
        assert (await handler.ask("DeleteVirtualMachine"))["uid"] == UID
        assert await pod.exit_code() == 0


async def test_guest_does_not_notice_that_libvirtd_is_killed() -> None:
    async with launcher_pod() as pod, pod.client() as handler:
        await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        (qemu,) = pod.pids("qemu-system")
        (libvirtd,) = pod.pids("/usr/sbin/libvirtd")
        os.kill(libvirtd, signal.SIGKILL)
        # Shutting down goes through libvirt, so its answer means that the new one is there and connected.
        assert (await handler.ask("ShutdownVirtualMachine"))["state"] == "Running"
        assert pod.pids("/usr/sbin/libvirtd") != [libvirtd]
        assert pod.pids("qemu-system") == [qemu]
        await handler.ask("Subscribe")
        os.kill(qemu, signal.SIGKILL)  # events arrive again
        assert (await handler.until("Shutoff"))["reason"] == "Crashed"


async def test_killed_qemu_is_reported_as_a_crash_with_its_last_words() -> None:
    async with launcher_pod(grace=1) as pod, pod.client() as handler:
        await handler.ask("Subscribe")
        await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        os.kill(pod.pids("qemu-system")[0], signal.SIGKILL)
        status = await handler.until("Shutoff")
        assert status["reason"] == "Crashed"
        assert "QEMU's log ends with" in status["message"]
        assert len(status["message"].encode()) <= 4096
        await handler.ask("DeleteVirtualMachine")
        assert await pod.exit_code() == 0


async def test_terminated_pod_ends_a_guest_that_ignores_the_power_button() -> None:
    async with launcher_pod(grace=1) as pod, pod.client() as handler:
        await handler.ask("Subscribe")
        await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        pod.terminate()
        assert (await handler.until("Shutoff"))["reason"] == "Destroyed"
        await handler.ask("DeleteVirtualMachine")
        assert await pod.exit_code() == 0


async def test_terminated_pod_without_guest_ends_at_once() -> None:
    async with launcher_pod() as pod:
        await pod.ready()
        pod.terminate()
        assert await pod.exit_code() == 0


async def test_vm_that_cannot_start_says_why_and_can_be_corrected() -> None:
    nic = {"name": "default", "bridge": {}}
    with_nic = vmi()
    with_nic["spec"]["domain"]["devices"]["interfaces"] = [nic]
    lease = {
        "interface": "k6t-eth0",
        "server": "10.0.2.1",
        "mac": "02:00:00:00:00:07",
        "address": "10.0.2.2/24",
    }
    link = {"name": "default", "tap": "tap0", "mac": "02:00:00:00:00:07", "dhcp": lease}
    async with launcher_pod() as pod, pod.client() as handler:
        stranger = {**vmi(), "metadata": {"name": "vm1", "namespace": "default", "uid": "other"}}
        assert (await handler.ask("SyncVirtualMachine", {"vmi": stranger}))["error"]["reason"] == "Conflict"
        error = (await handler.ask("SyncVirtualMachine", {"vmi": with_nic}))["error"]
        assert (error["reason"], "interfaces[0]" in error["message"]) == ("Invalid", True)
        missing = {"vmi": with_nic, "links": [{**link, "tap": "tap9"}]}
        error = (await handler.ask("SyncVirtualMachine", missing))["error"]
        assert error["reason"] == "LibvirtError"
        failed = await handler.ask("GetDomain")
        assert (failed["state"], failed["reason"]) == ("Shutoff", "Failed")
        assert failed["message"]
        status = await handler.ask("SyncVirtualMachine", {"vmi": with_nic, "links": [link]})
        assert status["state"] == "Running", status
        assert status["interfaces"] == [{"name": "default", "mac": "02:00:00:00:00:07"}]
        assert _listens_on_port_67(pod)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"firmware": {"bootloader": {"efi": {"secureBoot": False}}}}, "Running"),
        ({"firmware": {"bootloader": {"efi": {}}}, "features": {"smm": {"enabled": True}}}, "Running"),
        ({"firmware": {"bootloader": {"bios": {"useSerial": True}}}}, "Running"),
        ({"startStrategy": "Paused"}, "Paused"),
    ],
    ids=["efi", "secure-boot", "serial-bios", "paused"],
)
async def test_every_way_to_boot_starts(changes: dict[str, Any], state: str) -> None:
    machine = vmi()
    strategy = changes.pop("startStrategy", None)
    if strategy:
        machine["spec"]["startStrategy"] = strategy
    machine["spec"]["domain"].update(changes)
    async with launcher_pod() as pod, pod.client() as handler:
        status = await handler.ask("SyncVirtualMachine", {"vmi": machine})
        assert status.get("state") == state, status
        await handler.ask("DeleteVirtualMachine")
        assert await pod.exit_code() == 0


def _listens_on_port_67(pod: Pod) -> bool:
    sockets = Path(f"/proc/{pod.pids('__main__.py')[0]}/net/udp").read_text()
    return ":0043 " in sockets


async def test_container_disk_that_is_no_disk_is_refused_by_name() -> None:
    async with launcher_pod(disk=b"KDMV" + b"\0" * 4096) as pod, pod.client() as handler:
        error = (await handler.ask("SyncVirtualMachine", {"vmi": vmi()}))["error"]
        assert error["reason"] == "Invalid"
        assert "spec.volumes[0]" in error["message"]
        assert "VMDK" in error["message"]


async def test_seed_disk_has_the_user_data() -> None:
    async with launcher_pod() as pod, pod.client() as handler:
        await handler.ask("SyncVirtualMachine", {"vmi": vmi()})
        image = pod.directory / "kubevirt-ephemeral-disks/seed.iso"
        if shutil.which("isoinfo") is None:
            assert b"#cloud-config\n" in image.read_bytes()
            return
        command = ["isoinfo", "-J", "-x", "/meta-data;1", "-i", str(image)]
        result = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=10)
        meta = json.loads(result.stdout)
        assert meta["local-hostname"] == "vm1"
