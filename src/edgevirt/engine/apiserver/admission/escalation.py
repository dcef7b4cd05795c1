"""The escalation check as an admission plugin: see `auth.escalation`."""

from __future__ import annotations

from edgevirt.engine.apiserver.auth.escalation import check_binding, check_role
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP, RoleBasedAccess
from edgevirt.engine.apiserver.request import AdmissionAttributes


class RoleEscalation:
    def __init__(self, access: RoleBasedAccess) -> None:
        self._access = access

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return group == RBAC_GROUP and operation in ("CREATE", "UPDATE")

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 when the user would grant more than it holds."""
        document = attributes.object
        if document is None:
            return
        plural = attributes.resource.plural
        check = check_role if plural in ("roles", "clusterroles") else check_binding
        name = attributes.name or document["metadata"].get("name", "")
        check(
            self._access, attributes.user, plural, attributes.namespace, name, document, attributes.old_object
        )
