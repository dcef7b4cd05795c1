"""Who occupies what: resources and ports taken on every node, kept up to date pod by pod.

A pod counts from the moment we decide where it goes (`assume`), not only when the watch reports it bound;
otherwise two pods scheduled within a few milliseconds could both get the last free memory. An assumption ends
when the pod is seen bound, when binding failed (`release`), or when the pod is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from edgevirt.api import quantity
from edgevirt.api.core import Pod
from edgevirt.engine.scheduler import requests
from edgevirt.engine.scheduler.requests import Amounts, HostPort


@dataclasses.dataclass(slots=True)
class Usage:
    """What is taken on one node. `amounts["pods"]` is the number of pods."""

    amounts: Amounts = dataclasses.field(default_factory=dict)
    ports: dict[str, frozenset[HostPort]] = dataclasses.field(default_factory=dict)

    def taken_ports(self) -> Iterable[HostPort]:
        for ports in self.ports.values():
            yield from ports


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    node: str
    amounts: Amounts


class Ledger:
    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._usage: dict[str, Usage] = {}

    def usage(self, node: str) -> Usage:
        return self._usage.get(node) or Usage()

    def is_placed(self, uid: str) -> bool:
        """Whether the pod is bound or about to be."""
        return uid in self._entries

    def observe(self, pod: Pod) -> None:
        """Take over what the API says about a pod."""
        node = pod.spec.node_name if pod.spec else ""
        if not requests.occupies(pod):
            self.release(pod.metadata.uid)
        elif node:
            self.assume(pod, node)
        # A pod without a node may be one we have just assumed: the binding is still on its way.

    def assume(self, pod: Pod, node: str) -> None:
        """Count the pod on `node`, and nowhere else."""
        uid = pod.metadata.uid
        self.release(uid)
        try:
            needs = requests.pod_requests(pod)
        except quantity.QuantityError:
            needs = {}  # bound by somebody else with a quantity nobody can read: it still is a pod
        needs["pods"] = 1
        self._entries[uid] = _Entry(node, needs)
        usage = self._usage.setdefault(node, Usage())
        for name, amount in needs.items():
            usage.amounts[name] = usage.amounts.get(name, 0) + amount
        if ports := requests.host_ports(pod):
            usage.ports[uid] = ports

    def release(self, uid: str) -> bool:
        """The pod occupies nothing any more. True if it did."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return False
        usage = self._usage[entry.node]
        for name, amount in entry.amounts.items():
            usage.amounts[name] -= amount
        usage.ports.pop(uid, None)
        if not usage.amounts.get("pods"):
            del self._usage[entry.node]
        return True
