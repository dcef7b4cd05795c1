"""Roles of the controllers that act as service accounts of their own, as Kubernetes gives them.

Status is written by patch here where Kubernetes updates, so both verbs are granted. One more role allows the
controller process, system:kube-controller-manager, to act as these accounts and as no others.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.auth.rules import Rule

_READ = ("get", "list", "watch")
_CHANGE = ("patch", "update")
_EVENTS = Rule(("create", *_CHANGE), ("", "events.k8s.io"), ("events",))
_PODS = Rule(("create", "delete", *_READ, *_CHANGE), ("",), ("pods",))
_REVISIONS = Rule(("create", "delete", *_READ, *_CHANGE), ("apps",), ("controllerrevisions",))


def _own(group: str, plural: str) -> tuple[Rule, ...]:
    """What a controller may do with the objects it is about."""
    return (
        Rule((*_READ, *_CHANGE), (group,), (plural,)),
        Rule(_CHANGE, (group,), (f"{plural}/status", f"{plural}/finalizers")),
        _EVENTS,
    )


CONTROLLER_ROLES: dict[str, tuple[Rule, ...]] = {
    "deployment-controller": (
        *_own("apps", "deployments"),
        Rule(("create", "delete", *_READ, *_CHANGE), ("apps",), ("replicasets",)),
        Rule((*_READ, "update"), ("",), ("pods",)),
    ),
    "replicaset-controller": (*_own("apps", "replicasets"), _PODS),
    "statefulset-controller": (
        *_own("apps", "statefulsets"),
        _PODS,
        _REVISIONS,
        Rule(("create", "get", *_CHANGE), ("",), ("persistentvolumeclaims",)),
    ),
    "daemon-set-controller": (
        *_own("apps", "daemonsets"),
        _PODS,
        _REVISIONS,
        Rule(_READ, ("",), ("nodes",)),
        Rule(("create",), ("",), ("pods/binding",)),
    ),
    "job-controller": (*_own("batch", "jobs"), _PODS),
    "cronjob-controller": (
        *_own("batch", "cronjobs"),
        Rule(("create", "delete", *_READ, *_CHANGE), ("batch",), ("jobs",)),
        Rule(("delete", "list"), ("",), ("pods",)),
    ),
    "ttl-after-finished-controller": (
        Rule(("delete", *_READ), ("batch",), ("jobs",)),
        _EVENTS,
    ),
    "disruption-controller": (
        Rule(_READ, ("apps",), ("deployments", "replicasets", "statefulsets")),
        Rule(_READ, ("policy",), ("poddisruptionbudgets",)),
        Rule(_READ, ("",), ("pods", "replicationcontrollers")),
        Rule(_CHANGE, ("policy",), ("poddisruptionbudgets/status",)),
        Rule(_CHANGE, ("",), ("pods/status",)),
        Rule(("get",), ("*",), ("*/scale",)),
        _EVENTS,
    ),
    "resourcequota-controller": (
        Rule(("list", "watch"), ("*",), ("*",)),
        Rule(_CHANGE, ("",), ("resourcequotas/status",)),
        _EVENTS,
    ),
    "endpoint-controller": (
        Rule(_READ, ("",), ("pods", "services")),
        Rule(("create", "delete", *_READ, *_CHANGE), ("",), ("endpoints",)),
        Rule(("create",), ("",), ("endpoints/restricted",)),
        _EVENTS,
    ),
    "endpointslice-controller": (
        Rule(_READ, ("",), ("nodes", "pods", "services")),
        Rule(_CHANGE, ("",), ("services/finalizers",)),
        Rule(("create", "delete", *_READ, *_CHANGE), ("discovery.k8s.io",), ("endpointslices",)),
        _EVENTS,
    ),
    "endpointslicemirroring-controller": (
        Rule(_READ, ("",), ("endpoints", "services")),
        Rule(_CHANGE, ("",), ("services/finalizers", "endpoints/finalizers")),
        Rule(("create", "delete", *_READ, *_CHANGE), ("discovery.k8s.io",), ("endpointslices",)),
        _EVENTS,
    ),
    "pvc-protection-controller": (
        Rule((*_READ, *_CHANGE), ("",), ("persistentvolumeclaims",)),
        Rule(_READ, ("",), ("pods",)),
        _EVENTS,
    ),
    "validatingadmissionpolicy-status-controller": (
        Rule(_READ, ("admissionregistration.k8s.io",), ("validatingadmissionpolicies",)),
        Rule(
            ("get", *_CHANGE),
            ("admissionregistration.k8s.io",),
            ("validatingadmissionpolicies/status",),
        ),
        _EVENTS,
    ),
    "pv-protection-controller": (
        Rule((*_READ, *_CHANGE), ("",), ("persistentvolumes",)),
        _EVENTS,
    ),
}

IMPERSONATOR = "system:controller-process"
"""The role, and its binding, in kube-system."""


def impersonation() -> Rule:
    """To act as the accounts above, by name."""
    return Rule(("impersonate",), ("",), ("serviceaccounts",), tuple(sorted(CONTROLLER_ROLES)))
