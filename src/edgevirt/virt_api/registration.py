"""What an API server must be told to call virt-api: webhook configurations and APIServices. Pure.

On a real cluster virt-api stands behind a Service; on one box there is no Service network, so webhooks are
given a URL and the Service of the aggregated API gets its endpoint by hand.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from edgevirt.virt_api import admission

NAMESPACE: Final = "kubevirt"
SERVICE_NAME: Final = "virt-api"
GROUP: Final = "subresources.kubevirt.io"
VERSIONS: Final = ("v1", "v1alpha3")
TIMEOUT_SECONDS: Final = 10


def webhook_configurations(
    ca_bundle: bytes, url: str = "", *, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """A MutatingWebhookConfiguration and a ValidatingWebhookConfiguration.

    `ca_bundle` (PEM) signed virt-api's certificate. `url` is where it serves, such as
    https://127.0.0.1:6444; without one the API server goes through the Service in `namespace`.
    """
    authority = base64.b64encode(ca_bundle).decode()

    def webhook(name: str, path: str, operations: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
        where: dict[str, Any] = (
            {"url": url.rstrip("/") + path}
            if url
            else {"service": {"namespace": namespace, "name": SERVICE_NAME, "path": path, "port": 443}}
        )
        return {
            "name": f"{name}.kubevirt.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {**where, "caBundle": authority},
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "rules": [
                {
                    "apiGroups": ["kubevirt.io"],
                    "apiVersions": list(VERSIONS),
                    "operations": list(operations),
                    "resources": list(resources),
                    "scope": "*",
                }
            ],
        }

    both = ("CREATE", "UPDATE")
    machines, instances = ("virtualmachines",), ("virtualmachineinstances",)
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "virt-api-mutator", "labels": {"kubevirt.io": ""}},
            "webhooks": [
                webhook("virtualmachines-mutator", admission.MACHINES_MUTATE, both, machines),
                webhook("virtualmachineinstances-mutator", admission.INSTANCES_MUTATE, both, instances),
            ],
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "virt-api-validator", "labels": {"kubevirt.io": ""}},
            "webhooks": [
                webhook("virtualmachine-validator", admission.MACHINES_VALIDATE, both, machines),
                webhook(
                    "virtualmachineinstances-create-validator",
                    admission.INSTANCES_VALIDATE_CREATE,
                    ("CREATE",),
                    instances,
                ),
                webhook(
                    "virtualmachineinstances-update-validator",
                    admission.INSTANCES_VALIDATE_UPDATE,
                    ("UPDATE",),
                    instances,
                ),
                webhook(
                    "kubevirt-create-validator",
                    admission.KUBEVIRT_VALIDATE_CREATE,
                    ("CREATE",),
                    ("kubevirts",),
                ),
                webhook(
                    "kubevirt-update-validator",
                    admission.KUBEVIRT_VALIDATE_UPDATE,
                    ("UPDATE",),
                    ("kubevirts",),
                ),
            ],
        },
    ]


def api_services(
    ca_bundle: bytes, host: str = "", port: int = 443, *, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """The APIServices of the aggregated API and, with a `host` (IP address), Service and Endpoints for it.

    The API server verifies virt-api as `virt-api.<namespace>.svc` against `ca_bundle` (PEM).
    """
    metadata = {"name": SERVICE_NAME, "namespace": namespace, "labels": {"kubevirt.io": ""}}
    manifests: list[dict[str, Any]] = []
    if host:
        manifests += [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port, "protocol": "TCP"}]},
            },
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": metadata,
                "subsets": [
                    {
                        "addresses": [{"ip": host}],
                        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
                    }
                ],
            },
        ]
    for priority, version in zip((20, 10), VERSIONS, strict=True):
        manifests.append(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{GROUP}", "labels": {"kubevirt.io": ""}},
                "spec": {
                    "group": GROUP,
                    "version": version,
                    "groupPriorityMinimum": 1000,
                    "versionPriority": priority,
                    "caBundle": base64.b64encode(ca_bundle).decode(),
                    "service": {"namespace": namespace, "name": SERVICE_NAME, "port": 443},
                },
            }
        )
    return manifests
