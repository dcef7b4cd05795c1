"""The built-in resources: which kinds are served, with which schema, strategy and subresources."""

from __future__ import annotations

import dataclasses

import msgspec

from edgevirt.api import authentication, authorization, events, resources
from edgevirt.api.meta import Resource
from edgevirt.engine.apiserver.cluster import storage_prefix
from edgevirt.engine.apiserver.kinds.admission_policy import (
    AdmissionPolicies,
    MutatingPolicies,
    MutatingPolicyBindings,
    PolicyBindings,
)
from edgevirt.engine.apiserver.kinds.claim import Claims, Volumes
from edgevirt.engine.apiserver.kinds.definition import Definitions
from edgevirt.engine.apiserver.kinds.disruption import DisruptionBudgets
from edgevirt.engine.apiserver.kinds.events import (
    CORE_FIELDS,
    NEWER_FIELDS,
    EventConversion,
    Events,
    NewerEvents,
)
from edgevirt.engine.apiserver.kinds.jobs import CronJobs, Jobs
from edgevirt.engine.apiserver.kinds.pods import POD_FIELDS, Pods
from edgevirt.engine.apiserver.kinds.priority_class import PriorityClasses
from edgevirt.engine.apiserver.kinds.quota import LimitRanges, Quotas
from edgevirt.engine.apiserver.kinds.service import Services
from edgevirt.engine.apiserver.kinds.service_network import ServiceNetwork
from edgevirt.engine.apiserver.kinds.strategies import (
    ApiServices,
    ConfigData,
    Namespaces,
    Nodes,
    Plain,
    RoleBindings,
    Roles,
    SecretData,
    WebhookConfigurations,
)
from edgevirt.engine.apiserver.kinds.workload import DaemonSets, Deployments, ReplicaSets, StatefulSets
from edgevirt.engine.apiserver.names import (
    label_faults,
    path_segment_faults,
    subdomain_faults,
)
from edgevirt.engine.apiserver.registry import ALL_VERBS, Registry, Scale, ServedResource, Strategy
from edgevirt.engine.apiserver.schema.builtin import builtin_schema
from edgevirt.engine.apiserver.schema.builtin_columns import builtin_columns

_NAMESPACE_VERBS = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
_SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "namespaces": ("ns",),
    "pods": ("po",),
    "nodes": ("no",),
    "configmaps": ("cm",),
    "services": ("svc",),
    "endpoints": ("ep",),
    "serviceaccounts": ("sa",),
    "events": ("ev",),
    "persistentvolumeclaims": ("pvc",),
    "persistentvolumes": ("pv",),
    "customresourcedefinitions": ("crd", "crds"),
    "priorityclasses": ("pc",),
    "storageclasses": ("sc",),
    "poddisruptionbudgets": ("pdb",),
    "resourcequotas": ("quota",),
    "deployments": ("deploy",),
    "replicasets": ("rs",),
    "statefulsets": ("sts",),
    "daemonsets": ("ds",),
    "cronjobs": ("cj",),
    "limitranges": ("limits",),
}
_ALL = frozenset(
    {
        "pods",
        "services",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
        "cronjobs",
    }
)
_ALL_GROUPS = frozenset({"", "apps", "batch"})
_POD_SUBRESOURCES = frozenset(
    {
        "status",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "binding",
        "eviction",
        "ephemeralcontainers",
    }
)
_STATUS = frozenset({"status"})


def _served(
    resource: Resource[object],
    strategy: Strategy,
    *,
    subresources: frozenset[str] = frozenset(),
    fields: frozenset[str] = frozenset(),
    scale: Scale | None = None,
    generation: bool = False,
    returns_deleted: bool = False,
    upsert: bool = False,
    verbs: tuple[str, ...] = ALL_VERBS,
    review: bool = False,
    computed: bool = False,
    name_faults: object = subdomain_faults,
) -> ServedResource:
    group, plural, kind = resource.group, resource.plural, resource.kind
    assert issubclass(resource.type, msgspec.Struct)
    assert callable(name_faults)
    return ServedResource(
        group=group,
        version=resource.version,
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        list_kind=f"{kind}List",
        namespaced=resource.namespaced,
        schema=builtin_schema(resource.type, group, resource.version, kind),
        strategy=strategy,
        storage_prefix=storage_prefix(group, plural),
        short_names=_SHORT_NAMES.get(plural, ()),
        categories=_categories(group, plural),
        verbs=verbs,
        subresources=subresources,
        columns=builtin_columns(group, plural),
        selectable_fields=fields,
        scale=scale,
        generation=generation,
        returns_deleted=returns_deleted,
        upsert=upsert,
        name_faults=name_faults,
        review=review,
        computed=computed,
        deprecated_warning=_DEPRECATED.get((group, plural), ""),
    )


