"""Load for the API server of any kubeconfig, ours or another's, and what it costs that server.

The same lines come out whatever serves: requests per second and latencies of each verb, lists, watch fan-out,
processor time per request and memory of the server's processes. The client is one process with a hand-made
protocol on uvloop that looks at nothing but status and length of an answer; its own share of a core is a line
of its own, because on a small machine it takes time from the server. Everything lives in one namespace that
is removed in the end, also after an interrupt.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from bench import instance
from bench.apiserver.run import Plan, run
from bench.metric import Metric


async def measure() -> Iterator[Metric]:
    """The local instance, or what $KUBECONFIG names, in the short form of `make bench`."""
    path = Path(os.environ.get("KUBECONFIG") or instance.layout().admin_kubeconfig)
    pids = () if "KUBECONFIG" in os.environ else (instance.processes()["control-plane"],)
    metrics: list[Metric] = []
    seconds = float(os.environ.get("BENCH_API_SECONDS", "2"))
    await asyncio.to_thread(run, path, Plan(pids=pids, seconds=seconds), metrics.append)
    return iter(metrics)
