"""Who makes a policy read parameters must be able to read them himself.

A policy's messages and decisions show what its parameters hold, so without this anybody who may write
policies could read every Secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.extension import Authorizer, ObjectReader
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import AdmissionAttributes, Attributes
from edgevirt.engine.apiserver.schema import FORBIDDEN

GROUP = "admissionregistration.k8s.io"
_POLICIES = {
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
}
"""Bindings, and the policies they bind."""

Json = dict[str, Any]


class PolicyAccess:
    def __init__(
        self,
        reader: ObjectReader,
        authorizer: Authorizer,
        kinds: Callable[[str, str], ServedResource | None],
    ) -> None:
        self._reader = reader
        self._authorizer = authorizer
        self._kinds = kinds

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        written = operation in ("CREATE", "UPDATE") and not subresource
        return group == GROUP and (plural in _POLICIES or plural in _POLICIES.values()) and written

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 422 if the parameters are none of the user's business."""
        obj, old = attributes.object, attributes.old_object
        if obj is None or (old is not None and old.get("spec") == obj.get("spec")):
            return
        spec = obj.get("spec") or {}
        if attributes.resource.plural not in _POLICIES:
            self._check_policy(attributes, spec)
        elif spec.get("paramRef"):
            self._check_binding(attributes, spec)

    def _check_policy(self, attributes: AdmissionAttributes, spec: Json) -> None:
        kind = spec.get("paramKind")
        if not kind:
            return
        if not self._may(attributes, "get", kind, "*", "*"):
            described = f"kind={kind.get('kind', '')}, apiVersion={kind.get('apiVersion', '')}"
            raise _refusal(
                attributes,
                "spec.paramKind",
                f'user {attributes.user.name} must have "get" permission on all objects of the referenced '
                f"paramKind ({described})",
            )

    def _check_binding(self, attributes: AdmissionAttributes, spec: Json) -> None:
        policy = self._reader.get(
            GROUP, _POLICIES[attributes.resource.plural], "", spec.get("policyName") or ""
        )
        kind = ((policy or {}).get("spec") or {}).get("paramKind")
        if not kind:
            return  # nothing is read until the policy says of which kind
        reference = spec["paramRef"]
        verb = "get" if reference.get("name") else "list"
        if not self._may(
            attributes, verb, kind, reference.get("namespace") or "*", reference.get("name") or "*"
        ):
            raise _refusal(
                attributes,
                "spec.paramRef",
                f'user {attributes.user.name} does not have "{verb}" permission on the object referenced by '
                "paramRef",
            )

    def _may(self, attributes: AdmissionAttributes, verb: str, kind: Json, namespace: str, name: str) -> bool:
        """A kind that is not served (yet) is asked about as any resource of its group."""
        api_version = kind.get("apiVersion") or ""
        group, _, version = api_version.rpartition("/")
        resource = self._kinds(api_version, kind.get("kind") or "")
        namespaced = resource is None or resource.namespaced
        asked = Attributes(
            user=attributes.user,
            verb=verb,
            group=group,
            version=version,
            resource=resource.plural if resource is not None else "*",
            namespace="" if namespace == "*" or not namespaced else namespace,
            name="" if name == "*" else name,
        )
        return self._authorizer.authorize(asked).allowed


def _refusal(attributes: AdmissionAttributes, field: str, text: str) -> errors.StatusError:
    resource = attributes.resource
    cause = Cause(FORBIDDEN, f"Forbidden: {text}", field)
    return errors.invalid(resource.kind, resource.group, attributes.name, [cause])
