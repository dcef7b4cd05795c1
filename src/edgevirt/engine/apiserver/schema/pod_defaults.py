"""Defaults of a pod's spec, wherever one stands: in a pod, in a template, in a job's template."""

from __future__ import annotations

from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.filling import fill, items_of, object_of


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
    fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _handler(probe)


def _handler(handler: Json | None) -> None:
    if handler is None:
        return
    http = object_of(handler, "httpGet")
    if http is not None:
        fill(http, path="/", scheme="HTTP")
    grpc = object_of(handler, "grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _field_ref(holder: Json | None) -> None:
    ref = object_of(holder, "fieldRef") if holder is not None else None
    if ref is not None:
        fill(ref, apiVersion="v1")
    resource = object_of(holder, "resourceFieldRef") if holder is not None else None
    if resource is not None and resource.get("divisor") is None:
        resource["divisor"] = "0"


def _container(container: Json) -> None:
    image = container.get("image")
    fill(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=pull_policy(image if isinstance(image, str) else ""),
    )
    container.setdefault("resources", {})
    _requests_from_limits(container)
    for port in items_of(container, "ports"):
        fill(port, protocol="TCP")
    for variable in items_of(container, "env"):
        _field_ref(object_of(variable, "valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _probe(object_of(container, name))
    lifecycle = object_of(container, "lifecycle")
    if lifecycle is not None:
        _handler(object_of(lifecycle, "postStart"))
        _handler(object_of(lifecycle, "preStop"))


def _requests_from_limits(container: Json) -> None:
    """A limit without a request is also the request."""
    resources = object_of(container, "resources")
    limits = object_of(resources, "limits") if resources is not None else None
    if resources is None or not limits:
        return
    requests = resources.setdefault("requests", {})
    if isinstance(requests, dict):
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _volume(volume: Json) -> None:
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = object_of(volume, name)
        if source is not None:
            fill(source, defaultMode=0o644)
            _downward_items(source)
            for projection in items_of(source, "sources"):
                _projection(projection)
    host_path = object_of(volume, "hostPath")
    if host_path is not None:
        host_path.setdefault("type", "")
    image = object_of(volume, "image")
    if image is not None:
        reference = image.get("reference")
        fill(image, pullPolicy=pull_policy(reference if isinstance(reference, str) else ""))
    ephemeral = object_of(volume, "ephemeral")
    template = object_of(ephemeral, "volumeClaimTemplate") if ephemeral is not None else None
    claim = object_of(template, "spec") if template is not None else None
    if claim is not None:
        fill(claim, volumeMode="Filesystem")
    if not any(name != "name" for name in volume):
        volume["emptyDir"] = {}


def _projection(projection: Json) -> None:
    token = object_of(projection, "serviceAccountToken")
    if token is not None:
        fill(token, expirationSeconds=3600)
    downward = object_of(projection, "downwardAPI")
    if downward is not None:
        _downward_items(downward)


def _downward_items(source: Json) -> None:
    for item in items_of(source, "items"):
        _field_ref(item)


def pod_spec(spec: Json) -> None:
    """Defaults of a pod's spec, also inside templates."""
    fill(
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
        for container in items_of(spec, name):
            _container(container)
            if spec.get("hostNetwork") is True:
                for port in items_of(container, "ports"):
                    if port.get("containerPort") is not None and not port.get("hostPort"):
                        port["hostPort"] = port["containerPort"]
    for volume in items_of(spec, "volumes"):
        _volume(volume)
    for constraint in items_of(spec, "topologySpreadConstraints"):
        fill(constraint, nodeAffinityPolicy="Honor", nodeTaintsPolicy="Ignore")
