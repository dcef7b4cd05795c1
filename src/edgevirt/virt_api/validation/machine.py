"""Whether a VirtualMachine may be created or changed: its run strategy and, in full, its template."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from edgevirt.api.kubevirt import VirtualMachine
from edgevirt.api.kubevirt.strategies import RunStrategy
from edgevirt.api.kubevirt.supported import unsupported_machine
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api import defaults
from edgevirt.virt_api.causes import invalid, required
from edgevirt.virt_api.json_values import JsonObject, child
from edgevirt.virt_api.schema_check import check as check_schema
from edgevirt.virt_api.validation import metadata
from edgevirt.virt_api.validation.instance import check_spec


def check_machine(vm: JsonObject, old: JsonObject | None) -> list[StatusCause]:
    """What is wrong with a machine to be stored; `old` is the stored one on update.

    A change that leaves the spec alone is always accepted, so that a machine stored under older rules can
    still be labelled, finalized and deleted.
    """
    if old is not None and (
        child(vm, "metadata").get("deletionTimestamp") or vm.get("spec") == old.get("spec")
    ):
        return []
    mistakes = check_schema(vm, VirtualMachine)
    if mistakes:
        return mistakes
    spec = child(vm, "spec")
    causes = list(_run_strategy(spec))
    template = child(spec, "template")
    causes += metadata.check_metadata(
        child(template, "metadata"), "spec.template.metadata", by_component=False
    )
    if not child(template, "spec"):
        return [
            *causes,
            required("spec.template.spec", "spec.template.spec is required"),
        ]
    # Checked as the instance it will become.
    instance = copy.deepcopy(template["spec"])
    defaults.complete_spec(instance)
    named = {cause.field for cause in causes}
    asked = unsupported_machine({**spec, "template": {**template, "spec": instance}})
    missing = [each for each in asked if each.path not in named]
    return [*causes, *check_spec(instance, missing, "spec.template.spec")]


def warnings(vm: JsonObject) -> list[str]:
    """What the author should know although the machine is accepted."""
    if child(vm, "spec").get("running") is not None:
        return ['spec.running is deprecated; use spec.runStrategy, "Always" for true, "Halted" for false']
    return []


def _run_strategy(spec: JsonObject) -> Iterator[StatusCause]:
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy:
        yield invalid("spec.running", "spec.running and spec.runStrategy exclude each other; keep the latter")
    elif running is None and not strategy:
        yield invalid("spec.running", 'spec.runStrategy is required; "Always" runs the machine, "Halted" not')
    if strategy and (strategy not in set(RunStrategy) or strategy == RunStrategy.UNKNOWN):
        choices = ", ".join(each for each in RunStrategy if each != RunStrategy.UNKNOWN)
        yield invalid("spec.runStrategy", f'spec.runStrategy: "{strategy}" is not one of {choices}')
