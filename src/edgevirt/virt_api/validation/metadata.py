"""Rules about names, labels, annotations and where an instance may run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from edgevirt.api.kubevirt import labels
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.causes import invalid, not_supported
from edgevirt.virt_api.json_values import JsonObject, child, items
from edgevirt.virt_api.validation import names

_UNIMPLEMENTED_ANNOTATIONS: Final = frozenset(
    {
        labels.IGNITION_DATA,
        labels.HOOK_SIDECARS,
        labels.CREATE_MIGRATION_TARGET,
        labels.KEEP_LAUNCHER_AFTER_FAILURE,
        "kubevirt.io/placePCIDevicesOnRootComplex",
    }
)
"""Annotations that change how a guest runs in KubeVirt and are not implemented here."""


def check_metadata(metadata: JsonObject, path: str, by_component: bool) -> Iterator[StatusCause]:
    """What is wrong with labels and annotations of an instance or of a machine's template."""
    reserved = sorted(labels.RESERVED_LABELS & set(child(metadata, "labels")))
    if reserved and not by_component:
        yield not_supported(
            f"{path}.labels",
            f"{path}.labels: {', '.join(reserved)} may only be set by the system; leave it out",
        )
    for name in sorted(_UNIMPLEMENTED_ANNOTATIONS & set(child(metadata, "annotations"))):
        yield invalid(f"{path}.annotations", f"{path}.annotations: {name} is not supported yet; leave it out")


def check_placement(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    """What is wrong with host name, grace period and tolerations of an instance's spec."""
    hostname = spec.get("hostname")
    if hostname and not names.is_label(hostname):
        yield invalid(f"{path}.hostname", f'{path}.hostname: "{hostname}" must be {names.LABEL_RULE}')
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        here = f"{path}.terminationGracePeriodSeconds"
        yield invalid(here, f"{here} must be at least 0, not {grace}")
    for index, toleration in enumerate(items(spec, "tolerations")):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")


def _toleration(toleration: dict[str, Any], path: str) -> Iterator[StatusCause]:
    operator = toleration.get("operator") or "Equal"
    effect = toleration.get("effect") or ""
    if operator not in ("Equal", "Exists"):
        yield not_supported(f"{path}.operator", f'{path}.operator: "{operator}" is not Equal or Exists')
    if not toleration.get("key") and operator != "Exists":
        yield invalid(f"{path}.operator", f"{path}.operator must be Exists when there is no key")
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{path}.operator", f"{path}.value must be left out with operator Exists")
    if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        yield not_supported(
            f"{path}.effect", f'{path}.effect: "{effect}" is not NoSchedule, PreferNoSchedule or NoExecute'
        )
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid(f"{path}.effect", f"{path}.effect must be NoExecute when tolerationSeconds is set")
