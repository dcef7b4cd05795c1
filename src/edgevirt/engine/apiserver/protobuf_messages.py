"""Field numbers of the Kubernetes messages that clients send as protobuf, as published in its API.

Only what kubectl's typed commands write: everything else is refused by name and can be sent as JSON.
A field is (name, kind): `text`, `number`, `flag`, `bytes` and `time` are Go values that are always written,
so their zero means absent; with `?` the zero is a value. `Message` names are nested messages, `*` marks a
repeated field, `map` and `map of bytes` are maps with text keys.
"""

from __future__ import annotations

Fields = dict[int, tuple[str, str]]

_OBJECT = (1, ("metadata", "ObjectMeta"))

MESSAGES: dict[str, Fields] = {
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        5: ("uid", "text"),
        6: ("resourceVersion", "text"),
        7: ("generation", "number"),
        8: ("creationTimestamp", "time"),
        9: ("deletionTimestamp", "time"),
        10: ("deletionGracePeriodSeconds", "number?"),
        11: ("labels", "map"),
        12: ("annotations", "map"),
        13: ("ownerReferences", "OwnerReference*"),
        14: ("finalizers", "text*"),
    },
    "OwnerReference": {
        1: ("kind", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("controller", "flag?"),
        7: ("blockOwnerDeletion", "flag?"),
    },
    "ObjectReference": {
        1: ("kind", "text"),
        2: ("namespace", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("resourceVersion", "text"),
        7: ("fieldPath", "text"),
    },
    "LocalObjectReference": {1: ("name", "text")},
    "LabelSelector": {1: ("matchLabels", "map"), 2: ("matchExpressions", "LabelSelectorRequirement*")},
    "LabelSelectorRequirement": {1: ("key", "text"), 2: ("operator", "text"), 3: ("values", "text*")},
    "Namespace": dict((_OBJECT, (2, ("spec", "NamespaceSpec")))),
    "NamespaceSpec": {1: ("finalizers", "text*")},
    "ConfigMap": dict(
        (_OBJECT, (2, ("data", "map")), (3, ("binaryData", "map of bytes")), (4, ("immutable", "flag?")))
    ),
    "Secret": dict(
        (
            _OBJECT,
            (2, ("data", "map of bytes")),
            (3, ("type", "text")),
            (4, ("stringData", "map")),
            (5, ("immutable", "flag?")),
        )
    ),
    "ServiceAccount": dict(
        (
            _OBJECT,
            (2, ("secrets", "ObjectReference*")),
            (3, ("imagePullSecrets", "LocalObjectReference*")),
            (4, ("automountServiceAccountToken", "flag?")),
        )
    ),
    "Service": dict((_OBJECT, (2, ("spec", "ServiceSpec")))),
    "ServiceSpec": {
        1: ("ports", "ServicePort*"),
        2: ("selector", "map"),
        3: ("clusterIP", "text"),
        4: ("type", "text"),
        5: ("externalIPs", "text*"),
        7: ("sessionAffinity", "text"),
        8: ("loadBalancerIP", "text"),
        9: ("loadBalancerSourceRanges", "text*"),
        10: ("externalName", "text"),
        11: ("externalTrafficPolicy", "text"),
        12: ("healthCheckNodePort", "number"),
        13: ("publishNotReadyAddresses", "flag"),
        17: ("ipFamilyPolicy", "text?"),
        18: ("clusterIPs", "text*"),
        19: ("ipFamilies", "text*"),
        20: ("allocateLoadBalancerNodePorts", "flag?"),
        21: ("loadBalancerClass", "text?"),
        22: ("internalTrafficPolicy", "text?"),
    },
    "ServicePort": {
        1: ("name", "text"),
        2: ("protocol", "text"),
        3: ("port", "number"),
        4: ("targetPort", "IntOrString"),
        5: ("nodePort", "number"),
        6: ("appProtocol", "text?"),
    },
    "Role": dict((_OBJECT, (2, ("rules", "PolicyRule*")))),
    "ClusterRole": dict(
        (_OBJECT, (2, ("rules", "PolicyRule*")), (3, ("aggregationRule", "AggregationRule")))
    ),
    "AggregationRule": {1: ("clusterRoleSelectors", "LabelSelector*")},
    "PolicyRule": {
        1: ("verbs", "text*"),
        2: ("apiGroups", "text*"),
        3: ("resources", "text*"),
        4: ("resourceNames", "text*"),
        5: ("nonResourceURLs", "text*"),
    },
    "RoleBinding": dict((_OBJECT, (2, ("subjects", "Subject*")), (3, ("roleRef", "RoleRef")))),
    "ClusterRoleBinding": dict((_OBJECT, (2, ("subjects", "Subject*")), (3, ("roleRef", "RoleRef")))),
    "Subject": {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")},
    "RoleRef": {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")},
    "PriorityClass": dict(
        (
            _OBJECT,
            (2, ("value", "number?")),
            (3, ("globalDefault", "flag")),
            (4, ("description", "text")),
            (5, ("preemptionPolicy", "text?")),
        )
    ),
    "PodDisruptionBudget": dict((_OBJECT, (2, ("spec", "PodDisruptionBudgetSpec")))),
    "PodDisruptionBudgetSpec": {
        1: ("minAvailable", "IntOrString"),
        2: ("selector", "LabelSelector"),
        3: ("maxUnavailable", "IntOrString"),
        4: ("unhealthyPodEvictionPolicy", "text?"),
    },
    "Eviction": dict((_OBJECT, (2, ("deleteOptions", "DeleteOptions")))),
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "number?"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "flag?"),
        4: ("propagationPolicy", "text?"),
        5: ("dryRun", "text*"),
    },
    "Preconditions": {1: ("uid", "text?"), 2: ("resourceVersion", "text?")},
    "TokenRequest": dict((_OBJECT, (2, ("spec", "TokenRequestSpec")))),
    "TokenRequestSpec": {
        1: ("audiences", "text*"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "number?"),
    },
    "BoundObjectReference": {
        1: ("kind", "text"),
        2: ("apiVersion", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
    },
    "SelfSubjectAccessReview": dict((_OBJECT, (2, ("spec", "SelfSubjectAccessReviewSpec")))),
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "text"),
        2: ("verb", "text"),
        3: ("group", "text"),
        4: ("version", "text"),
        5: ("resource", "text"),
        6: ("subresource", "text"),
        7: ("name", "text"),
    },
    "NonResourceAttributes": {1: ("path", "text"), 2: ("verb", "text")},
    "SelfSubjectRulesReview": dict((_OBJECT, (2, ("spec", "SelfSubjectRulesReviewSpec")))),
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "text")},
    "SelfSubjectReview": dict((_OBJECT,)),
}

