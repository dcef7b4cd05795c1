"""NamespaceLifecycle: nothing is created in a namespace that does not exist or is being deleted.

Three namespaces cannot be deleted at all. Without this, the deletion of a namespace would race with
clients that keep filling it.
"""

from __future__ import annotations

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission.plugin import group_resource
from edgevirt.engine.apiserver.errors import Cause, Details, StatusError
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle:
    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return operation == "CREATE" or (operation == "DELETE" and not group and plural == "namespaces")

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 404 for a missing namespace, 403 for a terminating or immortal one."""
        resource = attributes.resource
        if attributes.operation == "DELETE":
            if resource.group_resource == "namespaces" and attributes.name in IMMORTAL:
                raise errors.forbidden("namespaces", attributes.name, "this namespace may not be deleted")
            return
        if attributes.operation != "CREATE" or not resource.namespaced or resource.review:
            return
        namespace = self._reader.get("", "namespaces", "", attributes.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", attributes.namespace)
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            raise _terminating(attributes)


def _terminating(attributes: AdmissionAttributes) -> StatusError:
    namespace, resource = attributes.namespace, attributes.resource
    subject = (
        f'{group_resource(attributes)} "{attributes.name}"' if attributes.name else group_resource(attributes)
    )
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    return StatusError(
        403,
        "Forbidden",
        f"{subject} is forbidden: unable to create new content in namespace {namespace} because it is being "
        "terminated",
        Details(group=resource.group, kind=resource.plural, name=attributes.name, causes=(cause,)),
    )
