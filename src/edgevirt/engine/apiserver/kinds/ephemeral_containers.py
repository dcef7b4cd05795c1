"""pods/ephemeralcontainers: containers added to a pod that runs, to look into it. Pure.

They can be added and never changed or removed, and have nothing that would let others count on them: no
ports, probes, hooks, resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.names import invalid_value, label_faults
from edgevirt.engine.apiserver.schema import shown

Json = dict[str, Any]

SUBRESOURCE = "ephemeralcontainers"
FIELD = "ephemeralContainers"
_FORBIDDEN = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources")


def only_theirs(old: Mapping[str, Any], new: Json) -> None:
    """Makes `new` the stored pod but for its ephemeral containers: the endpoint writes nothing else."""
    added = (new.get("spec") or {}).get(FIELD)
    sent = new["metadata"].get("managedFields")
    version = new["metadata"].get("resourceVersion")
    for name in [name for name in new if name not in ("apiVersion", "kind")]:
        del new[name]
    new |= {name: value for name, value in old.items() if name not in ("apiVersion", "kind")}
    new["metadata"] = {name: value for name, value in old["metadata"].items() if name != "managedFields"}
    for name, value in (("managedFields", sent), ("resourceVersion", version)):
        if value is not None:
            new["metadata"][name] = value
    new["spec"] = {name: value for name, value in (old.get("spec") or {}).items() if name != FIELD}
    if added:
        new["spec"][FIELD] = added


def faults(spec: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    """What is wrong with the ephemeral containers of `spec`, which follows on `before`."""
    at = f"spec.{FIELD}"
    wanted, known = spec.get(FIELD) or (), {c["name"]: c for c in before.get(FIELD) or ()}
    if wanted == (before.get(FIELD) or ()):
        return []
    causes: list[Cause] = []
    names = {c.get("name") for field in ("containers", "initContainers") for c in spec.get(field) or ()}
    targets = {c.get("name") for c in spec.get("containers") or ()}
    for index, container in enumerate(wanted):
        name, path = container.get("name") or "", f"{at}[{index}]"
        if not name:
            causes.append(Cause("FieldValueRequired", "Required value", f"{path}.name"))
        elif name in names:
            causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {shown(name)}", f"{path}.name"))
        else:
            causes.extend(invalid_value(f"{path}.name", name, fault) for fault in label_faults(name))
        names.add(name)
        if not container.get("image"):
            causes.append(Cause("FieldValueRequired", "Required value", f"{path}.image"))
        target = container.get("targetContainerName")
        if target and target not in targets:
            causes.append(
                Cause("FieldValueNotFound", f"Not found: {shown(target)}", f"{path}.targetContainerName")
            )
        causes += [
            _forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container")
            for field in _FORBIDDEN
            if container.get(field)
        ]
        stored = known.pop(name, None)
        if stored is not None and stored != container:
            text = f'existing ephemeral containers "{name}" may not be changed'
            causes.append(_forbidden(at, f"{text}\n"))
    causes += [
        _forbidden(at, f'existing ephemeral containers "{name}" may not be removed\n') for name in known
    ]
    return causes


def _forbidden(field: str, text: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {text}", field)
