"""The objects that exist from the start: definitions, roles, configuration, webhooks, aggregated APIs.

Everything is applied server-side by one field manager at every start, so an upgrade changes what it must and
what the user has changed elsewhere in these objects stays. Webhooks are registered only once virt-api
listens: a webhook that nobody answers would refuse every machine.
"""

from __future__ import annotations

import asyncio
from typing import Any

from edgevirt.api.crd import crds
from edgevirt.api.kubevirt import KUBEVIRTS
from edgevirt.api.meta import Resource
from edgevirt.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from edgevirt.install.rbac import NAMESPACE, objects
from edgevirt.kube import errors
from edgevirt.kube.client import Client, PatchType
from edgevirt.virt_api import registration

FIELD_MANAGER = "edgevirt"

_PLURALS = {
    "Namespace": ("namespaces", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "MutatingWebhookConfiguration": ("mutatingwebhookconfigurations", False),
    "ValidatingWebhookConfiguration": ("validatingwebhookconfigurations", False),
    "APIService": ("apiservices", False),
    "Service": ("services", True),
    "Endpoints": ("endpoints", True),
}
_ESTABLISHED_DEADLINE = 30.0


async def definitions(client: Client) -> None:
    """Namespace, roles and CRDs, which are waited for until they are served."""
    await apply(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for manifest in objects():
        await apply(client, manifest)
    manifests = crds()
    for manifest in manifests:
        await apply(client, manifest)
    names = {manifest["metadata"]["name"] for manifest in manifests}
    async with asyncio.timeout(_ESTABLISHED_DEADLINE):
        await _wait_established(client, names)


async def webhooks(client: Client, ca_bundle: bytes, host: str, port: int) -> None:
    """virt-api's admission webhooks and aggregated API, reachable at `host`:`port`."""
    for manifest in registration.api_services(ca_bundle, host, port):
        await apply(client, manifest)
    for manifest in registration.webhook_configurations(ca_bundle, f"https://{host}:{port}"):
        await apply(client, manifest)


async def configuration(client: Client) -> None:
    """The KubeVirt object, made once; then it is the administrator's. virt-api must be serving."""
    try:
        await client.get(KUBEVIRTS, "kubevirt", namespace=NAMESPACE)
    except errors.NotFound:
        empty = {"metadata": {"name": "kubevirt"}, "spec": {}}
        await client.create(KUBEVIRTS, empty, namespace=NAMESPACE)


async def apply(client: Client, manifest: dict[str, Any]) -> None:
    """Server-side apply of one manifest, taking over fields that others have set."""
    plural, namespaced = _PLURALS[manifest["kind"]]
    group, _, version = manifest["apiVersion"].rpartition("/")
    resource = Resource(group, version, plural, manifest["kind"], dict, namespaced=namespaced)
    metadata = manifest["metadata"]
    await client.patch(
        resource,
        metadata["name"],
        manifest,
        namespace=metadata.get("namespace", ""),
        type=PatchType.APPLY,
        field_manager=FIELD_MANAGER,
        force=True,
    )


async def _wait_established(client: Client, names: set[str]) -> None:
    """Return when all of these definitions are served; a watch, resumed until it has told so."""
    while names:
        async for event in client.watch(CUSTOM_RESOURCE_DEFINITIONS):
            definition = event.object
            if definition is None or definition.status is None:
                continue
            if any(c.type == "Established" and c.status == "True" for c in definition.status.conditions):
                names.discard(definition.metadata.name)
            if not names:
                return
