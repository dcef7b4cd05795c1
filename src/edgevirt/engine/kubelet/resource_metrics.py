"""The kubelet's /metrics/resource and /stats/summary: usage of node, pods and containers, by the usual names.

Metrics servers and Prometheus read the first, older tools the second. Both are made from one reading of the
kernel's counters; rates are for the reader to make.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edgevirt.engine.kubelet.accounting import Usage

_METRICS = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container"),
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"),
    ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node"),
    ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
    ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod"),
    ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ("resource_scrape_error", "gauge", "1 if there was an error while getting metrics, 0 otherwise"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One container, or with `container` "" a whole pod. `moment` and `started` are Unix times."""

    namespace: str
    pod: str
    uid: str
    container: str
    usage: Usage
    moment: float
    started: float


def exposition(node: Usage, moment: float, measured: Sequence[Measured]) -> str:
    """Prometheus' text format."""
    lines = []
    for name, kind, text in _METRICS:
        samples = list(_samples(name, node, moment, measured))
        if samples:
            lines += [f"# HELP {name} [STABLE] {text}", f"# TYPE {name} {kind}", *samples]
    return "\n".join(lines) + "\n"


def _samples(name: str, node: Usage, moment: float, measured: Sequence[Measured]) -> Iterator[str]:
    subject, _, rest = name.partition("_")
    what = rest.split("_")[0]
    if subject == "resource":
        yield f"{name} 0"
    elif subject == "node":
        yield f"{name} {_value(what, node, 0)} {int(moment * 1000)}"
    else:
        for one in measured:
            if bool(one.container) == (subject == "container"):
                labels = [f'container="{one.container}"'] if one.container else []
                labels += [f'namespace="{one.namespace}"', f'pod="{one.pod}"']
                stamp = "" if what == "start" else f" {int(one.moment * 1000)}"
                yield f"{name}{{{','.join(labels)}}} {_value(what, one.usage, one.started)}{stamp}"


def _value(what: str, usage: Usage, started: float) -> str:
    return {"cpu": f"{usage.cpu / 1e9:.9f}", "memory": str(usage.memory), "start": f"{started:.3f}"}[what]


def summary(
    name: str, boot: float, memory: int, node: Usage, moment: float, measured: Iterable[Measured]
) -> dict[str, Any]:
    """The Summary document; `memory` is the machine's, in bytes."""
    pods: dict[str, dict[str, Any]] = {}
    for one in sorted(measured, key=lambda one: one.container):  # a pod before its containers
        cpu, used = _cpu(one.usage, one.moment), _memory(one.usage, one.moment)
        entry = {"startTime": _time(one.started), "cpu": cpu, "memory": used}
        if one.container:
            pods[one.uid]["containers"].append({"name": one.container, **entry})
        else:
            reference = {"name": one.pod, "namespace": one.namespace, "uid": one.uid}
            pods[one.uid] = {"podRef": reference, **entry, "containers": []}
    available = {"availableBytes": max(memory - node.memory, 0)}
    return {
        "node": {
            "nodeName": name,
            "startTime": _time(boot),
            "cpu": _cpu(node, moment),
            "memory": _memory(node, moment) | available,
        },
        "pods": list(pods.values()),
    }


def _cpu(usage: Usage, moment: float) -> dict[str, Any]:
    return {"time": _time(moment), "usageCoreNanoSeconds": usage.cpu}


def _memory(usage: Usage, moment: float) -> dict[str, Any]:
    return {"time": _time(moment), "workingSetBytes": usage.memory}


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
