"""`authorizer` in CEL: expressions of admission may ask what the user of the request may do.

Each builder step makes a narrower question (`authorizer.group('apps').resource('deployments')
.namespace('x').check('create').allowed()`); `check` asks the server's own authorizer, from memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from edgevirt.engine.apiserver.extension import Authorizer
from edgevirt.engine.apiserver.request import AdmissionAttributes, Attributes, Decision, UserInfo
from edgevirt.engine.cel.functions import indexed, method
from edgevirt.engine.cel.types import BOOL, STRING, Type, opaque
from edgevirt.engine.cel.values import Opaque

AUTHORIZER = opaque("kubernetes.authorization.Authorizer")
PATH_CHECK = opaque("kubernetes.authorization.PathCheck")
GROUP_CHECK = opaque("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = opaque("kubernetes.authorization.ResourceCheck")
DECISION = opaque("kubernetes.authorization.Decision")
_CHECK_COST = 350_000


@dataclass(frozen=True, slots=True)
class AuthorizerValue(Opaque):
    cel_type: ClassVar[Type] = AUTHORIZER
    authorizer: Authorizer
    user: UserInfo

    def for_service_account(self, namespace: str, name: str) -> AuthorizerValue:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        user = UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)
        return AuthorizerValue(self.authorizer, user)

    def request_resource(self, attributes: AdmissionAttributes) -> ResourceCheck:
        resource = attributes.resource
        return ResourceCheck(
            self,
            resource.group,
            resource.plural,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
        )


@dataclass(frozen=True, slots=True)
class PathCheck(Opaque):
    cel_type: ClassVar[Type] = PATH_CHECK
    asked: AuthorizerValue
    path: str

    def check(self, verb: str) -> DecisionValue:
        attributes = Attributes(user=self.asked.user, verb=verb, path=self.path)
        return DecisionValue(self.asked.authorizer.authorize(attributes))


@dataclass(frozen=True, slots=True)
class GroupCheck(Opaque):
    cel_type: ClassVar[Type] = GROUP_CHECK
    asked: AuthorizerValue
    group: str


@dataclass(frozen=True, slots=True)
class ResourceCheck(Opaque):
    cel_type: ClassVar[Type] = RESOURCE_CHECK
    asked: AuthorizerValue
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def check(self, verb: str) -> DecisionValue:
        attributes = Attributes(
            user=self.asked.user,
            verb=verb,
            group=self.group,
            version="*",
            resource=self.resource,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
        )
        return DecisionValue(self.asked.authorizer.authorize(attributes))


@dataclass(frozen=True, slots=True)
class DecisionValue(Opaque):
    cel_type: ClassVar[Type] = DECISION
    decision: Decision


def _narrowed(field: str) -> Any:
    return lambda check, value: dataclasses.replace(check, **{field: value})


def _unselected(check: ResourceCheck, selector: str) -> ResourceCheck:
    """RBAC does not look at selectors, so naming one changes nothing."""
    return check


FUNCTIONS = indexed(
    [
        method("path", (AUTHORIZER, STRING), PATH_CHECK, PathCheck),
        method("group", (AUTHORIZER, STRING), GROUP_CHECK, GroupCheck),
        method(
            "serviceAccount", (AUTHORIZER, STRING, STRING), AUTHORIZER, AuthorizerValue.for_service_account
        ),
        method(
            "resource",
            (GROUP_CHECK, STRING),
            RESOURCE_CHECK,
            lambda check, name: ResourceCheck(check.asked, check.group, name),
        ),
        *(
            method(field, (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _narrowed(field))
            for field in ("subresource", "namespace", "name")
        ),
        method("fieldSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _unselected),
        method("labelSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _unselected),
        method("check", (PATH_CHECK, STRING), DECISION, PathCheck.check, price=lambda sizes: _CHECK_COST),
        method(
            "check", (RESOURCE_CHECK, STRING), DECISION, ResourceCheck.check, price=lambda sizes: _CHECK_COST
        ),
        method("allowed", (DECISION,), BOOL, lambda decision: decision.decision.allowed),
        method("reason", (DECISION,), STRING, lambda decision: decision.decision.reason),
        method("errored", (DECISION,), BOOL, lambda decision: False),
        method("error", (DECISION,), STRING, lambda decision: ""),
    ]
)
