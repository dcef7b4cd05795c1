"""NodeRestriction: an agent on a node writes its own node and what runs there, nothing else.

Two kinds of users are confined. A kubelet (`system:node:<name>`) may write its node, its lease, the status
of its pods, and ask for tokens of its pods' accounts. Any other agent whose certificate names a role and a
node (for instance a virt-handler) may write labels, annotations and status of its own node only. So a
taken node cannot lure workloads of other nodes or open the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.admission.plugin import group_resource
from edgevirt.engine.apiserver.admission.service_accounts import MIRROR
from edgevirt.engine.apiserver.auth.authenticator import NODE_NAME, ROLE
from edgevirt.engine.apiserver.auth.nodes import node_name, references_of
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes, UserInfo

LEASE_NAMESPACE = "kube-node-lease"
RESERVED_LABELS = "node-restriction.kubernetes.io/"
_RESOURCES = frozenset(
    {("", "nodes"), ("", "pods"), ("", "serviceaccounts"), ("coordination.k8s.io", "leases")}
)


def agent_node(user: UserInfo) -> str:
    """The node to which a component's certificate confines it; "" if it is no node agent."""
    names = user.extra.get(NODE_NAME, ())
    return names[0] if user.extra.get(ROLE) and len(names) == 1 else ""


class NodeRestriction:
    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural) in _RESOURCES

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 for a write beyond the agent's own node."""
        kubelet = node_name(attributes.user)
        if kubelet:
            self._admit_kubelet(kubelet, attributes)
            return
        agent = agent_node(attributes.user)
        if agent and attributes.resource.group_resource == "nodes":
            self._admit_agent(agent, attributes)

    def _admit_kubelet(self, node: str, attributes: AdmissionAttributes) -> None:
        match attributes.resource.group_resource, attributes.subresource:
            case "nodes", _:
                _own_node(node, attributes)
                _keeps_reserved_labels(node, attributes)
            case "pods", "":
                self._pod(node, attributes)
            case "pods", "status":
                if _node_of(attributes.old_object) != node:
                    raise _refused(
                        attributes,
                        f'node "{node}" can only update pod status for pods with spec.nodeName set to itself',
                    )
                if _labels(attributes.object) != _labels(attributes.old_object):
                    # Services and controllers find their pods by labels.
                    raise _refused(attributes, f'node "{node}" cannot update labels through pod status')
            case "pods", "eviction":
                pod = self._reader.get("", "pods", attributes.namespace, attributes.name)
                if pod is not None and _node_of(pod) != node:
                    raise _refused(
                        attributes, f"node {node} can only evict pods with spec.nodeName set to itself"
                    )
            case "pods", subresource:
                raise _refused(attributes, f'unexpected pod subresource "{subresource}"')
            case "serviceaccounts", "token":
                self._token(node, attributes)
            case "leases.coordination.k8s.io", _:
                _lease(node, attributes)

    def _admit_agent(self, node: str, attributes: AdmissionAttributes) -> None:
        _own_node(node, attributes)
        _keeps_reserved_labels(node, attributes)
        if attributes.operation != "UPDATE":
            raise _refused(
                attributes, f'an agent of node "{node}" may change its node, not {attributes.operation} it'
            )
        if _spec(attributes.object) != _spec(attributes.old_object):
            raise _refused(attributes, f'an agent of node "{node}" may not change spec of its node')

    def _pod(self, node: str, attributes: AdmissionAttributes) -> None:
        if attributes.operation == "DELETE":
            if attributes.old_object is not None and _node_of(attributes.old_object) != node:
                raise _refused(
                    attributes, f'node "{node}" can only delete pods with spec.nodeName set to itself'
                )
            return
        if attributes.operation != "CREATE":
            raise _refused(attributes, f'unexpected operation "{attributes.operation}"')
        annotations = _metadata(attributes.object).get("annotations") or {}
        if MIRROR not in annotations:
            raise _refused(
                attributes,
                f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods',
            )
        if _node_of(attributes.object) != node:
            raise _refused(attributes, f'node "{node}" can only create pods with spec.nodeName set to itself')
        # What a pod of its own names a node may read: it must not be the one to choose the names.
        for plural, _, _ in references_of({"metadata": {}, **(attributes.object or {})}):
            what = "a service account" if plural == "serviceaccounts" else plural
            raise _refused(attributes, f'node "{node}" can not create pods that reference {what}')

    def _token(self, node: str, attributes: AdmissionAttributes) -> None:
        reference = _spec(attributes.object).get("boundObjectRef") or {}
        if reference.get("kind") != "Pod" or not reference.get("name"):
            raise _refused(attributes, "node requested token not bound to a pod")
        pod = self._reader.get("", "pods", attributes.namespace, reference["name"])
        if pod is None:
            raise errors.not_found("pods", reference["name"])
        if not reference.get("uid") or reference["uid"] != pod["metadata"].get("uid"):
            raise _refused(attributes, "node requested token with a pod binding without a valid uid")
        if _node_of(pod) != node:
            raise _refused(attributes, "node requested token bound to a pod scheduled on a different node")


def _own_node(node: str, attributes: AdmissionAttributes) -> None:
    name = attributes.name or _metadata(attributes.object).get("name", "")
    if name != node:
        raise _refused(attributes, f'node "{node}" is not allowed to modify node "{name}"')


def _keeps_reserved_labels(node: str, attributes: AdmissionAttributes) -> None:
    """Labels with the reserved prefix are the administrator's, who steers sensitive workloads by them."""
    if attributes.object is None:
        return
    new, old = _labels(attributes.object), _labels(attributes.old_object)
    changed = sorted(key for key in {*new, *old} if RESERVED_LABELS in key and new.get(key) != old.get(key))
    if changed:
        raise _refused(attributes, f"is not allowed to modify labels: {', '.join(changed)}")
    if attributes.old_object is not None and (_metadata(attributes.object).get("ownerReferences") or []) != (
        _metadata(attributes.old_object).get("ownerReferences") or []
    ):
        raise _refused(attributes, f'node "{node}" cannot modify owner references of node')


def _lease(node: str, attributes: AdmissionAttributes) -> None:
    if attributes.namespace != LEASE_NAMESPACE:
        raise _refused(attributes, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    name = attributes.name or _metadata(attributes.object).get("name", "")
    if name != node:
        raise _refused(attributes, "can only access node lease with the same name as the requesting node")


def _refused(attributes: AdmissionAttributes, why: str) -> StatusError:
    return errors.forbidden(group_resource(attributes), attributes.name, why)


def _metadata(document: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (document or {}).get("metadata") or {}


def _labels(document: Mapping[str, Any] | None) -> Mapping[str, str]:
    return _metadata(document).get("labels") or {}


def _spec(document: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (document or {}).get("spec") or {}


def _node_of(pod: Mapping[str, Any] | None) -> str:
    return str(_spec(pod).get("nodeName", ""))
