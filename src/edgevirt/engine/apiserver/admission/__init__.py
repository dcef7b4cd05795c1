"""Admission of the embedded API server: built-in plugins, policies and webhooks.

`build` makes the chain the server mounts.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.admission.caller import WebhookCaller
from edgevirt.engine.apiserver.admission.chain import Chain
from edgevirt.engine.apiserver.admission.claim_resize import ClaimResize
from edgevirt.engine.apiserver.admission.configuration import validate as validate_webhook_configuration
from edgevirt.engine.apiserver.admission.escalation import RoleEscalation
from edgevirt.engine.apiserver.admission.limit_ranger import LimitBounds, LimitDefaults, LimitRanges
from edgevirt.engine.apiserver.admission.mutating_policies import MutatingPolicies
from edgevirt.engine.apiserver.admission.namespaces import NamespaceLifecycle
from edgevirt.engine.apiserver.admission.node_restriction import NodeRestriction
from edgevirt.engine.apiserver.admission.pod_defaults import (
    DefaultStorageClass,
    DefaultTolerations,
    OneDefaultPriority,
    Priority,
)
from edgevirt.engine.apiserver.admission.policies import Policies
from edgevirt.engine.apiserver.admission.policy_access import PolicyAccess
from edgevirt.engine.apiserver.admission.resource_quota import ResourceQuotas, StatusWriter
from edgevirt.engine.apiserver.admission.service_accounts import ServiceAccounts
from edgevirt.engine.apiserver.admission.webhooks import Webhooks
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory
from edgevirt.engine.apiserver.aggregation.trust import TrustStore
from edgevirt.engine.apiserver.auth.rbac import RoleBasedAccess
from edgevirt.engine.apiserver.extension import Authorizer, ObjectReader
from edgevirt.engine.apiserver.registry import Registry, ServedResource

__all__ = ["Chain", "build", "validate_webhook_configuration"]


def build(
    reader: ObjectReader,
    registry: Registry,
    access: RoleBasedAccess,
    directory: ServiceDirectory,
    authorizer: Authorizer | None = None,
    write_quota: StatusWriter | None = None,
) -> Chain:
    """The chain, following `reader`. `directory` must observe the same reader. Close it when done.

    `authorizer` answers expressions that ask what a user may do; without one `access` does. `write_quota`
    charges ResourceQuotas; without it there are none.
    """
    caller = WebhookCaller(directory, TrustStore())

    def versions(group: str, plural: str) -> list[str]:
        return [found.version for found in registry.list() if (found.group, found.plural) == (group, plural)]

    def kinds(api_version: str, kind: str) -> ServedResource | None:
        return next((r for r in registry.list() if (r.api_version, r.kind) == (api_version, kind)), None)

    webhooks = Webhooks(reader, caller, versions, authorizer or access)
    webhooks.observe()
    registry.on_change(webhooks.forget_matches)
    mutating_policies = MutatingPolicies(reader, authorizer or access, versions, kinds)
    mutating_policies.observe()
    registry.on_change(mutating_policies.forget)
    policies = Policies(reader, authorizer or access, versions, kinds)
    policies.observe()
    registry.on_change(policies.forget)
    ranges = LimitRanges(reader)
    quotas = ResourceQuotas(reader, write_quota) if write_quota is not None else None
    mutating = (
        NamespaceLifecycle(reader),
        NodeRestriction(reader),
        LimitDefaults(ranges),
        ServiceAccounts(reader),
        Priority(reader),
        OneDefaultPriority(reader),
        DefaultTolerations(),
        DefaultStorageClass(reader),
    )
    return Chain(
        mutating,
        (
            LimitBounds(ranges),
            ClaimResize(reader),
            RoleEscalation(access),
            PolicyAccess(reader, authorizer or access, kinds),
        ),
        mutating_policies,
        policies,
        webhooks,
        quotas,
        caller.close,
    )
