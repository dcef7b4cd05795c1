"""The table columns of built-in kinds, as kubectl's users know them.

A column is a name and a pure function of the object. Cells whose value depends on the time of rendering
return a `Since`. Kinds that are not listed show name and age.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgevirt.engine.apiserver.registry import Column
from edgevirt.engine.apiserver.schema import (
    Json,
    pod_columns,
    policy_columns,
    usage_columns,
    workload_columns,
)
from edgevirt.engine.apiserver.schema.ages import UNKNOWN, Since

NONE = "<none>"
UNSET = "<unset>"
RBAC = "rbac.authorization.k8s.io"

Cell = Callable[[Json], Any]


def _at(obj: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def _list(obj: Any, *path: str) -> list[Any]:
    value = _at(obj, *path)
    return value if isinstance(value, list) else []


def _text(*path: str, empty: str = "") -> Cell:
    return lambda obj: str(_at(obj, *path) or empty)


def _since(*path: str) -> Cell:
    return lambda obj: Since(_at(obj, *path) or "")


NAME = Column("Name", format="name", description="Name of the object.", cell=_text("metadata", "name"))
AGE = Column("Age", description="Time since creation.", cell=_since("metadata", "creationTimestamp"))
CREATED = Column(
    "Created At",
    type="date",
    description="Time of creation.",
    cell=lambda obj: _at(obj, "metadata", "creationTimestamp"),
)
DEFAULT = (NAME, AGE)


def _column(name: str, cell: Cell, text: str, priority: int = 0, kind: str = "string") -> Column:
    return Column(name, type=kind, description=text, priority=priority, cell=cell)


def _shortened(items: list[str], shown: int = 3) -> str:
    """`a,b,c + 2 more...`"""
    if not items:
        return NONE
    text = ",".join(items[:shown])
    return f"{text} + {len(items) - shown} more..." if len(items) > shown else text


def _selector(*path: str) -> Cell:
    def cell(obj: Json) -> str:
        labels = _at(obj, *path)
        if not isinstance(labels, dict) or not labels:
            return NONE
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))

    return cell


# Nodes --------------------------------------------------------------------------------------------------


def _node_status(node: Json) -> str:
    words = [
        "Ready" if condition.get("status") == "True" else "NotReady"
        for condition in _list(node, "status", "conditions")
        if condition.get("type") == "Ready"
    ] or ["Unknown"]
    if _at(node, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(node: Json) -> str:
    labels = _at(node, "metadata", "labels") or {}
    roles = {
        key.removeprefix("node-role.kubernetes.io/")
        for key in labels
        if key.startswith("node-role.kubernetes.io/")
    }
    roles |= {value for key, value in labels.items() if key == "kubernetes.io/role" and value}
    return ",".join(sorted(role for role in roles if role)) or NONE


def _node_address(kind: str) -> Cell:
    def cell(node: Json) -> str:
        for address in _list(node, "status", "addresses"):
            if address.get("type") == kind:
                return str(address.get("address"))
        return NONE

    return cell


def _node_info(name: str) -> Cell:
    return _text("status", "nodeInfo", name, empty=UNKNOWN)


_NODES = (
    NAME,
    _column("Status", _node_status, "Readiness, and whether pods may be placed here."),
    _column("Roles", _node_roles, "Roles from the node's labels."),
    AGE,
    _column("Version", _text("status", "nodeInfo", "kubeletVersion"), "Version of the kubelet."),
    _column("Internal-IP", _node_address("InternalIP"), "Address inside the cluster.", 1),
    _column("External-IP", _node_address("ExternalIP"), "Address outside the cluster.", 1),
    _column("OS-Image", _node_info("osImage"), "Operating system.", 1),
    _column("Kernel-Version", _node_info("kernelVersion"), "Version of the kernel.", 1),
    _column("Container-Runtime", _node_info("containerRuntimeVersion"), "Container runtime and version.", 1),
)


# Services and endpoints ---------------------------------------------------------------------------------


def _external_ip(service: Json) -> str:
    spec = _at(service, "spec") or {}
    ingress = [
        str(entry.get("ip") or entry.get("hostname") or "")
        for entry in _list(service, "status", "loadBalancer", "ingress")
    ]
    fixed = [str(address) for address in _list(spec, "externalIPs")]
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName") or NONE)
        case "LoadBalancer":
            return ",".join([*ingress, *fixed]) or "<pending>"
        case _:
            return ",".join(fixed) or NONE


def _service_ports(service: Json) -> str:
    pieces = []
    for port in _list(service, "spec", "ports"):
        number = f"{port.get('port')}:{port['nodePort']}" if port.get("nodePort") else str(port.get("port"))
        pieces.append(f"{number}/{port.get('protocol', 'TCP')}")
    return ",".join(pieces) or NONE


def _cluster_ip(service: Json) -> str:
    addresses = _list(service, "spec", "clusterIPs")
    return str((addresses[0] if addresses else _at(service, "spec", "clusterIP")) or NONE)


def _endpoints(obj: Json) -> str:
    listed = []
    for subset in _list(obj, "subsets"):
        ports = _list(subset, "ports")
        for address in _list(subset, "addresses"):
            host = str(address.get("ip"))
            host = f"[{host}]" if ":" in host and ports else host
            listed.extend([f"{host}:{port.get('port')}" for port in ports] or [host])
    return _shortened(listed)


def _slice_ports(obj: Json) -> str:
    ports = [str(port["port"]) if port.get("port") is not None else "*" for port in _list(obj, "ports")]
    return _shortened(ports) if ports else UNSET


def _slice_addresses(obj: Json) -> str:
    addresses = [str(a) for endpoint in _list(obj, "endpoints") for a in _list(endpoint, "addresses")]
    return _shortened(addresses) if addresses else UNSET


_SERVICES = (
    NAME,
    _column("Type", _text("spec", "type"), "How the service is exposed."),
    _column("Cluster-IP", _cluster_ip, "Address inside the cluster."),
    _column("External-IP", _external_ip, "Addresses outside the cluster."),
    _column("Port(s)", _service_ports, "Ports and node ports."),
    AGE,
    _column("Selector", _selector("spec", "selector"), "Labels of the pods behind the service.", 1),
)


# Events -------------------------------------------------------------------------------------------------


def _first_seen(event: Json) -> Since:
    return Since(_at(event, "firstTimestamp") or _at(event, "eventTime") or "")


def _last_seen(event: Json) -> Since:
    series = _at(event, "series", "lastObservedTime")
    return Since(series or _at(event, "lastTimestamp") or _first_seen(event).time)


def _event_object(event: Json) -> str:
    involved = _at(event, "involvedObject") or {}
    return f"{str(involved.get('kind') or '').lower()}/{involved.get('name') or ''}"


def _event_source(event: Json) -> str:
    component = _at(event, "source", "component") or _at(event, "reportingComponent") or ""
    host = _at(event, "source", "host") or _at(event, "reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)


def _event_count(event: Json) -> str:
    return str(_at(event, "series", "count") or _at(event, "count") or 1)


_EVENTS = (
    _column("Last Seen", _last_seen, "Time since the event was last observed."),
    _column("Type", _text("type"), "Normal or Warning."),
    _column("Reason", _text("reason"), "Reason in one word."),
    _column("Object", _event_object, "Object the event is about."),
    _column("Subobject", _text("involvedObject", "fieldPath"), "Part of the object.", 1),
    _column("Source", _event_source, "Who observed it.", 1),
    _column("Message", lambda event: str(_at(event, "message") or "").strip(), "What happened."),
    _column("First Seen", _first_seen, "Time since the event was first observed.", 1),
    _column("Count", _event_count, "How often it was observed.", 1),
    Column(
        "Name", format="name", description="Name of the event.", priority=1, cell=_text("metadata", "name")
    ),
)


# Storage ------------------------------------------------------------------------------------------------

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(obj: Json, *path: str) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in _list(obj, *path))


def _claim_status(claim: Json) -> str:
    if _at(claim, "metadata", "deletionTimestamp"):
        return "Terminating"
    return str(_at(claim, "status", "phase") or "")


def _bound(cell: Cell) -> Cell:
    """Empty until the claim is bound."""
    return lambda claim: cell(claim) if _at(claim, "spec", "volumeName") else ""


def _volume_claim(volume: Json) -> str:
    reference = _at(volume, "spec", "claimRef")
    return f"{reference.get('namespace')}/{reference.get('name')}" if isinstance(reference, dict) else ""


def _storage_class_name(obj: Json) -> str:
    legacy = _at(obj, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class")
    return str(legacy or _at(obj, "spec", "storageClassName") or "")


def _class_name(storage_class: Json) -> str:
    mark = _at(storage_class, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class")
    name = str(_at(storage_class, "metadata", "name"))
    return f"{name} (default)" if mark == "true" else name


_ATTRIBUTES = _column(
    "VolumeAttributesClass",
    _text("spec", "volumeAttributesClassName", empty=UNSET),
    "Class of the volume's attributes.",
)
_VOLUME_MODE = _column("VolumeMode", _text("spec", "volumeMode", empty=UNSET), "Filesystem or Block.", 1)
_CLAIMS = (
    NAME,
    _column("Status", _claim_status, "Phase of the claim."),
    _column("Volume", _text("spec", "volumeName"), "Volume bound to the claim."),
    _column("Capacity", _bound(_text("status", "capacity", "storage")), "Size of the volume."),
    _column(
        "Access Modes", _bound(lambda obj: _modes(obj, "status", "accessModes")), "How it can be mounted."
    ),
    _column("StorageClass", _storage_class_name, "Storage class of the claim."),
    _ATTRIBUTES,
    AGE,
    _VOLUME_MODE,
)
_VOLUMES = (
    NAME,
    _column("Capacity", _text("spec", "capacity", "storage"), "Size of the volume."),
    _column("Access Modes", lambda obj: _modes(obj, "spec", "accessModes"), "How it can be mounted."),
    _column(
        "Reclaim Policy",
        _text("spec", "persistentVolumeReclaimPolicy"),
        "What happens when the claim is deleted.",
    ),
    _column("Status", _claim_status, "Phase of the volume."),
    _column("Claim", _volume_claim, "Claim bound to the volume."),
    _column("StorageClass", _storage_class_name, "Storage class of the volume."),
    _ATTRIBUTES,
    _column("Reason", _text("status", "reason"), "Why the volume is in its phase."),
    AGE,
    _VOLUME_MODE,
)
_STORAGE_CLASSES = (
    Column("Name", format="name", description="Name; (default) marks the default class.", cell=_class_name),
    _column("Provisioner", _text("provisioner"), "Who provisions volumes of this class."),
    _column("ReclaimPolicy", _text("reclaimPolicy", empty="Delete"), "What happens to released volumes."),
    _column("VolumeBindingMode", _text("volumeBindingMode", empty="Immediate"), "When volumes are bound."),
    _column(
        "AllowVolumeExpansion", lambda obj: bool(_at(obj, "allowVolumeExpansion")), "Can grow.", kind="string"
    ),
    AGE,
)


# RBAC ---------------------------------------------------------------------------------------------------


def _subjects(kind: str) -> Cell:
    def cell(binding: Json) -> str:
        names = [
            f"{subject.get('namespace', '')}/{subject.get('name')}"
            if kind == "ServiceAccount"
            else str(subject.get("name"))
            for subject in _list(binding, "subjects")
            if subject.get("kind") == kind
        ]
        return ", ".join(names)

    return cell


def _role(binding: Json) -> str:
    return f"{_at(binding, 'roleRef', 'kind')}/{_at(binding, 'roleRef', 'name')}"


_BINDINGS = (
    NAME,
    _column("Role", _role, "Role that is granted."),
    AGE,
    _column("Users", _subjects("User"), "Users it is granted to.", 1),
    _column("Groups", _subjects("Group"), "Groups it is granted to.", 1),
    _column("ServiceAccounts", _subjects("ServiceAccount"), "Service accounts it is granted to.", 1),
)


# The rest -----------------------------------------------------------------------------------------------


def _count(*fields: str) -> Cell:
    return lambda obj: sum(len(_at(obj, name) or ()) for name in fields)


def _disruptions(name: str) -> Cell:
    def cell(budget: Json) -> str:
        value = _at(budget, "spec", name)
        return "N/A" if value is None else str(value)

    return cell


def _owner(obj: Json) -> str:
    for reference in _list(obj, "metadata", "ownerReferences"):
        if reference.get("controller"):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            kind = str(reference.get("kind", "")).lower()
            return f"{kind}{'.' + group if group else ''}/{reference.get('name')}"
    return NONE


def _api_service(obj: Json) -> str:
    service = _at(obj, "spec", "service")
    return f"{service.get('namespace')}/{service.get('name')}" if isinstance(service, dict) else "Local"


def _available(obj: Json) -> str:
    for condition in _list(obj, "status", "conditions"):
        if condition.get("type") == "Available":
            if condition.get("status") == "True":
                return "True"
            return f"{condition.get('status')} ({condition.get('reason')})"
    return "Unknown"


def _quota(prefix: str) -> Cell:
    def cell(quota: Json) -> str:
        hard, used = _at(quota, "status", "hard") or {}, _at(quota, "status", "used") or {}
        return ", ".join(
            f"{name}: {used.get(name, 0)}/{hard[name]}"
            for name in sorted(hard)
            if name.startswith("limits.") == (prefix == "limits")
        )

    return cell


def _containers(name: str) -> Cell:
    return lambda obj: ",".join(
        str(container.get(name)) for container in _list(obj, "template", "spec", "containers")
    )


_DATA_TEXT = "Number of keys."

COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): pod_columns.columns(NAME, AGE),
    ("", "nodes"): _NODES,
    ("", "services"): _SERVICES,
    ("", "endpoints"): (NAME, _column("Endpoints", _endpoints, "Addresses and ports."), AGE),
    ("", "events"): _EVENTS,
    ("", "secrets"): (
        NAME,
        _column("Type", _text("type"), "Type of the secret."),
        _column("Data", _count("data"), _DATA_TEXT),
        AGE,
    ),
    ("", "configmaps"): (NAME, _column("Data", _count("data", "binaryData"), _DATA_TEXT), AGE),
    ("", "namespaces"): (NAME, _column("Status", _text("status", "phase"), "Phase."), AGE),
    ("", "serviceaccounts"): (
        NAME,
        _column("Secrets", lambda obj: len(_list(obj, "secrets")), "Number of secrets."),
        AGE,
    ),
    ("", "persistentvolumeclaims"): _CLAIMS,
    ("", "persistentvolumes"): _VOLUMES,
    ("", "limitranges"): (NAME, CREATED),
    ("", "resourcequotas"): (
        NAME,
        _column("Request", _quota("requests"), "Requests: used and allowed."),
        _column("Limit", _quota("limits"), "Limits: used and allowed."),
        AGE,
    ),
    ("", "podtemplates"): (
        NAME,
        _column("Containers", _containers("name"), "Names of the containers."),
        _column("Images", _containers("image"), "Images of the containers."),
        _column("Pod Labels", _selector("template", "metadata", "labels"), "Labels of the pods."),
    ),
    ("coordination.k8s.io", "leases"): (
        NAME,
        _column("Holder", _text("spec", "holderIdentity"), "Who holds the lease."),
        AGE,
    ),
    ("discovery.k8s.io", "endpointslices"): (
        NAME,
        _column("AddressType", _text("addressType"), "Kind of the addresses."),
        _column("Ports", _slice_ports, "Ports."),
        _column("Endpoints", _slice_addresses, "Addresses."),
        AGE,
    ),
    ("events.k8s.io", "events"): (
        _column("Last Seen", _since("deprecatedLastTimestamp"), "Time since the event was last observed."),
        _column("Type", _text("type"), "Normal or Warning."),
        _column("Reason", _text("reason"), "Reason in one word."),
        _column(
            "Object",
            lambda obj: f"{str(_at(obj, 'regarding', 'kind') or '').lower()}/{_at(obj, 'regarding', 'name')}",
            "Object the event is about.",
        ),
        _column("Message", _text("note"), "What happened."),
    ),
    ("storage.k8s.io", "storageclasses"): _STORAGE_CLASSES,
    (RBAC, "roles"): (NAME, CREATED),
    (RBAC, "clusterroles"): (NAME, CREATED),
    (RBAC, "rolebindings"): _BINDINGS,
    (RBAC, "clusterrolebindings"): _BINDINGS,
    ("scheduling.k8s.io", "priorityclasses"): (
        NAME,
        _column(
            "Value", lambda obj: _at(obj, "value") or 0, "Priority of pods of this class.", kind="integer"
        ),
        _column(
            "Global-Default", lambda obj: bool(_at(obj, "globalDefault")), "Used by default.", kind="boolean"
        ),
        AGE,
        _column("PreemptionPolicy", _text("preemptionPolicy"), "May pods of lower priority be evicted."),
    ),
    ("apps", "controllerrevisions"): (
        NAME,
        _column("Controller", _owner, "Who the revision belongs to."),
        _column("Revision", lambda obj: _at(obj, "revision") or 0, "Number of the revision."),
        AGE,
    ),
    **usage_columns.usage_columns(NAME),
    **workload_columns.workload_columns(NAME, AGE),
    **policy_columns.policy_columns(NAME, AGE),
    ("policy", "poddisruptionbudgets"): (
        NAME,
        _column("Min Available", _disruptions("minAvailable"), "Pods that must stay."),
        _column("Max Unavailable", _disruptions("maxUnavailable"), "Pods that may be gone."),
        _column(
            "Allowed Disruptions",
            lambda obj: _at(obj, "status", "disruptionsAllowed") or 0,
            "Pods that may be evicted now.",
            kind="integer",
        ),
        AGE,
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (NAME, CREATED),
    ("apiregistration.k8s.io", "apiservices"): (
        NAME,
        _column("Service", _api_service, "Service that serves the group, or Local."),
        _column("Available", _available, "Whether it can be reached."),
        AGE,
    ),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): (
        NAME,
        _column("Webhooks", _count("webhooks"), "Number of webhooks."),
        AGE,
    ),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): (
        NAME,
        _column("Webhooks", _count("webhooks"), "Number of webhooks."),
        AGE,
    ),
}


def builtin_columns(group: str, plural: str) -> tuple[Column, ...]:
    """The columns of a built-in resource; name and age for those without their own."""
    return COLUMNS.get((group, plural), DEFAULT)
