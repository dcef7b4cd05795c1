"""What all workload kinds share when they are written: a status of their own, a selector that stays and fits.

A workload finds its pods by its selector, so the template must carry its labels, and apps/v1 never lets it
change. Wording and paths are those of Kubernetes' validation.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.kinds.label_selector import selector_faults
from edgevirt.engine.apiserver.kinds.pods import container_faults
from edgevirt.engine.apiserver.kinds.strategies import WithStatus, forbidden_cause
from edgevirt.engine.apiserver.labels import selects
from edgevirt.engine.apiserver.names import (
    invalid_value,
    label_key_faults,
    label_value_faults,
    subdomain_faults,
)
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema import invalid, required, shown, unsupported

Json = dict[str, Any]

_NOT_NEGATIVE = "must be greater than or equal to 0"


class Workload(WithStatus):
    """Base of the kinds of apps/v1. `noun` and `deadline_noun` are how messages call the kind."""

    noun = ""
    deadline_noun = ""

    def __init__(self, initial: Json | None = None) -> None:
        super().__init__({} if initial is None else initial)

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _drop_template_identity(obj)

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        _drop_template_identity(obj)

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        causes = counts(spec, "spec", ("replicas", "minReadySeconds", "revisionHistoryLimit"))
        causes.extend(self._selector_faults(spec))
        causes.extend(template_faults(spec.get("template") or {}, "spec.template", ("Always",)))
        deadline = ((spec.get("template") or {}).get("spec") or {}).get("activeDeadlineSeconds")
        if deadline is not None:
            text = f"activeDeadlineSeconds in {self.deadline_noun} is not Supported"
            causes.append(forbidden_cause("spec.template.spec.activeDeadlineSeconds", text))
        causes.extend(self.spec_faults(spec))
        causes.extend(status_faults(obj.get("status") or {}))
        if old is not None:
            causes.extend(self.change_faults(spec, old.get("spec") or {}))
        return causes

    def _selector_faults(self, spec: Json) -> list[Cause]:
        selector = spec.get("selector")
        if selector is None:
            return [required("spec.selector")]
        causes = selector_faults(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            causes.append(invalid("spec.selector", {}, f"empty selector is invalid for {self.noun}"))
        elif not causes:
            causes.extend(mismatch(selector, spec.get("template") or {}))
        return causes

    def spec_faults(self, spec: Json) -> list[Cause]:
        """Faults of the fields only this kind has."""
        return []

    def change_faults(self, spec: Json, before: Json) -> list[Cause]:
        """Faults of a change."""
        if spec.get("selector") != before.get("selector"):
            return [invalid("spec.selector", spec.get("selector"), "field is immutable")]
        return []


def _drop_template_identity(obj: Json) -> None:
    template = (obj.get("spec") or {}).get("template")
    metadata = template.get("metadata") if isinstance(template, dict) else None
    if isinstance(metadata, dict) and metadata.get("creationTimestamp") is None:
        metadata.pop("creationTimestamp", None)


def counts(holder: Json, path: str, fields: tuple[str, ...]) -> list[Cause]:
    """Numbers that must not be negative."""
    return [
        invalid(f"{path}.{field}", holder[field], _NOT_NEGATIVE)
        for field in fields
        if isinstance(holder.get(field), int) and holder[field] < 0
    ]


_STATUS_COUNTS = (
    "replicas",
    "readyReplicas",
    "availableReplicas",
    "updatedReplicas",
    "unavailableReplicas",
    "fullyLabeledReplicas",
    "currentReplicas",
    "observedGeneration",
    "collisionCount",
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "active",
    "succeeded",
    "failed",
    "ready",
    "terminating",
)


def status_faults(status: Json) -> list[Cause]:
    """Counters of a status: none negative, and no more ready or available pods than there are."""
    causes = counts(status, "status", _STATUS_COUNTS)
    total = status.get("replicas") or 0
    if "replicas" in status:
        causes.extend(
            invalid(f"status.{field}", status[field], "cannot be greater than status.replicas")
            for field in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "updatedReplicas")
            if (status.get(field) or 0) > total
        )
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        causes.append(
            invalid(
                "status.availableReplicas",
                status["availableReplicas"],
                "cannot be greater than readyReplicas",
            )
        )
    return causes


def mismatch(selector: Json, template: Json) -> list[Cause]:
    """The labels of the template have to be found by the selector."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selects(selector, labels):
        return []
    text = "`selector` does not match template `labels`"
    return [invalid("spec.template.metadata.labels", labels, text)]


def template_faults(template: Json, path: str, policies: tuple[str, ...]) -> list[Cause]:
    """Faults of a pod template; `policies` are the restart policies it may have."""
    causes: list[Cause] = []
    labels = (template.get("metadata") or {}).get("labels") or {}
    for key in sorted(labels):
        where = f"{path}.labels"
        causes.extend(invalid_value(where, key, fault) for fault in label_key_faults(key))
        causes.extend(invalid_value(where, labels[key], fault) for fault in label_value_faults(labels[key]))
    spec = template.get("spec") or {}
    if not spec.get("containers"):
        causes.append(required(f"{path}.spec.containers"))
    causes.extend(
        cause
        for cause in container_faults(spec, f"{path}.spec")
        if cause.reason != "FieldValueRequired"  # the schema has said so already
    )
    policy = spec.get("restartPolicy")
    if policy is not None and policy not in policies:
        causes.append(unsupported(f"{path}.spec.restartPolicy", policy, policies))
    return causes


