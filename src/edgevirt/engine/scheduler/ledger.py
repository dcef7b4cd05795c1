"""Who occupies what: pods, resources and ports taken on every node, kept up to date pod by pod.

A pod counts from the moment we decide where it goes (`assume`), not only when the watch reports it bound;
otherwise two pods scheduled within a few milliseconds could both get the last free memory. An assumption ends
when the pod is seen bound, when binding failed (`release`), or when the pod is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from edgevirt.api import quantity
from edgevirt.api.core import Pod
from edgevirt.engine.scheduler import requests
from edgevirt.engine.scheduler.requests import Amounts, HostPort


@dataclasses.dataclass(slots=True)
class Usage:
    """What is taken on one node, and by whom (by uid). `amounts["pods"]` is the number of pods."""

    amounts: Amounts = dataclasses.field(default_factory=dict)
    ports: dict[str, frozenset[HostPort]] = dataclasses.field(default_factory=dict)
    pods: dict[str, Pod] = dataclasses.field(default_factory=dict)

    def taken_ports(self) -> Iterable[HostPort]:
        for ports in self.ports.values():
            yield from ports

    def add(self, pod: Pod) -> None:
        """Count the pod, which is not counted yet."""
        for name, amount in _needs(pod).items():
            self.amounts[name] = self.amounts.get(name, 0) + amount
        if ports := requests.host_ports(pod):
            self.ports[pod.metadata.uid] = ports
        self.pods[pod.metadata.uid] = pod

    def remove(self, uid: str) -> None:
        """Count the pod no longer."""
        for name, amount in _needs(self.pods.pop(uid)).items():
            self.amounts[name] -= amount
        self.ports.pop(uid, None)

    def changed(self, *, without: Collection[str] = (), plus: Iterable[Pod] = ()) -> Usage:
        """What would be taken without some pods and with others."""
        result = Usage(dict(self.amounts), dict(self.ports), dict(self.pods))
        for uid in without:
            result.remove(uid)
        for pod in plus:
            if pod.metadata.uid not in result.pods:
                result.add(pod)
        return result


class Ledger:
    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}
        self._usage: dict[str, Usage] = {}

    def usage(self, node: str) -> Usage:
        return self._usage.get(node) or Usage()

    def is_placed(self, uid: str) -> bool:
        """Whether the pod is bound or about to be."""
        return uid in self._nodes

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
        self._nodes[uid] = node
        self._usage.setdefault(node, Usage()).add(pod)

    def release(self, uid: str) -> bool:
        """The pod occupies nothing any more. True if it did."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return False
        usage = self._usage[node]
        usage.remove(uid)
        if not usage.pods:
            del self._usage[node]
        return True


def _needs(pod: Pod) -> Amounts:
    try:
        needs = requests.pod_requests(pod)
    except quantity.QuantityError:
        needs = {}  # bound by somebody else with a quantity nobody can read: it still is a pod
    needs["pods"] = 1
    return needs
