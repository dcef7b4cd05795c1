"""Whether the KubeVirt object, the configuration of virtualization, may be stored."""

from __future__ import annotations

from collections.abc import Iterable

from edgevirt.api.kubevirt import KubeVirt
from edgevirt.api.kubevirt.supported import unsupported_configuration
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.causes import invalid, not_supported
from edgevirt.virt_api.json_values import JsonObject, child
from edgevirt.virt_api.schema_check import check as check_schema


def check_kubevirt(kubevirt: JsonObject, old: JsonObject | None, others: Iterable[str]) -> list[StatusCause]:
    """What is wrong with it; `others` are the KubeVirt objects that exist already, as "namespace/name"."""
    if old is not None and kubevirt.get("spec") == old.get("spec"):
        return []
    mistakes = check_schema(kubevirt, KubeVirt)
    if mistakes:
        return mistakes
    causes = [
        not_supported(each.path, each.message) for each in unsupported_configuration(child(kubevirt, "spec"))
    ]
    duplicates = (invalid("metadata.name", f"{other} exists already; change that one") for other in others)
    return [*causes, *duplicates]
