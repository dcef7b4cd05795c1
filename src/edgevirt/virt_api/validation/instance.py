"""Whether a VirtualMachineInstance may be created or changed, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgevirt.api.kubevirt import VirtualMachineInstance, labels
from edgevirt.api.kubevirt.supported import Unsupported, unsupported
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.accounts import Account, Role
from edgevirt.virt_api.causes import invalid, not_supported
from edgevirt.virt_api.json_values import JsonObject, child
from edgevirt.virt_api.schema_check import check as check_schema
from edgevirt.virt_api.validation import disks, domain, metadata, network, volumes

_CHANGEABLE: Final = frozenset({"terminationGracePeriodSeconds"})
"""Fields of a spec the system may change on an existing instance."""


def check_instance(vmi: JsonObject, account: Account) -> list[StatusCause]:
    """What is wrong with an instance to be created."""
    mistakes = check_schema(vmi, VirtualMachineInstance)
    if mistakes:
        return mistakes
    spec = child(vmi, "spec")
    causes = list(metadata.check_metadata(child(vmi, "metadata"), "metadata", account.is_component))
    return [*causes, *check_spec(spec, unsupported(spec), "spec")]


def check_spec(spec: JsonObject, missing: list[Unsupported], path: str) -> list[StatusCause]:
    """What is wrong with an instance's spec; `missing` is what it asks for that is not implemented."""
    refused = [not_supported(each.path, each.message) for each in missing]
    paths = tuple(each.path for each in missing)
    found = [
        *metadata.check_placement(spec, path),
        *domain.check(spec, path),
        *volumes.check(spec, path),
        *disks.check(spec, path),
        *network.check(spec, path),
    ]
    # What is refused as a whole needs no second complaint about its parts.
    return [*refused, *(each for each in found if each.field not in paths)]


def check_instance_update(vmi: JsonObject, old: JsonObject, account: Account) -> list[StatusCause]:
    """What is wrong with a change of an instance; status is not looked at, defaults have dealt with it."""
    if child(vmi, "metadata").get("deletionTimestamp"):
        return []  # finalizers must come off whatever state the object is in
    if account.role is Role.HANDLER:
        return list(_by_handler(vmi, old, account))
    if account.is_component:
        return list(_by_system(vmi, old))
    return list(_by_user(vmi, old))


def _by_user(vmi: JsonObject, old: JsonObject) -> Iterator[StatusCause]:
    if vmi.get("spec") != old.get("spec"):
        yield not_supported(
            "spec",
            "the spec of an instance cannot be changed; change the VirtualMachine's template and restart it",
        )
    now, before = (child(each, "metadata", "labels") for each in (vmi, old))
    changed = sorted(key for key in labels.RESERVED_LABELS if now.get(key) != before.get(key))
    if changed:
        yield not_supported(
            "metadata.labels", f"metadata.labels: {', '.join(changed)} may only be changed by the system"
        )


def _by_system(vmi: JsonObject, old: JsonObject) -> Iterator[StatusCause]:
    now, before = child(vmi, "spec"), child(old, "spec")
    changed = sorted(
        key for key in {*now, *before} if now.get(key) != before.get(key) and key not in _CHANGEABLE
    )
    for key in changed:
        yield invalid(f"spec.{key}", f"spec.{key} of an existing instance cannot be changed")


def _by_handler(vmi: JsonObject, old: JsonObject, account: Account) -> Iterator[StatusCause]:
    node = child(old, "status").get("nodeName", "")
    if account.node != node and (account.node or account.node_required):
        yield invalid(
            "status.nodeName",
            f'the node agent of "{account.node}" may not change an instance of node "{node}"',
        )
    if vmi.get("spec") != old.get("spec"):
        yield invalid("spec", "a node agent may not change the spec of an instance")
    now, before = child(vmi, "metadata"), child(old, "metadata")
    if child(now, "labels") != child(before, "labels"):
        yield invalid("metadata.labels", "a node agent may not change labels of an instance")
    if (now.get("finalizers") or []) != (before.get("finalizers") or []):
        yield invalid("metadata.finalizers", "a node agent may not change finalizers of an instance")
