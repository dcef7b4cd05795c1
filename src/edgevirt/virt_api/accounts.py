"""Who sent a request: one of our own components, or somebody else."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Final

NODE_NAME_EXTRA: Final = "authentication.kubernetes.io/node-name"
"""Key under which an API server hands on the node a service account's token is bound to."""


class Role(enum.Enum):
    """What the sender is to virt-api."""

    API = "kubevirt-apiserver"
    CONTROLLER = "kubevirt-controller"
    HANDLER = "kubevirt-handler"
    OTHER = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """The sender of a request."""

    role: Role = Role.OTHER
    node: str = ""
    """Node the sender's credentials are bound to; "" if they are not."""
    node_required: bool = True
    """Whether a node agent must prove its node."""

    @property
    def is_component(self) -> bool:
        """Whether it is one of our own components."""
        return self.role is not Role.OTHER


@dataclasses.dataclass(frozen=True, slots=True)
class Accounts:
    """Which user names are ours: the service accounts of the namespace we are installed in."""

    namespace: str = "kubevirt"
    node_required: bool = True

    def of(self, username: str, extra: Mapping[str, Sequence[str]]) -> Account:
        """The account behind a user name that the API server has authenticated."""
        prefix = f"system:serviceaccount:{self.namespace}:"
        role = Role.OTHER
        if username.startswith(prefix):
            known = {each.value: each for each in Role if each is not Role.OTHER}
            role = known.get(username.removeprefix(prefix), Role.OTHER)
        nodes = extra.get(NODE_NAME_EXTRA, ())
        return Account(role, nodes[0] if len(nodes) == 1 else "", self.node_required)
