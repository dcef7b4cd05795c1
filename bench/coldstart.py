"""From starting the control plane's process to its API server saying it is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.instance import BenchError
from bench.metric import Metric, percentile
from edgevirt.install.standalone import config
from edgevirt.install.standalone.layout import ROOT_VARIABLE, Layout
from edgevirt.install.standalone.supervise import CONTROL_PLANE, MODULES

ROUNDS = int(os.environ.get("BENCH_COLD_STARTS", "5"))
_READY_SECONDS = 30.0


async def measure() -> Iterator[Metric]:
    """The first start makes keys, certificates and the store; the others find them."""
    with tempfile.TemporaryDirectory(prefix="edgevirt-bench-") as name:
        layout = Layout(Path(name))
        layout.create()
        ports = _free_ports(4)
        settings = msgspec.structs.replace(
            config.Config(),
            api_port=ports[0],
            virt_api_port=ports[1],
            kubelet_port=ports[2],
            virt_handler_port=ports[3],
            node_name="bench",
        )
        config.save(layout.config_file, settings)
        samples = [await _start(layout, ports[0]) for _ in range(ROUNDS + 1)]
    (first_api, first_all), others = samples[0], samples[1:]
    return iter(
        [
            Metric("cold-start.first.readyz", first_api, "s"),
            Metric("cold-start.first.control-plane", first_all, "s"),
            Metric("cold-start.readyz.p50", percentile([api for api, _ in others], 0.5), "s"),
            Metric("cold-start.readyz.max", max(api for api, _ in others), "s"),
            Metric("cold-start.control-plane.p50", percentile([all_ for _, all_ in others], 0.5), "s"),
        ]
    )


async def _start(layout: Layout, port: int) -> tuple[float, float]:
    """Seconds to /readyz and to the whole control plane's own report."""
    reader, writer = os.pipe()
    begun = time.monotonic()
    child = _spawn(layout, writer)
    os.close(writer)
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await _until_ready(port)
            ready = time.monotonic() - begun
            report = await asyncio.to_thread(os.read, reader, 4096)
        if report != b"ready\n":
            raise BenchError(f"the control plane did not start: {report.decode(errors='replace')}")
        return ready, time.monotonic() - begun
    finally:
        os.close(reader)
        child.send_signal(signal.SIGTERM)
        await asyncio.to_thread(child.wait, 30)


def _spawn(layout: Layout, report: int) -> subprocess.Popen[bytes]:
    with layout.log_file(CONTROL_PLANE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", MODULES[CONTROL_PLANE], "--report-fd", str(report)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], ROOT_VARIABLE: str(layout.root)},
            cwd="/",
            pass_fds=(report,),
            start_new_session=True,
        )


async def _until_ready(port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only its time is of interest
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in await reader.readline():
                return
        finally:
            writer.close()
        await asyncio.sleep(0.01)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
