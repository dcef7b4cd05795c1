"""LimitRanger: defaults and bounds of what pods and claims may ask for, from their namespace's LimitRanges.

`LimitDefaults` fills in what a container leaves open, early, so that everything later sees it; `LimitBounds`
refuses what is out of bounds, on the final object. Pods are looked at when they are created only, because
their resources cannot change afterwards; claims also when they grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from edgevirt.api.quantity import parse
from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.quota.pods import all_containers, pod_amounts

Json = Mapping[str, Any]

ANNOTATION = "kubernetes.io/limit-ranger"
_CLAIM = "PersistentVolumeClaim"


class LimitRanges:
    """All LimitRanges by namespace, following the store: they are asked about at every pod."""

    def __init__(self, reader: ObjectReader) -> None:
        self._ranges: dict[str, dict[str, Json]] = {}
        reader.observe("", "limitranges", self._take)

    def _take(self, event: str, document: Json) -> None:
        metadata = document["metadata"]
        stored = self._ranges.setdefault(metadata["namespace"], {})
        stored.pop(metadata["name"], None)
        if event != "DELETED":
            stored[metadata["name"]] = document
        if not stored:
            del self._ranges[metadata["namespace"]]

    def limits(self, namespace: str, *kinds: str) -> Iterator[Json]:
        """The limits of these types in a namespace, in the order of their ranges' names."""
        for _, document in sorted(self._ranges.get(namespace, {}).items()):
            for limit in (document.get("spec") or {}).get("limits") or ():
                if limit.get("type") in kinds:
                    yield limit


class LimitDefaults:
    def __init__(self, ranges: LimitRanges) -> None:
        self._ranges = ranges

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "pods" and not subresource and operation == "CREATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Gives containers the default limits and requests they lack, and says so in an annotation."""
        pod = attributes.object
        if pod is None:
            return
        requests: dict[str, str] = {}
        limits: dict[str, str] = {}
        for limit in self._ranges.limits(attributes.namespace, "Container"):
            requests.update(limit.get("defaultRequest") or {})
            limits.update(limit.get("default") or {})
        if not requests and not limits:
            return
        spec = pod.get("spec") or {}
        told: list[str] = []
        for field, prefix in (("containers", "container"), ("initContainers", "init container")):
            for container in spec.get(field) or ():
                told += _filled(container, prefix, requests, limits)
        if told:
            metadata = pod.setdefault("metadata", {})
            annotations = metadata.get("annotations") or {}
            metadata["annotations"] = {
                **annotations,
                ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}",
            }


def _filled(
    container: dict[str, Any], prefix: str, requests: Mapping[str, str], limits: Mapping[str, str]
) -> list[str]:
    """Fills one container; what was set, as the annotation tells it."""
    resources = dict(container.get("resources") or {})
    told: list[str] = []
    for field, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        said = resources.get(field) or {}
        missing = {name: amount for name, amount in defaults.items() if name not in said}
        if missing:
            resources[field] = {**said, **missing}
            told.append(f"{', '.join(sorted(missing))} {word} for {prefix} {container.get('name', '')}")
    if told:
        container["resources"] = resources
    return told


class LimitBounds:
    def __init__(self, ranges: LimitRanges) -> None:
        self._ranges = ranges

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if group or subresource:
            return False
        return (plural == "pods" and operation == "CREATE") or (
            plural == "persistentvolumeclaims" and operation in ("CREATE", "UPDATE")
        )

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 naming everything that is out of bounds."""
        if attributes.object is None:
            return
        spec = attributes.object.get("spec") or {}
        if attributes.resource.plural == "pods":
            found = list(self._pod_faults(attributes.namespace, spec))
        else:
            found = list(self._claim_faults(attributes.namespace, spec))
        if found:
            unique = list(dict.fromkeys(found))
            text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
            raise errors.forbidden(attributes.resource.group_resource, attributes.name, text)

    def _pod_faults(self, namespace: str, spec: Json) -> Iterator[str]:
        for limit in self._ranges.limits(namespace, "Container", "Pod"):
            if limit["type"] == "Pod":
                requests, limits = pod_amounts(spec, "requests"), pod_amounts(spec, "limits")
                yield from _faults(limit, requests, limits)
                continue
            for container in all_containers(spec):
                resources = container.get("resources") or {}
                yield from _faults(limit, resources.get("requests") or {}, resources.get("limits") or {})

    def _claim_faults(self, namespace: str, spec: Json) -> Iterator[str]:
        requests = (spec.get("resources") or {}).get("requests") or {}
        for limit in self._ranges.limits(namespace, _CLAIM):
            yield from _minimum_faults(limit, requests, {})
            for name, most in sorted((limit.get("max") or {}).items()):
                about = f"maximum {name} usage per {_CLAIM} is {most}"
                if name not in requests:
                    yield f"{about}.  No request is specified"
                elif parse(requests[name]) > parse(most):
                    yield f"{about}, but request is {requests[name]}"


def _faults(limit: Json, requests: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[str]:
    yield from _minimum_faults(limit, requests, limits)
    for name, most in sorted((limit.get("max") or {}).items()):
        about = f"maximum {name} usage per {limit['type']} is {most}"
        if name not in limits:
            yield f"{about}.  No limit is specified"
        elif parse(limits[name]) > parse(most):
            yield f"{about}, but limit is {limits[name]}"
        if name in requests and parse(requests[name]) > parse(most):
            yield f"{about}, but request is {requests[name]}"
    for name, most in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio_faults(name, limit["type"], most, requests.get(name), limits.get(name))


def _minimum_faults(limit: Json, requests: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[str]:
    for name, least in sorted((limit.get("min") or {}).items()):
        about = f"minimum {name} usage per {limit['type']} is {least}"
        if name not in requests:
            yield f"{about}.  No request is specified"
        elif parse(requests[name]) < parse(least):
            yield f"{about}, but request is {requests[name]}"
        if name in limits and parse(limits[name]) < parse(least):
            yield f"{about}, but limit is {limits[name]}"


def _ratio_faults(name: str, kind: str, most: str, request: str | None, limit: str | None) -> Iterator[str]:
    about = f"{name} max limit to request ratio per {kind} is {most}"
    if request is None or parse(request) == 0:
        yield f"{about}, but no request is specified or request is 0"
    elif limit is None or parse(limit) == 0:
        yield f"{about}, but no limit is specified or limit is 0"
    else:
        ratio: Fraction = parse(limit) / parse(request)
        if ratio > parse(most):
            yield f"{about}, but provided ratio is {float(ratio):f}"
