"""Readings of a kubelet's /metrics/resource, and the usage between two of them. Pure.

A container that was started between two readings has a smaller counter than before, or none: what it used
since its start is then the best that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ContainerName = tuple[str, str, str]
"""(namespace, pod, container)"""

_SAMPLE = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? ([0-9.eE+-]+)(?: (\d+))?$")
_LABEL = re.compile(r'([a-z]+)="([^"]*)"')


@dataclass(slots=True)
class Sample:
    """Processor seconds since the start, working set in bytes, Unix times."""

    cpu: float = 0.0
    memory: int = 0
    moment: float = 0.0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    node: Sample = field(default_factory=Sample)
    containers: dict[ContainerName, Sample] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Used:
    """`cpu` in nanocores; measured over `window` seconds up to `moment`."""

    cpu: int
    memory: int
    moment: float
    window: float


def parse(text: str) -> Reading:
    """From Prometheus' text format. Unknown metrics are skipped; ValueError for what is no such text."""
    reading = Reading()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.match(line)
        if found is None:
            raise ValueError(f"not a sample: {line[:80]!r}")
        name, labels, value, stamp = found.groups()
        _note(reading, name, dict(_LABEL.findall(labels or "")), float(value), int(stamp or 0) / 1000)
    return reading


def _note(reading: Reading, name: str, labels: Mapping[str, str], value: float, moment: float) -> None:
    subject, _, what = name.partition("_")
    if subject == "node":
        sample = reading.node
    elif subject == "container" and labels.keys() >= {"namespace", "pod", "container"}:
        key = (labels["namespace"], labels["pod"], labels["container"])
        sample = reading.containers.setdefault(key, Sample())
    else:
        return
    match what:
        case "cpu_usage_seconds_total":
            sample.cpu, sample.moment = value, moment
        case "memory_working_set_bytes":
            sample.memory = int(value)
        case "start_time_seconds":
            sample.started = value


def between(before: Sample | None, after: Sample) -> Used | None:
    """Usage from `before` to `after`; None if no time has passed."""
    if before is None or before.cpu > after.cpu or before.started != after.started:
        seconds, cpu = after.moment - after.started, after.cpu
    else:
        seconds, cpu = after.moment - before.moment, after.cpu - before.cpu
    if seconds <= 0:
        return None
    return Used(max(round(cpu / seconds * 1e9), 0), after.memory, after.moment, seconds)


def of_pod(
    before: Reading, after: Reading, namespace: str, pod: str, containers: Iterable[str]
) -> dict[str, Used]:
    """Usage by container; {} unless all of the pod's running containers are known."""
    found = {}
    for name in containers:
        sample = after.containers.get((namespace, pod, name))
        used = between(before.containers.get((namespace, pod, name)), sample) if sample else None
        if used is None:
            return {}
        found[name] = used
    return found