def bounded(value: Any, path: str, *, most: bool = True) -> list[Cause]:
    """An int-or-percent that is not negative and, with `most`, no more than 100 %."""
    if isinstance(value, str):
        number = value.removesuffix("%")
        if not value.endswith("%") or not number.isdecimal():
            text = (
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
            )
            text += "'93%', regex used for validation is '[0-9]+%')"
            return [invalid(path, value, text)]
        if most and int(number) > 100:
            return [invalid(path, value, "must not be greater than 100%")]
    elif isinstance(value, int) and value < 0:
        return [invalid(path, value, _NOT_NEGATIVE)]
    return []


def is_zero(value: Any) -> bool:
    """0 or 0 %."""
    return value in (None, 0) or (isinstance(value, str) and value.rstrip("%").strip("0") == "")


class ReplicaSets(Workload):
    """ReplicaSet."""

    noun = "deployment"  # Kubernetes shares the text
    deadline_noun = "ReplicaSet"

    def __init__(self) -> None:
        super().__init__({"replicas": 0})

    def field_labels(self, obj: Json) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


class Deployments(Workload):
    """Deployment."""

    noun = "deployment"
    deadline_noun = "ReplicaSet"

    def spec_faults(self, spec: Json) -> list[Cause]:
        causes = _strategy_faults(spec.get("strategy") or {})
        causes.extend(counts(spec, "spec", ("progressDeadlineSeconds",)))
        deadline, wait = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
        if isinstance(deadline, int) and deadline <= wait:
            text = "must be greater than minReadySeconds"
            causes.append(invalid("spec.progressDeadlineSeconds", deadline, text))
        return causes


def _strategy_faults(strategy: Json) -> list[Cause]:
    rolling = strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate":
        if rolling is None:
            return []
        return [forbidden_cause(path, "may not be specified when strategy `type` is 'Recreate'")]
    if strategy.get("type") != "RollingUpdate":
        return []
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    causes = bounded(unavailable, f"{path}.maxUnavailable") + bounded(surge, f"{path}.maxSurge", most=False)
    if not causes and is_zero(surge) and is_zero(unavailable):
        causes.append(
            invalid(f"{path}.maxUnavailable", unavailable or 0, "may not be 0 when `maxSurge` is 0")
        )
    return causes


class DaemonSets(Workload):
    """DaemonSet."""

    noun = "daemonset"
    deadline_noun = "DaemonSet"

    def __init__(self) -> None:
        fields = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
        super().__init__(dict.fromkeys(fields, 0))

    def spec_faults(self, spec: Json) -> list[Cause]:
        strategy = spec.get("updateStrategy") or {}
        rolling = strategy.get("rollingUpdate")
        path = "spec.updateStrategy.rollingUpdate"
        if strategy.get("type") != "RollingUpdate":
            return []
        if rolling is None:
            return [required(path)]
        surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
        causes = bounded(unavailable, f"{path}.maxUnavailable") + bounded(surge, f"{path}.maxSurge")
        if not causes and is_zero(surge) == is_zero(unavailable):
            if is_zero(surge):
                text = "cannot be 0 when maxSurge is 0"
                causes.append(invalid(f"{path}.maxUnavailable", unavailable or 0, text))
            else:
                text = "may not be set when maxUnavailable is non-zero"
                causes.append(invalid(f"{path}.maxSurge", surge, text))
        return causes


_STATEFUL_FREE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "revisionHistoryLimit",
)


class StatefulSets(Workload):
    """StatefulSet."""

    noun = "statefulset"
    deadline_noun = "StatefulSet"

    def __init__(self) -> None:
        super().__init__({"replicas": 0, "availableReplicas": 0})

    def spec_faults(self, spec: Json) -> list[Cause]:
        causes: list[Cause] = []
        management = spec.get("podManagementPolicy")
        if management not in (None, "OrderedReady", "Parallel"):
            text = "must be 'OrderedReady' or 'Parallel'"
            causes.append(invalid("spec.podManagementPolicy", management, text))
        strategy = spec.get("updateStrategy") or {}
        kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
        if kind not in ("RollingUpdate", "OnDelete"):
            text = "must be 'RollingUpdate' or 'OnDelete'"
            causes.append(invalid("spec.updateStrategy", strategy, text))
        elif kind == "OnDelete" and rolling is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(invalid("spec.updateStrategy.rollingUpdate", rolling, text))
        elif rolling:
            causes.extend(counts(rolling, "spec.updateStrategy.rollingUpdate", ("partition",)))
            if rolling.get("maxUnavailable") is not None:
                text = "more than one pod at a time is not updated by this server"
                causes.append(forbidden_cause("spec.updateStrategy.rollingUpdate.maxUnavailable", text))
        causes.extend(counts(spec.get("ordinals") or {}, "spec.ordinals", ("start",)))
        name = spec.get("serviceName")
        causes.extend(
            invalid_value("spec.serviceName", name, f) for f in (subdomain_faults(name) if name else ())
        )
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            if not (claim.get("metadata") or {}).get("name"):
                causes.append(required(f"spec.volumeClaimTemplates[{index}].metadata.name"))
        return causes

    def change_faults(self, spec: Json, before: Json) -> list[Cause]:
        if {n: v for n, v in spec.items() if n not in _STATEFUL_FREE} == {
            n: v for n, v in before.items() if n not in _STATEFUL_FREE
        }:
            return []
        free = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit")
        text = f"updates to statefulset spec for fields other than {', '.join(shown(f) for f in free)}, "
        text = text.replace('"', "'")
        text += "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        return [forbidden_cause("spec", text)]
