"""What a decision is made from: a node and what is taken on it, and why a pod cannot go there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from edgevirt.api import quantity
from edgevirt.api.core import Node
from edgevirt.engine.scheduler import requests
from edgevirt.engine.scheduler.ledger import Usage
from edgevirt.engine.scheduler.requests import Amounts

NamespaceLabels = Callable[[str], Mapping[str, str]]
"""The labels of the namespace with that name; none for one that does not exist."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A node and what is taken on it."""

    node: Node
    usage: Usage

    @property
    def name(self) -> str:
        return self.node.metadata.name

    @property
    def allocatable(self) -> Amounts:
        """What pods may use on the node; quantities nobody can read count as nothing."""
        found: Amounts = {}
        for name, value in (self.node.status.allocatable if self.node.status else {}).items():
            try:
                found.update(requests.amounts({name: value}))
            except quantity.QuantityError:
                found[name] = 0
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a pod cannot run on a node, in kube-scheduler's words. `fixed`: even with no other pod."""

    reason: str
    fixed: bool = False
