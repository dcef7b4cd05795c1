"""What Kubernetes' default plugins add to pods and claims beyond their schema's defaults.

Priority resolves a pod's priority class to a number, DefaultTolerationSeconds lets pods stay five minutes
on a node that is not ready or unreachable, DefaultStorageClass names the class of a claim without one.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes

_SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Priority:
    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "pods" and not subresource and operation == "CREATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 for a class that does not exist or a number that is not the class's."""
        if attributes.object is None:
            return
        spec = attributes.object.setdefault("spec", {})
        name = spec.get("priorityClassName", "")
        found = self._class(name)
        if found is None:
            raise errors.forbidden("pods", attributes.name, f"no PriorityClass with name {name} was found")
        name, value, preemption = found
        if spec.get("priority") not in (None, value):
            raise errors.forbidden(
                "pods",
                attributes.name,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        if spec.get("preemptionPolicy") not in (None, preemption):
            raise errors.forbidden(
                "pods",
                attributes.name,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
                f"pod spec; priority admission controller computed {preemption} from the given "
                "PriorityClass name",
            )
        if name:
            spec["priorityClassName"] = name
        spec["priority"] = value
        spec.setdefault("preemptionPolicy", preemption)

    def _class(self, name: str) -> tuple[str, int, str] | None:
        """(name, value, preemption policy) of a named class or of the default one."""
        if name in _SYSTEM_PRIORITIES:
            return name, _SYSTEM_PRIORITIES[name], "PreemptLowerPriority"
        if name:
            stored = self._reader.get("scheduling.k8s.io", "priorityclasses", "", name)
            return None if stored is None else _read_class(stored)
        for stored in self._reader.list("scheduling.k8s.io", "priorityclasses"):
            if stored.get("globalDefault"):
                return _read_class(stored)
        return "", 0, "PreemptLowerPriority"


class OneDefaultPriority:
    """At most one PriorityClass is the default of pods that name none."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural) == ("scheduling.k8s.io", "priorityclasses") and operation in (
            "CREATE",
            "UPDATE",
        )

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 if another class is the default already."""
        if attributes.object is None or not attributes.object.get("globalDefault"):
            return
        for stored in self._reader.list("scheduling.k8s.io", "priorityclasses"):
            other = stored["metadata"]["name"]
            if stored.get("globalDefault") and other != attributes.name:
                text = f"PriorityClass {other} is already marked as default. Only one default can exist"
                raise errors.forbidden(attributes.resource.group_resource, attributes.name, text)


def _read_class(stored: dict[str, Any]) -> tuple[str, int, str]:
    preemption = stored.get("preemptionPolicy") or "PreemptLowerPriority"
    return stored["metadata"]["name"], int(stored.get("value", 0)), preemption


class DefaultTolerations:
    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "pods" and not subresource and operation == "CREATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.object is None:
            return
        spec = attributes.object.setdefault("spec", {})
        present = spec.get("tolerations") or []
        missing = [key for key in _TOLERATED if not any(_tolerates(entry, key) for entry in present)]
        if missing:
            spec["tolerations"] = [*present, *(_toleration(key) for key in missing)]


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def _toleration(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}


class DefaultStorageClass:
    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "persistentvolumeclaims" and not subresource and operation == "CREATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Takes the newest default class, as Kubernetes does when there are several."""
        if attributes.object is None:
            return
        spec = attributes.object.setdefault("spec", {})
        if spec.get("storageClassName") is not None:
            return
        defaults = [
            stored["metadata"]
            for stored in self._reader.list("storage.k8s.io", "storageclasses")
            if (stored["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
        ]
        if defaults:
            defaults.sort(key=lambda metadata: metadata["name"])
            newest = max(defaults, key=lambda metadata: metadata.get("creationTimestamp", ""))
            spec["storageClassName"] = newest["name"]
