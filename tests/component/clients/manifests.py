"""An object of every kind that users write, none of which makes anything run."""

from __future__ import annotations

from typing import Any

from busybox_pod import IMAGE, pod
from client_process import Object

NOWHERE = {"nowhere": "yes"}
"""A node selector that no node fits: what has it stays as it was written."""
CLUSTER_KINDS = frozenset(
    {
        "PersistentVolume",
        "ClusterRole",
        "ClusterRoleBinding",
        "PriorityClass",
        "StorageClass",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    }
)
OF_THE_SERVER = frozenset(
    {
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "namespaces",
        "nodes",
        "events",
        "events.events.k8s.io",
        "kubevirts.kubevirt.io",
    }
)
"""Kinds of which there are objects already; the server or its components make them."""

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io/v1"


def every_kind(name: str) -> list[Object]:
    """One of each. Those of the cluster are called `name`."""
    return [*_core(name), *_workloads(name), *_access(name), *_extensions(name), *_machines(name)]


def _made(name: str, api_version: str, kind: str, **rest: Any) -> Object:
    # A service has endpoints of its own name already.
    called = name if kind in CLUSTER_KINDS else "y" if kind == "Endpoints" else "x"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": called}, **rest}


def _core(name: str) -> list[Object]:
    modes = {"accessModes": ["ReadWriteOnce"]}
    claim = {**modes, "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"}
    volume = {**modes, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/none"}}
    subset = {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}
    return [
        _made(name, "v1", "ConfigMap", data={"a": "b"}),
        _made(name, "v1", "Secret", stringData={"a": "b"}),
        _made(name, "v1", "ServiceAccount"),
        _made(name, "v1", "Service", spec={"selector": {"app": name}, "ports": [{"port": 80}]}),
        _made(name, "v1", "Endpoints", subsets=[subset]),
        _made(name, "v1", "ResourceQuota", spec={"hard": {"configmaps": "9", "requests.cpu": "8"}}),
        _made(name, "v1", "LimitRange", spec={"limits": [{"type": "Container", "max": {"cpu": "4"}}]}),
        _made(name, "v1", "PersistentVolumeClaim", spec=claim),
        _made(name, "v1", "PersistentVolume", spec=volume),
        _made(name, "coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "me"}),
        _made(name, "discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=[]),
        _made(name, "storage.k8s.io/v1", "StorageClass", provisioner="example.com/none"),
    ]


def _workloads(name: str) -> list[Object]:
    labels = {"app": name}
    selector = {"matchLabels": labels}
    limits = {"limits": {"cpu": "1"}}
    container = {"name": "c", "image": IMAGE, "resources": limits}
    spec = {"nodeSelector": NOWHERE, "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    job = {"spec": {"template": {"spec": {**spec, "restartPolicy": "Never"}}}}
    lasting = {"selector": selector, "template": template}
    alone = pod("x", "true", nodeSelector=NOWHERE)
    alone["spec"]["containers"][0]["resources"] = limits  # its namespace has a quota
    return [
        alone,
        _made(name, "apps/v1", "Deployment", spec=lasting),
        _made(name, "apps/v1", "ReplicaSet", spec={"replicas": 0, **lasting}),
        _made(name, "apps/v1", "StatefulSet", spec={"serviceName": "x", **lasting}),
        _made(name, "apps/v1", "DaemonSet", spec=lasting),
        _made(name, "apps/v1", "ControllerRevision", revision=1, data={}),
        _made(name, "batch/v1", "Job", **job),
        _made(name, "batch/v1", "CronJob", spec={"schedule": "0 0 1 1 *", "jobTemplate": job}),
        _made(name, "policy/v1", "PodDisruptionBudget", spec={"minAvailable": 1, "selector": selector}),
        _made(name, "scheduling.k8s.io/v1", "PriorityClass", value=1),
    ]


def _access(name: str) -> list[Object]:
    subjects = [{"kind": "Group", "name": "nobody", "apiGroup": _RBAC}]
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    bound = {"roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"}, "subjects": subjects}
    return [
        _made(name, f"{_RBAC}/v1", "Role", rules=rules),
        _made(name, f"{_RBAC}/v1", "RoleBinding", **bound),
        _made(name, f"{_RBAC}/v1", "ClusterRole", rules=rules),
        _made(name, f"{_RBAC}/v1", "ClusterRoleBinding", **bound),
    ]


def _extensions(name: str) -> list[Object]:
    nothing = {"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["*"]}
    hook = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        "rules": [{**nothing, "operations": ["*"]}],
    }
    policy = {"matchConstraints": {"resourceRules": hook["rules"]}, "validations": [{"expression": "true"}]}
    mutation = {
        "matchConstraints": policy["matchConstraints"],
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}],
    }
    binding = {"policyName": name, "validationActions": ["Warn"]}
    return [
        _made(name, _ADMISSION, "MutatingWebhookConfiguration", webhooks=[hook]),
        _made(name, _ADMISSION, "ValidatingWebhookConfiguration", webhooks=[hook]),
        _made(name, _ADMISSION, "ValidatingAdmissionPolicy", spec=policy),
        _made(name, _ADMISSION, "ValidatingAdmissionPolicyBinding", spec=binding),
        _made(name, _ADMISSION, "MutatingAdmissionPolicy", spec=mutation),
        _made(name, _ADMISSION, "MutatingAdmissionPolicyBinding", spec={"policyName": name}),
    ]


def _machines(name: str) -> list[Object]:
    instance = {
        "spec": {"nodeSelector": NOWHERE, "domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
    }
    return [
        _made(name, "kubevirt.io/v1", "VirtualMachine", spec={"runStrategy": "Halted", "template": instance}),
        _made(name, "kubevirt.io/v1", "VirtualMachineInstance", **instance),
    ]
