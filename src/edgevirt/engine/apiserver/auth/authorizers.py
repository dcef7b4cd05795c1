"""Several authorizers as one: whoever allows first decides, as in Kubernetes' chain Node,RBAC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from edgevirt.engine.apiserver.auth.rules import Rule
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo


class RulingAuthorizer(Protocol):
    """An authorizer that can also list the rules it decides by."""

    def authorize(self, attributes: Attributes) -> Decision: ...

    def rules_for(self, user: UserInfo, namespace: str) -> Iterator[Rule]: ...


class AnyOf:
    """Allows what any of `members` allows."""

    def __init__(self, members: Sequence[RulingAuthorizer]) -> None:
        self._members = tuple(members)

    def authorize(self, attributes: Attributes) -> Decision:
        reasons: list[str] = []
        for member in self._members:
            decision = member.authorize(attributes)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))

    def rules_for(self, user: UserInfo, namespace: str) -> Iterator[Rule]:
        for member in self._members:
            yield from member.rules_for(user, namespace)
