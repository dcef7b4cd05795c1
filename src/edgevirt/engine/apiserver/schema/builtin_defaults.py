"""Defaults of built-in kinds, as the Kubernetes API reference documents them.

Each function fills one object in place and is idempotent. Nothing here looks at other objects or allocates
(cluster addresses, phases, tokens are the strategies' work), and nothing touches `status`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgevirt.engine.apiserver.schema import Json

RBAC_GROUP = "rbac.authorization.k8s.io"


def _items(holder: Json, name: str) -> list[Json]:
    """The objects of list field `name`; empty when absent or of a wrong type."""
    value = holder.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(holder: Json, name: str) -> Json | None:
    value = holder.get(name)
    return value if isinstance(value, dict) else None


def _fill(holder: Json, **defaults: Any) -> None:
    """Set what is absent or, for text, empty."""
    for name, value in defaults.items():
        if holder.get(name) in (None, ""):
            holder[name] = value


def pull_policy(image: str) -> str:
    """Always for a moving tag (latest or none), IfNotPresent for a fixed tag or a digest."""
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Json | None) -> None:
    if probe is None:
        return
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _handler(probe)


def _handler(handler: Json | None) -> None:
    if handler is None:
        return
    http = _object(handler, "httpGet")
    if http is not None:
        _fill(http, path="/", scheme="HTTP")
    grpc = _object(handler, "grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _field_ref(holder: Json | None) -> None:
    ref = _object(holder, "fieldRef") if holder is not None else None
    if ref is not None:
        _fill(ref, apiVersion="v1")
    resource = _object(holder, "resourceFieldRef") if holder is not None else None
    if resource is not None and resource.get("divisor") is None:
        resource["divisor"] = "0"


def _container(container: Json) -> None:
    image = container.get("image")
    _fill(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=pull_policy(image if isinstance(image, str) else ""),
    )
    container.setdefault("resources", {})
    _requests_from_limits(container)
    for port in _items(container, "ports"):
        _fill(port, protocol="TCP")
    for variable in _items(container, "env"):
        _field_ref(_object(variable, "valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _probe(_object(container, name))
    lifecycle = _object(container, "lifecycle")
    if lifecycle is not None:
        _handler(_object(lifecycle, "postStart"))
        _handler(_object(lifecycle, "preStop"))


def _requests_from_limits(container: Json) -> None:
    """A limit without a request is also the request."""
    resources = _object(container, "resources")
    limits = _object(resources, "limits") if resources is not None else None
    if resources is None or not limits:
        return
    requests = resources.setdefault("requests", {})
    if isinstance(requests, dict):
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _volume(volume: Json) -> None:
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = _object(volume, name)
        if source is not None:
            _fill(source, defaultMode=0o644)
            _downward_items(source)
            for projection in _items(source, "sources"):
                _projection(projection)
    host_path = _object(volume, "hostPath")
    if host_path is not None:
        host_path.setdefault("type", "")
    image = _object(volume, "image")
    if image is not None:
        reference = image.get("reference")
        _fill(image, pullPolicy=pull_policy(reference if isinstance(reference, str) else ""))
    ephemeral = _object(volume, "ephemeral")
    template = _object(ephemeral, "volumeClaimTemplate") if ephemeral is not None else None
    claim = _object(template, "spec") if template is not None else None
    if claim is not None:
        _fill(claim, volumeMode="Filesystem")
    if not any(name != "name" for name in volume):
        volume["emptyDir"] = {}


def _projection(projection: Json) -> None:
    token = _object(projection, "serviceAccountToken")
    if token is not None:
        _fill(token, expirationSeconds=3600)
    downward = _object(projection, "downwardAPI")
    if downward is not None:
        _downward_items(downward)


def _downward_items(source: Json) -> None:
    for item in _items(source, "items"):
        _field_ref(item)


def pod_spec(spec: Json) -> None:
    """Defaults of a pod's spec, also inside templates."""
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
    )
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName") and not spec.get("serviceAccount"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount") and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for container in _items(spec, name):
            _container(container)
            if spec.get("hostNetwork") is True:
                for port in _items(container, "ports"):
                    if port.get("containerPort") is not None and not port.get("hostPort"):
                        port["hostPort"] = port["containerPort"]
    for volume in _items(spec, "volumes"):
        _volume(volume)
    for constraint in _items(spec, "topologySpreadConstraints"):
        _fill(constraint, nodeAffinityPolicy="Honor", nodeTaintsPolicy="Ignore")