_DEPRECATED = {
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
_API_EXTENSIONS = ("apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io")


def _categories(group: str, plural: str) -> tuple[str, ...]:
    if group in _API_EXTENSIONS:
        return ("api-extensions",)
    return ("all",) if plural in _ALL and group in _ALL_GROUPS else ()


_NEWER_EVENTS = Resource("events.k8s.io", "v1", "events", "Event", events.Event)
_REVIEWS = (
    Resource(
        "authentication.k8s.io",
        "v1",
        "tokenreviews",
        "TokenReview",
        authentication.TokenReview,
        namespaced=False,
    ),
    Resource(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "SelfSubjectReview",
        authentication.SelfSubjectReview,
        namespaced=False,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "SubjectAccessReview",
        authorization.SubjectAccessReview,
        namespaced=False,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        authorization.SelfSubjectAccessReview,
        namespaced=False,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        authorization.SelfSubjectRulesReview,
        namespaced=False,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        authorization.LocalSubjectAccessReview,
    ),
)


def builtin_registry(services: ServiceNetwork | None = None) -> Registry:
    """A registry with every built-in resource; `services` hands out cluster addresses and node ports."""
    plain = Plain()
    served = [
        _served(
            resources.NAMESPACES,
            Namespaces(),
            subresources=frozenset({"status", "finalize"}),
            fields=frozenset({"status.phase"}),
            returns_deleted=True,
            verbs=_NAMESPACE_VERBS,
            name_faults=label_faults,
        ),
        _served(
            resources.PODS,
            Pods(),
            subresources=_POD_SUBRESOURCES,
            fields=POD_FIELDS,
            generation=True,
            returns_deleted=True,
        ),
        _served(
            resources.NODES,
            Nodes(),
            subresources=_STATUS | {"proxy"},
            fields=frozenset({"spec.unschedulable"}),
        ),
        _served(resources.SECRETS, SecretData(), fields=frozenset({"type"})),
        _served(resources.CONFIG_MAPS, ConfigData()),
        _served(
            resources.SERVICES,
            Services(services or ServiceNetwork()),
            subresources=_STATUS | {"proxy"},
            returns_deleted=True,
            upsert=True,
            name_faults=label_faults,
        ),
        _served(resources.ENDPOINTS, plain, upsert=True),
        _served(resources.SERVICE_ACCOUNTS, plain, subresources=frozenset({"token"}), returns_deleted=True),
        _served(resources.EVENTS, Events(), fields=CORE_FIELDS, upsert=True),
        dataclasses.replace(
            _served(_NEWER_EVENTS, NewerEvents(), fields=NEWER_FIELDS, upsert=True),
            storage_prefix=storage_prefix("", "events"),
            converter=EventConversion(),
        ),
        _served(
            resources.PERSISTENT_VOLUME_CLAIMS,
            Claims(),
            subresources=_STATUS,
            returns_deleted=True,
        ),
        _served(
            resources.PERSISTENT_VOLUMES,
            Volumes(),
            subresources=_STATUS,
            returns_deleted=True,
        ),
        _served(resources.RESOURCE_QUOTAS, Quotas(), subresources=_STATUS, returns_deleted=True),
        _served(resources.LIMIT_RANGES, LimitRanges()),
        _served(resources.LEASES, plain, upsert=True),
        _served(resources.ROLES, Roles(), upsert=True, name_faults=path_segment_faults),
        _served(resources.ROLE_BINDINGS, RoleBindings(), upsert=True, name_faults=path_segment_faults),
        _served(resources.CLUSTER_ROLES, Roles(), upsert=True, name_faults=path_segment_faults),
        _served(
            resources.CLUSTER_ROLE_BINDINGS, RoleBindings(), upsert=True, name_faults=path_segment_faults
        ),
        _served(resources.CONTROLLER_REVISIONS, plain),
        _served(resources.CUSTOM_RESOURCE_DEFINITIONS, Definitions(), subresources=_STATUS, generation=True),
        _served(resources.MUTATING_WEBHOOK_CONFIGURATIONS, WebhookConfigurations(), generation=True),
        _served(resources.VALIDATING_WEBHOOK_CONFIGURATIONS, WebhookConfigurations(), generation=True),
        _served(resources.MUTATING_ADMISSION_POLICIES, MutatingPolicies(), generation=True),
        _served(resources.MUTATING_ADMISSION_POLICY_BINDINGS, MutatingPolicyBindings(), generation=True),
        _served(
            resources.VALIDATING_ADMISSION_POLICIES,
            AdmissionPolicies(),
            subresources=_STATUS,
            generation=True,
        ),
        _served(resources.VALIDATING_ADMISSION_POLICY_BINDINGS, PolicyBindings(), generation=True),
        _served(
            resources.API_SERVICES, ApiServices({}), subresources=_STATUS, name_faults=path_segment_faults
        ),
        _served(resources.PRIORITY_CLASSES, PriorityClasses(), generation=True),
        _served(resources.STORAGE_CLASSES, plain, returns_deleted=True),
        _served(resources.POD_DISRUPTION_BUDGETS, DisruptionBudgets(), subresources=_STATUS, generation=True),
        _served(resources.ENDPOINT_SLICES, plain, generation=True),
        *_workloads(),
    ]
    measured = (resources.NODE_METRICS, resources.POD_METRICS)
    served.extend(_served(metric, plain, verbs=("get", "list"), computed=True) for metric in measured)
    served.extend(_served(review, plain, verbs=("create",), review=True) for review in _REVIEWS)
    return Registry(served)


_SCALED = frozenset({"status", "scale"})
_SCALE = Scale(".spec.replicas", ".status.replicas", ".spec.selector")


def _workloads() -> tuple[ServedResource, ...]:
    return (
        _served(resources.DEPLOYMENTS, Deployments(), subresources=_SCALED, scale=_SCALE, generation=True),
        _served(
            resources.REPLICA_SETS,
            ReplicaSets(),
            subresources=_SCALED,
            scale=_SCALE,
            fields=frozenset({"status.replicas"}),
            generation=True,
        ),
        _served(resources.STATEFUL_SETS, StatefulSets(), subresources=_SCALED, scale=_SCALE, generation=True),
        _served(resources.DAEMON_SETS, DaemonSets(), subresources=_STATUS, generation=True),
        _served(
            resources.JOBS,
            Jobs(),
            subresources=_STATUS,
            fields=frozenset({"status.successful"}),
            generation=True,
        ),
        _served(resources.CRON_JOBS, CronJobs(), subresources=_STATUS, generation=True),
    )
