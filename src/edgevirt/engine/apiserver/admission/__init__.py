"""Admission of the embedded API server: built-in plugins and webhooks.

ValidatingAdmissionPolicy is not served. `build` makes the chain the server mounts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgevirt.engine.apiserver.admission.caller import WebhookCaller
from edgevirt.engine.apiserver.admission.chain import Chain
from edgevirt.engine.apiserver.admission.configuration import validate as validate_webhook_configuration
from edgevirt.engine.apiserver.admission.escalation import RoleEscalation
from edgevirt.engine.apiserver.admission.namespaces import NamespaceLifecycle
from edgevirt.engine.apiserver.admission.node_restriction import NodeRestriction
from edgevirt.engine.apiserver.admission.pod_defaults import DefaultStorageClass, DefaultTolerations, Priority
from edgevirt.engine.apiserver.admission.service_accounts import ServiceAccounts
from edgevirt.engine.apiserver.admission.webhooks import Webhooks
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory
from edgevirt.engine.apiserver.aggregation.trust import TrustStore
from edgevirt.engine.apiserver.auth.rbac import RoleBasedAccess
from edgevirt.engine.apiserver.extension import ObjectReader

__all__ = ["Chain", "ServedVersions", "build", "validate_webhook_configuration"]


class ServedVersions(Protocol):
    """What admission needs of the registry of served resources."""

    def on_change(self, callback: Callable[[], None]) -> None: ...

    def versions(self, group: str, plural: str) -> Sequence[str]:
        """The versions in which a resource is served."""


def build(
    reader: ObjectReader, served: ServedVersions, access: RoleBasedAccess, directory: ServiceDirectory
) -> Chain:
    """The chain, following `reader`. `directory` must observe the same reader. Close it when done."""
    caller = WebhookCaller(directory, TrustStore())
    webhooks = Webhooks(reader, caller, served.versions)
    webhooks.observe()
    served.on_change(webhooks.forget_matches)
    mutating = (
        NamespaceLifecycle(reader),
        NodeRestriction(reader),
        ServiceAccounts(reader),
        Priority(reader),
        DefaultTolerations(),
        DefaultStorageClass(reader),
    )
    return Chain(mutating, (RoleEscalation(access),), webhooks, caller.close)
