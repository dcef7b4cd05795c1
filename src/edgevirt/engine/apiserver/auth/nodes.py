"""What a node's kubelet may do: the rules of its job, and reads only of what its own pods refer to.

A user `system:node:<name>` in group `system:nodes` gets fixed rules (below; writes are confined further by
admission) that let it read its own node and the pods bound to it, plus: get, list and watch of a single
secret, config map or claim that such a pod names, the persistent volumes of such claims, and token requests
for service accounts of such pods. So a taken node reads what its guests could read anyway, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from edgevirt.engine.apiserver.auth.rules import Rule
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo

NODES_GROUP = "system:nodes"
NODE_USER = "system:node:"

Reference = tuple[str, str, str]
"""(plural, namespace, name) of an object a pod refers to."""

_READ = ("get", "list", "watch")
_REFERRED = ("secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts")
RULES = (
    Rule(("create",), ("authentication.k8s.io",), ("tokenreviews",)),
    Rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews", "localsubjectaccessreviews")),
    Rule(_READ, ("",), ("services",)),
    Rule(("create", *_READ), ("",), ("nodes",)),
    Rule(("update", "patch"), ("",), ("nodes", "nodes/status")),
    Rule(("create", "update", "patch"), ("", "events.k8s.io"), ("events",)),
    Rule(_READ, ("",), ("pods",)),
    Rule(("create", "delete"), ("",), ("pods",)),
    Rule(("update", "patch"), ("",), ("pods/status",)),
    Rule(("create",), ("",), ("pods/eviction",)),
    Rule(("get", "create", "update", "patch", "delete"), ("coordination.k8s.io",), ("leases",)),
    Rule(_READ, ("storage.k8s.io",), ("storageclasses", "csidrivers", "csinodes")),
    Rule(_READ, ("node.k8s.io",), ("runtimeclasses",)),
    Rule(("get",), (), (), (), ("/healthz", "/livez", "/readyz", "/version", "/version/")),
)


def node_name(user: UserInfo) -> str:
    """The node whose kubelet `user` is; "" for everybody else."""
    if NODES_GROUP in user.groups and user.name.startswith(NODE_USER):
        return user.name.removeprefix(NODE_USER)
    return ""


class NodeAccess:
    """The authorizer of kubelets. Has no opinion (refuses) about everybody else."""

    def __init__(self) -> None:
        self._references: dict[str, Counter[Reference]] = {}
        self._pods: dict[tuple[str, str], tuple[str, frozenset[Reference]]] = {}
        self._volume_of_claim: dict[tuple[str, str], str] = {}

    def observe(self, reader: ObjectReader) -> None:
        """Follows pods and claims of `reader` from now on."""
        reader.observe("", "pods", self.apply_pod)
        reader.observe("", "persistentvolumeclaims", self.apply_claim)

    def apply_pod(self, event: str, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        node, references = self._pods.pop(key, ("", frozenset()))
        if node:
            counts = self._references[node]
            counts.subtract(references)
            self._references[node] = +counts
            if not self._references[node]:
                del self._references[node]
        node = (pod.get("spec") or {}).get("nodeName", "")
        if event == "DELETED" or not node:
            return
        references = frozenset(references_of(pod))
        self._pods[key] = (node, references)
        self._references.setdefault(node, Counter()).update(references)

    def apply_claim(self, event: str, claim: Mapping[str, Any]) -> None:
        key = (claim["metadata"].get("namespace", ""), claim["metadata"]["name"])
        volume = (claim.get("spec") or {}).get("volumeName", "")
        if event == "DELETED" or not volume:
            self._volume_of_claim.pop(key, None)
        else:
            self._volume_of_claim[key] = volume

    def authorize(self, attributes: Attributes) -> Decision:
        node = node_name(attributes.user)
        if not node:
            return Decision(False)
        reason = self._out_of_reach(node, attributes)
        if reason:
            return Decision(False, reason)
        if self._by_rule(attributes) or self._by_reference(node, attributes):
            return Decision(True)
        return Decision(False, _refusal(node, attributes))

    def _out_of_reach(self, node: str, asked: Attributes) -> str:
        """Why a read of a node or pod is of another node's, "" if it is not."""
        if asked.group or asked.verb not in _READ:
            return ""
        if asked.resource == "nodes" and asked.name != node:
            what = f"'{asked.name}'" if asked.name else "all nodes"
            return f"node '{node}' cannot read {what}, only its own Node object"
        if asked.resource != "pods" or asked.subresource:
            return ""
        if asked.verb == "get":
            bound, _ = self._pods.get((asked.namespace, asked.name), ("", frozenset()))
            return "" if bound == node else f"no relationship found between node '{node}' and this object"
        terms = (term.partition("=") for term in asked.field_selector.split(","))
        if any(field == "spec.nodeName" and value.removeprefix("=") == node for field, _, value in terms):
            return ""
        return "can only list/watch pods with spec.nodeName field selector"

    def rules_for(self, user: UserInfo, namespace: str) -> Iterator[Rule]:
        """The fixed rules of a kubelet; what it may do by reference depends on its pods."""
        if node_name(user):
            yield from RULES

    def _by_rule(self, asked: Attributes) -> bool:
        if not asked.resource:
            return any(rule.allows_url(asked.verb, asked.path) for rule in RULES)
        return any(
            rule.allows_resource(asked.verb, asked.group, asked.resource, asked.subresource, asked.name)
            for rule in RULES
        )

    def _by_reference(self, node: str, asked: Attributes) -> bool:
        held = self._references.get(node)
        if not held or asked.group or not asked.name:
            return False
        if asked.resource == "serviceaccounts" and asked.subresource == "token":
            return asked.verb == "create" and ("serviceaccounts", asked.namespace, asked.name) in held
        if asked.subresource or asked.verb not in _READ:
            return False
        if asked.resource == "persistentvolumes":
            return any(
                plural == "persistentvolumeclaims"
                and self._volume_of_claim.get((namespace, name)) == asked.name
                for plural, namespace, name in held
            )
        if asked.resource not in _REFERRED:
            return False
        return (asked.resource, asked.namespace, asked.name) in held


def _refusal(node: str, asked: Attributes) -> str:
    """Why something that pods may refer to is out of this node's reach."""
    if asked.group or asked.resource not in _REFERRED or asked.subresource:
        return ""
    if asked.verb not in _READ:
        return "can only read resources of this type"
    if not asked.name:
        return "No Object name found"
    return f"no relationship found between node '{node}' and this object"


def references_of(pod: Mapping[str, Any]) -> Iterator[Reference]:
    """Every secret, config map, claim and service account that `pod` names."""
    namespace = pod["metadata"].get("namespace", "")
    spec = pod.get("spec") or {}
    for plural, name in _named(spec):
        if name:
            yield plural, namespace, name


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "serviceaccounts", spec.get("serviceAccountName", "")
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _named_by_volume(volume)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _named_by_container(container)


def _named_by_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "secrets", (volume.get("secret") or {}).get("secretName", "")
    yield "configmaps", (volume.get("configMap") or {}).get("name", "")
    yield "persistentvolumeclaims", (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name", "")
        yield "configmaps", (source.get("configMap") or {}).get("name", "")
    for driver in ("csi", "cephfs", "rbd", "iscsi", "flexVolume", "storageos", "scaleIO"):
        settings = volume.get(driver) or {}
        for key in ("nodePublishSecretRef", "secretRef"):
            yield "secrets", (settings.get(key) or {}).get("name", "")


def _named_by_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield "secrets", (source.get("secretRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapRef") or {}).get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "secrets", (source.get("secretKeyRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name", "")
