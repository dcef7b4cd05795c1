"""Defaults of built-in kinds, as the Kubernetes API reference documents them.

Each function fills one object in place and is idempotent. Nothing here looks at other objects or allocates
(cluster addresses, phases, tokens are the strategies' work), and nothing touches `status`.
"""

from __future__ import annotations

from collections.abc import Callable

from edgevirt.engine.apiserver.schema import Json, workload_defaults
from edgevirt.engine.apiserver.schema.filling import fill, items_of, object_of
from edgevirt.engine.apiserver.schema.pod_defaults import pod_spec

RBAC_GROUP = "rbac.authorization.k8s.io"


def _pod(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is not None:
        pod_spec(spec)
        spec.setdefault("enableServiceLinks", True)


def _service(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in items_of(spec, "ports"):
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0) and port.get("port") is not None:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {})
        if isinstance(config, dict):
            client = config.setdefault("clientIP", {})
            if isinstance(client, dict):
                fill(client, timeoutSeconds=10800)


def _secret(obj: Json) -> None:
    fill(obj, type="Opaque")


def _claim(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is not None:
        fill(spec, volumeMode="Filesystem")


def _persistent_volume(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    host_path = object_of(spec, "hostPath")
    if host_path is not None:
        host_path.setdefault("type", "")


def _endpoints(obj: Json) -> None:
    for subset in items_of(obj, "subsets"):
        for port in items_of(subset, "ports"):
            fill(port, protocol="TCP")


def _endpoint_slice(obj: Json) -> None:
    for port in items_of(obj, "ports"):
        port.setdefault("name", "")
        fill(port, protocol="TCP")


def _binding(obj: Json) -> None:
    ref = object_of(obj, "roleRef")
    if ref is not None:
        fill(ref, apiGroup=RBAC_GROUP)
    for subject in items_of(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=RBAC_GROUP)


def _webhooks(obj: Json) -> None:
    for webhook in items_of(obj, "webhooks"):
        fill(webhook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        config = object_of(webhook, "clientConfig")
        service = object_of(config, "service") if config is not None else None
        if service is not None:
            fill(service, port=443)
        for rule in items_of(webhook, "rules"):
            fill(rule, scope="*")


def _match_resources(spec: Json | None, name: str) -> None:
    matched = object_of(spec, name) if spec is not None else None
    if matched is None:
        return
    fill(matched, matchPolicy="Equivalent")
    matched.setdefault("namespaceSelector", {})
    matched.setdefault("objectSelector", {})
    for rules in ("resourceRules", "excludeResourceRules"):
        for rule in items_of(matched, rules):
            fill(rule, scope="*")


def _admission_policy(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is not None:
        fill(spec, failurePolicy="Fail")
    _match_resources(spec, "matchConstraints")


def _policy_binding(obj: Json) -> None:
    _match_resources(object_of(obj, "spec"), "matchResources")


def _mutating_webhooks(obj: Json) -> None:
    _webhooks(obj)
    for webhook in items_of(obj, "webhooks"):
        fill(webhook, reinvocationPolicy="Never")


def _storage_class(obj: Json) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _priority_class(obj: Json) -> None:
    fill(obj, preemptionPolicy="PreemptLowerPriority")


def _limit_range(obj: Json) -> None:
    spec = object_of(obj, "spec")
    for item in items_of(spec, "limits") if spec is not None else ():
        if item.get("type") != "Container":
            continue
        default = dict(object_of(item, "max") or {}) | (object_of(item, "default") or {})
        if default:
            item["default"] = default
        request = (object_of(item, "min") or {}) | default | (object_of(item, "defaultRequest") or {})
        if request:
            item["defaultRequest"] = request


def _api_service(obj: Json) -> None:
    spec = object_of(obj, "spec")
    service = object_of(spec, "service") if spec is not None else None
    if service is not None:
        fill(service, port=443)


def _custom_resource_definition(obj: Json) -> None:
    spec = object_of(obj, "spec")
    if spec is None:
        return
    names = object_of(spec, "names")
    if names is not None and isinstance(names.get("kind"), str) and names["kind"]:
        fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    conversion = object_of(spec, "conversion")
    webhook = object_of(conversion, "webhook") if conversion is not None else None
    config = object_of(webhook, "clientConfig") if webhook is not None else None
    service = object_of(config, "service") if config is not None else None
    if service is not None:
        fill(service, port=443)


BY_KIND: dict[tuple[str, str], Callable[[Json], None]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Secret"): _secret,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _persistent_volume,
    ("", "Endpoints"): _endpoints,
    ("", "LimitRange"): _limit_range,
    ("apps", "Deployment"): workload_defaults.deployment,
    ("apps", "ReplicaSet"): workload_defaults.replica_set,
    ("apps", "StatefulSet"): workload_defaults.stateful_set,
    ("apps", "DaemonSet"): workload_defaults.daemon_set,
    ("batch", "Job"): workload_defaults.job,
    ("batch", "CronJob"): workload_defaults.cron_job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    (RBAC_GROUP, "RoleBinding"): _binding,
    (RBAC_GROUP, "ClusterRoleBinding"): _binding,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): _admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _policy_binding,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _policy_binding,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _custom_resource_definition,
}
