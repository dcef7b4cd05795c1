"""Facts about built-in kinds that their Python types do not carry, as plain tables.

Keys are (type name, wire name of the field). What is not listed follows the rule: objects and maps merge
field by field, lists are atomic, integers are int32, a field is optional. The tables repeat what the
Kubernetes API reference says about patch strategies, list types, formats, required fields and closed sets.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.schema import PatchStrategy

Place = tuple[str, str]

MERGE_LISTS: dict[Place, tuple[tuple[str, ...], str, PatchStrategy]] = {
    # (keys of server-side apply, merge key of strategic merge patch, strategy)
    ("ObjectMeta", "ownerReferences"): (("uid",), "uid", "merge"),
    ("PodSpec", "containers"): (("name",), "name", "merge"),
    ("PodSpec", "initContainers"): (("name",), "name", "merge"),
    ("PodSpec", "ephemeralContainers"): (("name",), "name", "merge"),
    ("PodSpec", "hostAliases"): (("ip",), "ip", "merge"),
    ("PodSpec", "imagePullSecrets"): (("name",), "name", "merge"),
    ("PodSpec", "resourceClaims"): (("name",), "name", "merge,retainKeys"),
    ("PodSpec", "schedulingGates"): (("name",), "name", "merge"),
    ("PodSpec", "topologySpreadConstraints"): (
        ("topologyKey", "whenUnsatisfiable"),
        "topologyKey",
        "merge",
    ),
    ("PodSpec", "volumes"): (("name",), "name", "merge,retainKeys"),
    ("Container", "env"): (("name",), "name", "merge"),
    ("Container", "ports"): (("containerPort", "protocol"), "containerPort", "merge"),
    ("Container", "volumeDevices"): (("devicePath",), "devicePath", "merge"),
    ("Container", "volumeMounts"): (("mountPath",), "mountPath", "merge"),
    ("EphemeralContainer", "env"): (("name",), "name", "merge"),
    ("EphemeralContainer", "ports"): (("containerPort", "protocol"), "containerPort", "merge"),
    ("EphemeralContainer", "volumeDevices"): (("devicePath",), "devicePath", "merge"),
    ("EphemeralContainer", "volumeMounts"): (("mountPath",), "mountPath", "merge"),
    ("ResourceRequirements", "claims"): (("name",), "", ""),
    ("PodStatus", "conditions"): (("type",), "type", "merge"),
    ("PodStatus", "hostIPs"): ((), "ip", "merge"),
    ("PodStatus", "podIPs"): (("ip",), "ip", "merge"),
    ("PodStatus", "resourceClaimStatuses"): (("name",), "name", "merge,retainKeys"),
    ("ContainerStatus", "volumeMounts"): (("mountPath",), "mountPath", "merge"),
    ("ContainerStatus", "allocatedResourcesStatus"): (("name",), "name", "merge"),
    ("ResourceStatus", "resources"): (("resourceID",), "", ""),
    ("NamespaceStatus", "conditions"): (("type",), "type", "merge"),
    ("NodeStatus", "addresses"): (("type",), "type", "merge"),
    ("NodeStatus", "conditions"): (("type",), "type", "merge"),
    ("ServiceSpec", "ports"): (("port", "protocol"), "port", "merge"),
    ("ServiceStatus", "conditions"): (("type",), "type", "merge"),
    ("ServiceAccount", "secrets"): (("name",), "name", "merge"),
    ("PersistentVolumeClaimStatus", "conditions"): (("type",), "type", "merge"),
    ("PodDisruptionBudgetStatus", "conditions"): (("type",), "type", "merge"),
    ("DeploymentStatus", "conditions"): (("type",), "type", "merge"),
    ("ReplicaSetStatus", "conditions"): (("type",), "type", "merge"),
    ("StatefulSetStatus", "conditions"): (("type",), "type", "merge"),
    ("DaemonSetStatus", "conditions"): (("type",), "type", "merge"),
    ("JobStatus", "conditions"): ((), "type", "merge"),
    ("APIServiceStatus", "conditions"): (("type",), "type", "merge"),
    ("CustomResourceDefinitionStatus", "conditions"): (("type",), "", ""),
    ("MutatingWebhookConfiguration", "webhooks"): (("name",), "name", "merge"),
    ("ValidatingWebhookConfiguration", "webhooks"): (("name",), "name", "merge"),
    ("MutatingWebhook", "matchConditions"): (("name",), "name", "merge"),
    ("ValidatingWebhook", "matchConditions"): (("name",), "name", "merge"),
    ("ValidatingAdmissionPolicySpec", "matchConditions"): (("name",), "name", "merge"),
    ("MutatingAdmissionPolicySpec", "matchConditions"): (("name",), "name", "merge"),
    ("ValidatingAdmissionPolicySpec", "variables"): (("name",), "name", "merge"),
    ("ValidatingAdmissionPolicyStatus", "conditions"): (("type",), "", ""),
}

SETS: dict[Place, PatchStrategy] = {
    ("ObjectMeta", "finalizers"): "merge",
    ("NodeSpec", "podCIDRs"): "merge",
    ("ValidatingAdmissionPolicyBindingSpec", "validationActions"): "",
}

ATOMIC_FIELDS: frozenset[Place] = frozenset(
    {
        ("ServiceSpec", "selector"),
        ("PodSpec", "nodeSelector"),
        ("ManagedFieldsEntry", "fieldsV1"),
        ("ObjectMeta", "managedFields"),
        ("ResourceQuotaSpec", "scopeSelector"),
        ("RoleBinding", "roleRef"),
        ("ClusterRoleBinding", "roleRef"),
    }
)

ATOMIC_TYPES: frozenset[str] = frozenset(
    {
        "LabelSelector",
        "NodeSelector",
        "NodeSelectorTerm",
        "ObjectReference",
        "LocalObjectReference",
        "TypedLocalObjectReference",
        "SecretReference",
        "ConfigMapKeySelector",
        "SecretKeySelector",
        "FileKeySelector",
        "ObjectFieldSelector",
        "ResourceFieldSelector",
        "ScopedResourceSelectorRequirement",
        "ScopeSelector",
        "RoleRef",
        "Subject",
        "EndpointAddress",
        "EndpointPort",
        "TopologySelectorTerm",
    }
)

KEY_DEFAULTS: dict[Place, dict[str, str]] = {
    ("Container", "ports"): {"protocol": "TCP"},
    ("EphemeralContainer", "ports"): {"protocol": "TCP"},
    ("ServiceSpec", "ports"): {"protocol": "TCP"},
}

INT64_FIELDS: frozenset[Place] = frozenset(
    {
        ("ObjectMeta", "generation"),
        ("ObjectMeta", "deletionGracePeriodSeconds"),
        ("ListMeta", "remainingItemCount"),
        ("DeleteOptions", "gracePeriodSeconds"),
        ("Condition", "observedGeneration"),
        ("PodSpec", "activeDeadlineSeconds"),
        ("PodSpec", "terminationGracePeriodSeconds"),
        ("Probe", "terminationGracePeriodSeconds"),
        ("Toleration", "tolerationSeconds"),
        ("SecurityContext", "runAsUser"),
        ("SecurityContext", "runAsGroup"),
        ("PodSecurityContext", "runAsUser"),
        ("PodSecurityContext", "runAsGroup"),
        ("PodSecurityContext", "fsGroup"),
        ("PodSecurityContext", "supplementalGroups"),
        ("LinuxContainerUser", "uid"),
        ("LinuxContainerUser", "gid"),
        ("LinuxContainerUser", "supplementalGroups"),
        ("SleepAction", "seconds"),
        ("ServiceAccountTokenProjection", "expirationSeconds"),
        ("ContainerImage", "sizeBytes"),
        ("NodeSwapStatus", "capacity"),
        ("PodStatus", "observedGeneration"),
        ("PodCondition", "observedGeneration"),
        ("ControllerRevision", "revision"),
        ("PodDisruptionBudgetStatus", "observedGeneration"),
        ("DeploymentStatus", "observedGeneration"),
        ("ReplicaSetStatus", "observedGeneration"),
        ("StatefulSetStatus", "observedGeneration"),
        ("DaemonSetStatus", "observedGeneration"),
        ("JobSpec", "activeDeadlineSeconds"),
        ("CronJobSpec", "startingDeadlineSeconds"),
        ("CustomResourceDefinitionStatus", "observedGeneration"),
        ("CustomResourceDefinitionCondition", "observedGeneration"),
        ("JSONSchemaProps", "maxLength"),
        ("JSONSchemaProps", "minLength"),
        ("JSONSchemaProps", "maxItems"),
        ("JSONSchemaProps", "minItems"),
        ("JSONSchemaProps", "maxProperties"),
        ("JSONSchemaProps", "minProperties"),
        ("TokenRequestSpec", "expirationSeconds"),
    }
)

MICRO_TIME_FIELDS: frozenset[Place] = frozenset(
    {
        ("LeaseSpec", "acquireTime"),
        ("LeaseSpec", "renewTime"),
        ("Event", "eventTime"),
        ("EventSeries", "lastObservedTime"),
    }
)

QUANTITY_MAPS: frozenset[Place] = frozenset(
    {
        ("LimitRangeItem", "default"),
        ("LimitRangeItem", "defaultRequest"),
        ("LimitRangeItem", "max"),
        ("LimitRangeItem", "maxLimitRequestRatio"),
        ("LimitRangeItem", "min"),
        ("ResourceQuotaSpec", "hard"),
        ("ResourceQuotaStatus", "hard"),
        ("ResourceQuotaStatus", "used"),
        ("ContainerStatus", "allocatedResources"),
        ("PodStatus", "allocatedResources"),
        ("PersistentVolumeClaimStatus", "allocatedResources"),
    }
)

OPEN_SCHEMA_FIELDS: frozenset[Place] = frozenset(
    {
        ("JSONSchemaProps", "items"),
        ("JSONSchemaProps", "additionalProperties"),
        ("JSONSchemaProps", "additionalItems"),
    }
)
"""Fields that hold a schema, a boolean or a list of schemas: checked as schemas wherever they are objects."""

REQUIRED_FIELDS: dict[str, tuple[str, ...]] = {
    "OwnerReference": ("apiVersion", "kind", "name", "uid"),
    "PodSpec": ("containers",),
    "Container": ("name", "image"),
    "EphemeralContainer": ("name",),
    "EnvVar": ("name",),
    "ContainerPort": ("containerPort",),
    "VolumeMount": ("name", "mountPath"),
    "VolumeDevice": ("name", "devicePath"),
    "Volume": ("name",),
    "HostPathVolumeSource": ("path",),
    "PersistentVolumeClaimVolumeSource": ("claimName",),
    "NFSVolumeSource": ("server", "path"),
    "CSIVolumeSource": ("driver",),
    "KeyToPath": ("key", "path"),
    "DownwardAPIVolumeFile": ("path",),
    "ServiceAccountTokenProjection": ("path",),
    "ConfigMapKeySelector": ("key",),
    "SecretKeySelector": ("key",),
    "ObjectFieldSelector": ("fieldPath",),
    "ResourceFieldSelector": ("resource",),
    "HTTPGetAction": ("port",),
    "TCPSocketAction": ("port",),
    "GRPCAction": ("port",),
    "HTTPHeader": ("name", "value"),
    "PodReadinessGate": ("conditionType",),
    "PodSchedulingGate": ("name",),
    "TopologySpreadConstraint": ("maxSkew", "topologyKey", "whenUnsatisfiable"),
    "NodeSelector": ("nodeSelectorTerms",),
    "NodeSelectorRequirement": ("key", "operator"),
    "LabelSelectorRequirement": ("key", "operator"),
    "PreferredSchedulingTerm": ("weight", "preference"),
    "WeightedPodAffinityTerm": ("weight", "podAffinityTerm"),
    "PodAffinityTerm": ("topologyKey",),
    "Sysctl": ("name", "value"),
    "SeccompProfile": ("type",),
    "Taint": ("key", "effect"),
    "EndpointAddress": ("ip",),
    "Binding": ("target",),
    "LimitRangeItem": ("type",),
    "LimitRangeSpec": ("limits",),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "RoleRef": ("kind", "name"),
    "Subject": ("kind", "name"),
    "MutatingWebhook": ("clientConfig",),
    "ValidatingWebhook": ("clientConfig",),
    "StorageClass": ("provisioner",),
    "CustomResourceDefinition": ("spec",),
    "APIService": ("spec",),
    "PersistentVolume": ("spec",),
    "EndpointSlice": ("addressType",),
    "Endpoint": ("addresses",),
    "TokenRequestSpec": ("audiences",),
    "SubjectAccessReview": ("spec",),
    "SelfSubjectAccessReview": ("spec",),
    "LocalSubjectAccessReview": ("spec",),
    "SelfSubjectRulesReview": ("spec",),
    "TokenReview": ("spec",),
    "PriorityClass": ("value",),
    "CronJobSpec": ("schedule",),
}

DOCUMENTED_REQUIRED: dict[str, tuple[str, ...]] = {
    # required in the published schema, but reported by the kind's own validation with its own words
    "PolicyRule": ("verbs",),
    "ServicePort": ("port",),
    "Container": ("name",),
    "CustomResourceDefinitionSpec": ("group", "names", "scope", "versions"),
    "CustomResourceDefinitionNames": ("plural", "kind"),
    "CustomResourceDefinitionVersion": ("name", "served", "storage"),
    "APIServiceSpec": ("groupPriorityMinimum", "versionPriority"),
    "MutatingWebhook": ("name", "clientConfig", "sideEffects", "admissionReviewVersions"),
    "ValidatingWebhook": ("name", "clientConfig", "sideEffects", "admissionReviewVersions"),
    "Event": ("metadata", "involvedObject"),
    "MatchCondition": ("name", "expression"),
    "Validation": ("expression",),
    "Variable": ("name", "expression"),
    "AuditAnnotation": ("key", "valueExpression"),
    "ExpressionWarning": ("fieldRef", "warning"),
    "ControllerRevision": ("revision",),
}

FREELY_EMPTY: frozenset[Place] = frozenset({("HTTPHeader", "value"), ("Sysctl", "value")})
"""Required fields whose zero value ("", 0) counts as given."""

ENUMS: dict[Place, tuple[str, ...]] = {
    ("PodSpec", "restartPolicy"): ("Always", "Never", "OnFailure"),
    ("PodSpec", "dnsPolicy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    ("Container", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("EphemeralContainer", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("Container", "terminationMessagePolicy"): ("FallbackToLogsOnError", "File"),
    ("ContainerPort", "protocol"): ("SCTP", "TCP", "UDP"),
    ("VolumeMount", "mountPropagation"): ("Bidirectional", "HostToContainer", "None"),
    ("Toleration", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("Toleration", "operator"): ("Equal", "Exists", "Lt", "Gt"),
    ("Taint", "effect"): ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    ("HTTPGetAction", "scheme"): ("HTTP", "HTTPS"),
    ("HostPathVolumeSource", "type"): (
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ),
    ("ImageVolumeSource", "pullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("TopologySpreadConstraint", "whenUnsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
    ("NodeSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    ("LabelSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist"),
    ("ServiceSpec", "type"): ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    ("ServiceSpec", "sessionAffinity"): ("ClientIP", "None"),
    ("ServicePort", "protocol"): ("SCTP", "TCP", "UDP"),
    ("EndpointPort", "protocol"): ("SCTP", "TCP", "UDP"),
    ("PersistentVolumeClaimSpec", "accessModes"): (
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOncePod",
    ),
    ("PersistentVolumeClaimSpec", "volumeMode"): ("Block", "Filesystem"),
    ("PersistentVolumeSpec", "accessModes"): (
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOncePod",
    ),
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy"): ("Delete", "Recycle", "Retain"),
    ("PersistentVolumeSpec", "volumeMode"): ("Block", "Filesystem"),
    ("StorageClass", "volumeBindingMode"): ("Immediate", "WaitForFirstConsumer"),
    ("StorageClass", "reclaimPolicy"): ("Delete", "Retain"),
    ("DeploymentStrategy", "type"): ("Recreate", "RollingUpdate"),
    ("DaemonSetUpdateStrategy", "type"): ("OnDelete", "RollingUpdate"),
    ("StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted"): ("Retain", "Delete"),
    ("StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled"): ("Retain", "Delete"),
    ("JobSpec", "completionMode"): ("Indexed", "NonIndexed"),
    ("JobSpec", "podReplacementPolicy"): ("Failed", "TerminatingOrFailed"),
    ("CronJobSpec", "concurrencyPolicy"): ("Allow", "Forbid", "Replace"),
}

FIELD_TEXTS: dict[str, str] = {
    "apiVersion": "Group and version of the API this object is written in, such as v1 or apps/v1.",
    "kind": "Kind of the object: the type of API resource it describes.",
    "metadata": "Identity of the object: name, namespace, labels, annotations, owners.",
    "spec": "What is wanted.",
    "status": "What was last observed; written by the system.",
    "items": "The objects of this list.",
    "labels": "Key-value pairs by which objects are selected.",
    "annotations": "Key-value pairs that tools attach; never used for selection.",
    "conditions": "Observations of the object's state, one per type.",
    "containers": "Containers of the pod. At least one.",
    "initContainers": "Containers that run to completion, in order, before the others start.",
    "volumes": "Volumes the containers of the pod can mount.",
    "nodeName": "Node the pod is bound to.",
    "nodeSelector": "Labels a node must have to run the pod.",
}
"""One line per field name for `kubectl explain`, where a line says more than the name."""
