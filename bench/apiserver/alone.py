"""An API server of its own, without controllers and components, in a temporary directory.

This is what stands against kube-apiserver with etcd: the same work in the same processes, and its memory.
Run as a module it is that server; `started` runs it as a child and gives its kubeconfig and pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bench.instance import BenchError
from edgevirt.engine.apiserver.server import ApiServer, Settings
from edgevirt.engine.pki.authority import Authority, write_leaf
from edgevirt.kube import kubeconfig
from edgevirt.kube.memory import freeze_heap

_END_SECONDS = 30
KUBECONFIG = "kubeconfig"


@contextlib.contextmanager
def started(source: Path | None = None) -> Iterator[tuple[Path, int]]:
    """Kubeconfig and pid; `source` is another tree's `src` to run instead of this one's, to compare."""
    with tempfile.TemporaryDirectory(prefix="bench-apiserver-") as name:
        environment = dict(os.environ)
        if source is not None:
            environment["PYTHONPATH"] = str(source)
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.apiserver.alone", name],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        try:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                raise BenchError("the API server did not start")
            yield Path(name) / KUBECONFIG, child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(_END_SECONDS)
            if child.stdout is not None:
                child.stdout.close()


async def _serve(directory: Path) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    authority = Authority.load_or_create(directory)
    serving = authority.issue("apiserver", ips=("127.0.0.1",), server=True)
    admin = authority.issue("admin", groups=("system:masters",), client=True)
    certificate, key = write_leaf(directory, "apiserver", serving)
    server = ApiServer(
        Settings(
            data_dir=directory / "data",
            address="127.0.0.1",
            port=0,
            certificate=certificate,
            key=key,
            client_ca=directory / "ca.crt",
        )
    )
    await server.open()
    try:
        await server.listen()
        kubeconfig.write(
            directory / KUBECONFIG,
            f"https://127.0.0.1:{server.port}",
            authority.cert_pem,
            admin.cert_pem,
            admin.key_pem,
        )
        async with asyncio.TaskGroup() as tasks:
            server.work(tasks)
            freeze_heap()
            print("ready", flush=True)
    finally:
        await server.close()


if __name__ == "__main__":
    with (
        contextlib.suppress(asyncio.CancelledError),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(Path(sys.argv[1])))