IGNORED: dict[str, frozenset[int]] = {
    "ObjectMeta": frozenset({4, 15, 17}),
    "Namespace": frozenset({3}),
    "Service": frozenset({3}),
    "ServiceSpec": frozenset({6}),
    "PodDisruptionBudget": frozenset({3}),
    "TokenRequest": frozenset({3}),
    "SelfSubjectAccessReview": frozenset({3}),
    "SelfSubjectRulesReview": frozenset({3}),
    "SelfSubjectReview": frozenset({2}),
}
"""Fields that carry nothing a client may set in a request: status, managed fields, retired ones."""

ROOTS: dict[tuple[str, str], str] = {
    ("v1", "Namespace"): "Namespace",
    ("v1", "ConfigMap"): "ConfigMap",
    ("v1", "Secret"): "Secret",
    ("v1", "ServiceAccount"): "ServiceAccount",
    ("v1", "Service"): "Service",
    ("v1", "DeleteOptions"): "DeleteOptions",
    ("meta.k8s.io/v1", "DeleteOptions"): "DeleteOptions",
    ("rbac.authorization.k8s.io/v1", "Role"): "Role",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "ClusterRole",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "RoleBinding",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "ClusterRoleBinding",
    ("scheduling.k8s.io/v1", "PriorityClass"): "PriorityClass",
    ("policy/v1", "PodDisruptionBudget"): "PodDisruptionBudget",
    ("policy/v1", "Eviction"): "Eviction",
    ("authentication.k8s.io/v1", "TokenRequest"): "TokenRequest",
    ("authentication.k8s.io/v1", "SelfSubjectReview"): "SelfSubjectReview",
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): "SelfSubjectAccessReview",
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): "SelfSubjectRulesReview",
}
