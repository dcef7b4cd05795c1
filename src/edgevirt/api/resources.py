"""Where the built-in Kubernetes kinds are served: one constant per resource."""

from __future__ import annotations

from edgevirt.api import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    authorization,
    batch,
    coordination,
    core,
    discovery,
    metrics,
    policy,
    rbac,
    scheduling,
    storage,
)
from edgevirt.api.meta import Resource

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", core.Namespace, namespaced=False)
PODS = Resource("", "v1", "pods", "Pod", core.Pod)
NODES = Resource("", "v1", "nodes", "Node", core.Node, namespaced=False)
SECRETS = Resource("", "v1", "secrets", "Secret", core.Secret)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", core.ConfigMap)
SERVICES = Resource("", "v1", "services", "Service", core.Service)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", core.Endpoints)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", core.ServiceAccount)
EVENTS = Resource("", "v1", "events", "Event", core.Event)
PERSISTENT_VOLUME_CLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", core.PersistentVolumeClaim
)
PERSISTENT_VOLUMES = Resource(
    "", "v1", "persistentvolumes", "PersistentVolume", core.PersistentVolume, namespaced=False
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", coordination.Lease)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", rbac.Role)
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", rbac.RoleBinding)
CLUSTER_ROLES = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", rbac.ClusterRole, namespaced=False
)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io",
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    rbac.ClusterRoleBinding,
    namespaced=False,
)
CONTROLLER_REVISIONS = Resource(
    "apps", "v1", "controllerrevisions", "ControllerRevision", apps.ControllerRevision
)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    apiextensions.CustomResourceDefinition,
    namespaced=False,
)
MUTATING_WEBHOOK_CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    admissionregistration.MutatingWebhookConfiguration,
    namespaced=False,
)
VALIDATING_WEBHOOK_CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    admissionregistration.ValidatingWebhookConfiguration,
    namespaced=False,
)
MUTATING_ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicies",
    "MutatingAdmissionPolicy",
    admissionregistration.MutatingAdmissionPolicy,
    namespaced=False,
)
MUTATING_ADMISSION_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
    admissionregistration.MutatingAdmissionPolicyBinding,
    namespaced=False,
)
VALIDATING_ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    admissionregistration.ValidatingAdmissionPolicy,
    namespaced=False,
)
VALIDATING_ADMISSION_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    admissionregistration.ValidatingAdmissionPolicyBinding,
    namespaced=False,
)
API_SERVICES = Resource(
    "apiregistration.k8s.io", "v1", "apiservices", "APIService", apiregistration.APIService, namespaced=False
)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", scheduling.PriorityClass, namespaced=False
)
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", storage.StorageClass, namespaced=False
)
NODE_METRICS = Resource(
    "metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", metrics.NodeMetrics, namespaced=False
)
POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", metrics.PodMetrics)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    authorization.SubjectAccessReview,
    namespaced=False,
)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", core.ResourceQuota)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", core.LimitRange)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", apps.Deployment)
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", apps.ReplicaSet)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", apps.StatefulSet)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", apps.DaemonSet)
JOBS = Resource("batch", "v1", "jobs", "Job", batch.Job)
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", batch.CronJob)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", policy.PodDisruptionBudget
)
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", discovery.EndpointSlice
)