def _pod(obj: Json) -> None:
    spec = _object(obj, "spec")
    if spec is not None:
        pod_spec(spec)
        spec.setdefault("enableServiceLinks", True)


def _pod_template(obj: Json) -> None:
    template = _object(obj, "template")
    spec = _object(template, "spec") if template is not None else None
    if spec is not None:
        pod_spec(spec)


def _service(obj: Json) -> None:
    spec = _object(obj, "spec")
    if spec is None:
        return
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    for port in _items(spec, "ports"):
        _fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0) and port.get("port") is not None:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        _fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {})
        if isinstance(config, dict):
            client = config.setdefault("clientIP", {})
            if isinstance(client, dict):
                _fill(client, timeoutSeconds=10800)


def _secret(obj: Json) -> None:
    _fill(obj, type="Opaque")


def _claim(obj: Json) -> None:
    spec = _object(obj, "spec")
    if spec is not None:
        _fill(spec, volumeMode="Filesystem")


def _persistent_volume(obj: Json) -> None:
    spec = _object(obj, "spec")
    if spec is None:
        return
    _fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    host_path = _object(spec, "hostPath")
    if host_path is not None:
        host_path.setdefault("type", "")


def _endpoints(obj: Json) -> None:
    for subset in _items(obj, "subsets"):
        for port in _items(subset, "ports"):
            _fill(port, protocol="TCP")


def _endpoint_slice(obj: Json) -> None:
    for port in _items(obj, "ports"):
        port.setdefault("name", "")
        _fill(port, protocol="TCP")


def _binding(obj: Json) -> None:
    ref = _object(obj, "roleRef")
    if ref is not None:
        _fill(ref, apiGroup=RBAC_GROUP)
    for subject in _items(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, apiGroup=RBAC_GROUP)


def _webhooks(obj: Json) -> None:
    for webhook in _items(obj, "webhooks"):
        _fill(webhook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        config = _object(webhook, "clientConfig")
        service = _object(config, "service") if config is not None else None
        if service is not None:
            _fill(service, port=443)
        for rule in _items(webhook, "rules"):
            _fill(rule, scope="*")


def _mutating_webhooks(obj: Json) -> None:
    _webhooks(obj)
    for webhook in _items(obj, "webhooks"):
        _fill(webhook, reinvocationPolicy="Never")


def _storage_class(obj: Json) -> None:
    _fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _priority_class(obj: Json) -> None:
    _fill(obj, preemptionPolicy="PreemptLowerPriority")


def _limit_range(obj: Json) -> None:
    spec = _object(obj, "spec")
    for item in _items(spec, "limits") if spec is not None else ():
        if item.get("type") != "Container":
            continue
        default = dict(_object(item, "max") or {}) | (_object(item, "default") or {})
        if default:
            item["default"] = default
        request = (_object(item, "min") or {}) | default | (_object(item, "defaultRequest") or {})
        if request:
            item["defaultRequest"] = request


def _api_service(obj: Json) -> None:
    spec = _object(obj, "spec")
    service = _object(spec, "service") if spec is not None else None
    if service is not None:
        _fill(service, port=443)


def _custom_resource_definition(obj: Json) -> None:
    spec = _object(obj, "spec")
    if spec is None:
        return
    names = _object(spec, "names")
    if names is not None and isinstance(names.get("kind"), str) and names["kind"]:
        _fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    conversion = _object(spec, "conversion")
    webhook = _object(conversion, "webhook") if conversion is not None else None
    config = _object(webhook, "clientConfig") if webhook is not None else None
    service = _object(config, "service") if config is not None else None
    if service is not None:
        _fill(service, port=443)


BY_KIND: dict[tuple[str, str], Callable[[Json], None]] = {
    ("", "Pod"): _pod,
    ("", "PodTemplate"): _pod_template,
    ("", "Service"): _service,
    ("", "Secret"): _secret,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _persistent_volume,
    ("", "Endpoints"): _endpoints,
    ("", "LimitRange"): _limit_range,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    (RBAC_GROUP, "RoleBinding"): _binding,
    (RBAC_GROUP, "ClusterRoleBinding"): _binding,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _mutating_webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _custom_resource_definition,
}
