"""Which number a field of Kubernetes' API has in protobuf, for every built-in kind.

The numbers are a table beside this module, read when the first protobuf body comes; names, nesting and types
are those of the typed classes. The groups of CustomResourceDefinition and APIService are not in it: their
clients send JSON.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
from dataclasses import dataclass, field

import msgspec

from edgevirt.api import meta
from edgevirt.engine.apiserver.schema.builtin_types import StructType

_OTHER_PACKAGES = {
    "authorization.v1.FieldSelectorRequirement": "meta.v1.FieldSelectorRequirement",
    "storage.v1.TopologySelectorLabelRequirement": "core.v1.TopologySelectorLabelRequirement",
    "storage.v1.TopologySelectorTerm": "core.v1.TopologySelectorTerm",
}
"""Messages that the API defines in another package than the classes here."""


@dataclass(slots=True)
class Message:
    """Fields by number; `embedded` are parts whose fields stand in the outer object in JSON."""

    name: str
    fields: dict[int, str] = field(default_factory=dict)
    embedded: dict[int, Message] = field(default_factory=dict)


@functools.cache
def _messages() -> dict[str, Message]:
    text = importlib.resources.files(__package__).joinpath("protobuf_fields.txt").read_text()
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    found = {name: Message(name.rpartition(".")[2]) for name, *_ in lines}
    for name, *entries in lines:
        for entry in entries:
            number, _, what = entry.partition("=")
            if what.startswith("+"):
                found[name].embedded[int(number)] = found[what[1:]]
            else:
                found[name].fields[int(number)] = what
    return found


def message_of(struct: StructType) -> Message | None:
    """The message of a type, None if it has none."""
    name = struct.definition.removeprefix("io.k8s.api.").removeprefix("io.k8s.apimachinery.pkg.apis.")
    messages = _messages()
    return messages.get(name) or messages.get(_OTHER_PACKAGES.get(name, ""))


def class_of(api_version: str, kind: str) -> type[msgspec.Struct] | None:
    """The class of a kind that can travel as protobuf."""
    if kind in ("DeleteOptions", "Status"):
        return meta.DeleteOptions if kind == "DeleteOptions" else meta.Status
    group, _, version = api_version.rpartition("/")
    module = group.partition(".")[0] if group else "core"
    if version != "v1" or not kind.isidentifier() or not module.isidentifier():
        return None
    try:
        found = getattr(importlib.import_module(f"edgevirt.api.{module}"), kind, None)
    except ModuleNotFoundError:
        return None
    if not (isinstance(found, type) and issubclass(found, meta.KubeObject)):
        return None
    return found if f"{module}.v1.{kind}" in _messages() else None


_ZERO_MEANS_ABSENT: dict[str, tuple[str, ...]] = {
    "ObjectMeta": ("generation",),
    "PodSpec": ("hostIPC", "hostNetwork", "hostPID"),
    "Container": ("stdin", "stdinOnce", "tty"),
    "EphemeralContainer": ("stdin", "stdinOnce", "tty"),
    "Probe": (
        "failureThreshold",
        "initialDelaySeconds",
        "periodSeconds",
        "successThreshold",
        "timeoutSeconds",
    ),
    "ContainerPort": ("hostPort",),
    "VolumeMount": ("readOnly",),
    "NFSVolumeSource": ("readOnly",),
    "PersistentVolumeClaimVolumeSource": ("readOnly",),
    "CSIPersistentVolumeSource": ("readOnly",),
    "PodStatus": ("observedGeneration",),
    "PodCondition": ("observedGeneration",),
    "ContainerStateTerminated": ("signal",),
    "VolumeMountStatus": ("readOnly",),
    "NodeSpec": ("unschedulable",),
    "ContainerImage": ("sizeBytes",),
    "ServiceSpec": ("healthCheckNodePort", "publishNotReadyAddresses"),
    "ServicePort": ("nodePort", "targetPort"),
    "Condition": ("observedGeneration",),
    "Event": ("count", "deprecatedCount"),
    "PriorityClass": ("globalDefault",),
    "PodDisruptionBudgetStatus": ("observedGeneration",),
    "DeploymentSpec": ("minReadySeconds", "paused"),
    "DeploymentStatus": (
        "availableReplicas",
        "observedGeneration",
        "readyReplicas",
        "replicas",
        "unavailableReplicas",
        "updatedReplicas",
    ),
    "ReplicaSetSpec": ("minReadySeconds",),
    "ReplicaSetStatus": ("availableReplicas", "fullyLabeledReplicas", "observedGeneration", "readyReplicas"),
    "StatefulSetSpec": ("minReadySeconds",),
    "StatefulSetStatus": ("currentReplicas", "observedGeneration", "readyReplicas", "updatedReplicas"),
    "DaemonSetSpec": ("minReadySeconds",),
    "DaemonSetStatus": (
        "numberAvailable",
        "numberUnavailable",
        "observedGeneration",
        "updatedNumberScheduled",
    ),
    "JobStatus": ("active", "failed", "succeeded"),
    "TokenReviewStatus": ("authenticated",),
    "SubjectAccessReviewStatus": ("denied",),
    "ValidatingAdmissionPolicyStatus": ("observedGeneration",),
}
"""Numbers and booleans that Go cannot tell from absent ones, and leaves out of JSON then."""

_EMPTY_TEXT_IS_A_VALUE = frozenset({("PersistentVolumeClaimSpec", "storageClassName")})


def means_absent(struct: str, name: str, value: object) -> bool:
    """Whether a value that Go wrote into protobuf would not be in its JSON."""
    if value is None:
        return True
    if value == "":
        return (struct, name) not in _EMPTY_TEXT_IS_A_VALUE
    return value in (0, False) and name in _ZERO_MEANS_ABSENT.get(struct, ())
