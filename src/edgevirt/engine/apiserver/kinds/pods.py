"""What is particular about pods when they are written: first status, quality of service, a fixed spec."""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause, invalid
from edgevirt.engine.apiserver.kinds import ephemeral_containers
from edgevirt.engine.apiserver.kinds.container_ports import port_faults
from edgevirt.engine.apiserver.kinds.strategies import Plain, forbidden_cause
from edgevirt.engine.apiserver.names import invalid_value, label_faults
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema import shown

Json = dict[str, Any]

BINDING = "binding"
"""The one subresource that writes spec and status together, and gives a pod its node."""
_POD_MUTABLE = (
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "tolerations",
    "nodeName",
    "schedulingGates",
    ephemeral_containers.FIELD,
)
_POD_IMMUTABLE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
    "lastProbeTime": None,
}


class Pods(Plain):
    """Pod: phase and QoS at creation, a spec that stays, one list of addresses."""

    def complete(self, obj: Json) -> None:
        status = obj.get("status") or {}
        _complete_addresses(status)
        for condition in status.get("conditions") or ():
            for moment in ("lastProbeTime", "lastTransitionTime"):
                condition.setdefault(moment, None)  # the times of a condition are always told

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        spec = obj.get("spec") or {}
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [{**_GATED, "lastTransitionTime": context.now}]

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        fixed = {"nodeName": BINDING, ephemeral_containers.FIELD: ephemeral_containers.SUBRESOURCE}
        for field, subresource in fixed.items():
            if context.subresource != subresource and spec.get(field) != before.get(field):
                name = obj["metadata"]["name"]
                raise invalid("Pod", "", name, [forbidden_cause("spec", _POD_IMMUTABLE_TEXT)])
        if context.subresource == "status":
            status = obj.setdefault("status", {})
            previous = (old.get("status") or {}).get("qosClass")
            if previous:
                status.setdefault("qosClass", previous)
            owners = old["metadata"].get("ownerReferences")
            if owners is None:
                obj["metadata"].pop("ownerReferences", None)
            else:
                obj["metadata"]["ownerReferences"] = owners

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        if old is None:
            if not spec.get("containers"):
                causes.append(Cause("FieldValueRequired", "Required value", "spec.containers"))
            causes.extend(container_faults(spec))
            if spec.get(ephemeral_containers.FIELD):
                at = f"spec.{ephemeral_containers.FIELD}"
                causes.append(forbidden_cause(at, "cannot be set on create"))
            return causes
        before = old.get("spec") or {}
        causes.extend(ephemeral_containers.faults(spec, before))
        if spec is not before and _frozen(spec) != _frozen(before):
            causes.append(forbidden_cause("spec", _POD_IMMUTABLE_TEXT))
        return causes

    def field_labels(self, obj: Json) -> dict[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }


def _complete_addresses(status: Json) -> None:
    """The single address and the first of the list are the same; the single one decides."""
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]


def _frozen(spec: Json) -> Json:
    """The part of a pod's spec that never changes."""
    kept = {name: value for name, value in spec.items() if name not in _POD_MUTABLE}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{n: v for n, v in c.items() if n != "image"} for c in kept[field] or ()]
    return kept


def container_faults(spec: Json, at: str = "spec") -> list[Cause]:
    """What is wrong between the containers and volumes of a pod spec that lies at `at`."""
    causes: list[Cause] = []
    names: set[str] = set()
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        path = f"{at}.volumes[{index}].name"
        name = volume.get("name") or ""
        if not name:
            causes.append(Cause("FieldValueRequired", "Required value", path))
        elif name in volumes:
            causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {shown(name)}", path))
        else:  # a node makes a directory of that name
            causes.extend(invalid_value(path, name, fault) for fault in label_faults(name))
        volumes.add(name)
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            path = f"{at}.{field}[{index}]"
            name = container.get("name") or ""
            if not name:
                causes.append(Cause("FieldValueRequired", "Required value", f"{path}.name"))
            elif name in names:
                causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {shown(name)}", f"{path}.name"))
            else:
                causes.extend(invalid_value(f"{path}.name", name, fault) for fault in label_faults(name))
            names.add(name)
            if not container.get("image"):
                causes.append(Cause("FieldValueRequired", "Required value", f"{path}.image"))
            causes.extend(port_faults(container, path))
            for position, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    causes.append(
                        Cause(
                            "FieldValueNotFound",
                            f"Not found: {shown(mount.get('name') or '')}",
                            f"{path}.volumeMounts[{position}].name",
                        )
                    )
    return causes


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, from cpu and memory of the pod itself, else of its containers."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        containers = [spec]
    any_set, guaranteed = False, bool(containers)
    for container in containers:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            any_set = any_set or limit is not None or request is not None
            if limit is None or request != limit:
                guaranteed = False
    return "Guaranteed" if guaranteed and any_set else "Burstable" if any_set else "BestEffort"


POD_FIELDS = frozenset(Pods().field_labels({}))
