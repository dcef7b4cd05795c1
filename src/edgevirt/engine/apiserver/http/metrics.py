"""Metrics of the API server under Kubernetes' names, in Prometheus' text format.

Counting costs a dictionary entry per request; text is only made when somebody asks. Labels are names that
are served here, so a client cannot make series out of thin air. Durations of watches and streams are not
counted, as in Kubernetes. Used on the event loop only.
"""

from __future__ import annotations

import bisect
import os
import resource as process_limits
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from edgevirt.engine.apiserver.http.trail import Trail

CONTENT_TYPE = "text/plain; version=0.0.4"

_BUCKETS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0),
    *(6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
_VERBS = {
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
}
_CONNECT = frozenset({"exec", "attach", "portforward", "proxy"})
LONG_RUNNING = frozenset({"WATCH", "CONNECT"})
_READS = frozenset({"GET", "LIST", "WATCH", "HEAD"})

Labels = tuple[str, ...]
_WHAT = ("verb", "group", "version", "resource", "subresource", "scope")


class Durations:
    """One histogram series."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect.bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds


class RequestMetrics:
    """What is counted about requests."""

    def __init__(self) -> None:
        self._totals: Counter[Labels] = Counter()
        self._durations: dict[Labels, Durations] = {}
        self._in_flight = {"mutating": 0, "readOnly": 0}
        self._long_running: Counter[Labels] = Counter()

    def begin(self, method: str) -> str:
        """A request has come; give what is returned to `end`."""
        kind = "readOnly" if method in _READS else "mutating"
        self._in_flight[kind] += 1
        return kind

    def identified(self, trail: Trail, apply: bool) -> Labels:
        """It is known what is asked for: the labels to count it under. Long ones are in flight no more."""
        labels = labels_of(trail, apply)
        if labels[0] in LONG_RUNNING:
            self._long_running[labels] += 1
        return labels

    def end(self, kind: str, labels: Labels, code: int, dry_run: bool, seconds: float) -> None:
        self._in_flight[kind] -= 1
        self._totals[(*labels, "All" if dry_run else "", str(code))] += 1
        if labels[0] in LONG_RUNNING:
            self._long_running[labels] -= 1
            return
        series = self._durations.get(labels)
        if series is None:
            series = self._durations[labels] = Durations()
        series.observe(seconds)

    def lines(self) -> Iterator[str]:
        yield from _family(
            "apiserver_request_total",
            "counter",
            "Requests by verb, resource and answer.",
            (
                (dict(zip((*_WHAT, "dry_run", "code"), labels, strict=True)) | _COMPONENT, count)
                for labels, count in sorted(self._totals.items())
            ),
        )
        yield from self._histogram()
        yield from _family(
            "apiserver_current_inflight_requests",
            "gauge",
            "Requests being served, watches and streams included.",
            (({"request_kind": kind}, count) for kind, count in self._in_flight.items()),
        )
        yield from _family(
            "apiserver_longrunning_requests",
            "gauge",
            "Watches and streams that are open.",
            (
                (dict(zip(_WHAT, labels, strict=True)) | _COMPONENT, count)
                for labels, count in sorted(self._long_running.items())
            ),
        )

    def _histogram(self) -> Iterator[str]:
        name = "apiserver_request_duration_seconds"
        yield f"# HELP {name} Seconds from a request's head to its answer."
        yield f"# TYPE {name} histogram"
        for labels, series in sorted(self._durations.items()):
            named = dict(zip(_WHAT, labels, strict=True)) | _COMPONENT
            count = 0
            for bound, in_bucket in zip((*_BUCKETS, None), series.buckets, strict=True):
                count += in_bucket
                shown = "+Inf" if bound is None else f"{bound:g}"
                yield f"{name}_bucket{_labels(named | {'le': shown})} {count}"
            yield f"{name}_sum{_labels(named)} {series.total:.9g}"
            yield f"{name}_count{_labels(named)} {count}"


_COMPONENT = {"component": "apiserver"}
NOTHING_KNOWN: Labels = ("OTHER", "", "", "", "", "")


def labels_of(trail: Trail, apply: bool) -> Labels:
    """Verb, group, version, resource, subresource and scope of what is served; else next to nothing."""
    attributes = trail.attributes
    if attributes is None:
        return NOTHING_KNOWN
    if not attributes.resource:
        return (attributes.verb.upper() if trail.served else "OTHER", "", "", "", "", "")
    if not trail.served:
        return NOTHING_KNOWN
    verb = "APPLY" if apply and attributes.verb == "patch" else _VERBS.get(attributes.verb, "OTHER")
    if attributes.subresource in _CONNECT:
        verb = "CONNECT"
    scope = "resource" if attributes.name else "namespace" if attributes.namespace else "cluster"
    return (
        verb,
        attributes.group,
        attributes.version,
        attributes.resource,
        attributes.subresource,
        scope,
    )


class Metrics:
    """Everything on `/metrics`. `sources` give further lines when asked."""

    def __init__(self, version: str) -> None:
        self.requests = RequestMetrics()
        self._version = version
        self._started = time.time()
        self._sources: list[Callable[[], Iterable[str]]] = []

    def add(self, source: Callable[[], Iterable[str]]) -> None:
        self._sources.append(source)

    def text(self) -> str:
        lines = [*self.requests.lines(), *self._process()]
        for source in self._sources:
            lines.extend(source())
        lines.append("")
        return "\n".join(lines)

    def _process(self) -> Iterator[str]:
        usage = process_limits.getrusage(process_limits.RUSAGE_SELF)
        with open("/proc/self/statm", encoding="ascii") as statm:
            pages = int(statm.read().split()[1])
        yield from gauge("kubernetes_build_info", "The version served.", 1, {"git_version": self._version})
        yield from _family(
            "process_cpu_seconds_total",
            "counter",
            "Processor time of this process.",
            [({}, usage.ru_utime + usage.ru_stime)],
        )
        yield from gauge(
            "process_resident_memory_bytes",
            "Memory of this process.",
            pages * os.sysconf("SC_PAGE_SIZE"),
        )
        yield from gauge("process_open_fds", "Open descriptors.", len(os.listdir("/proc/self/fd")))
        yield from gauge("process_start_time_seconds", "When the server was made.", self._started)


def gauge(name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """The lines of a gauge with one series."""
    return _family(name, "gauge", text, [(labels or {}, value)])


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    """The lines of a gauge with a series for each value of one label."""
    return _family(name, "gauge", text, (({label: key}, value) for key, value in values.items()))


def counter(name: str, text: str, value: float) -> Iterator[str]:
    """The lines of a counter with one series."""
    return _family(name, "counter", text, [({}, value)])


def _family(
    name: str, kind: str, text: str, series: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in series:
        yield f"{name}{_labels(labels)} {value:.15g}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = {
        key: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for key, value in labels.items()
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"
