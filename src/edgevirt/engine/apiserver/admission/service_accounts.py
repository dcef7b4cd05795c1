"""ServiceAccount: every pod runs as a service account that exists, and finds its token in a file.

A pod without a name gets "default". Unless the pod or its account opts out, a projected volume
`kube-api-access-<random>` with token, root CA and namespace is mounted into each container that has
nothing at that path yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
MIRROR = "kubernetes.io/config.mirror"
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix() -> str:
    """Five letters from Kubernetes' alphabet for generated names."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


class ServiceAccounts:
    def __init__(self, reader: ObjectReader, suffix: Callable[[], str] = random_suffix) -> None:
        self._reader = reader
        self._suffix = suffix

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return not group and plural == "pods" and not subresource and operation == "CREATE"

    def admit(self, attributes: AdmissionAttributes) -> None:
        """Raises StatusError 403 if the account does not exist, or for a mirror pod that names one."""
        pod = attributes.object
        if pod is None:
            return
        spec = pod.setdefault("spec", {})
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or ""
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            if name:
                raise errors.forbidden(
                    "pods", attributes.name, "a mirror pod may not reference service accounts"
                )
            return
        name = name or "default"
        account = self._reader.get("", "serviceaccounts", attributes.namespace, name)
        if account is None:
            raise errors.forbidden(
                "pods",
                attributes.name,
                f"error looking up service account {attributes.namespace}/{name}: "
                f'serviceaccount "{name}" not found',
            )
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if wants_token(spec, account):
            mount_token(spec, self._suffix)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


def wants_token(spec: Mapping[str, Any], account: Mapping[str, Any]) -> bool:
    """Whether a pod gets a token: its own word counts first, then its account's, then yes."""
    for owner in (spec, account):
        wish = owner.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def mount_token(spec: dict[str, Any], suffix: Callable[[], str]) -> None:
    """Adds the volume and its mounts to `spec`; nothing if every container has a mount there already."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    lacking = [
        container
        for container in containers
        if all(mount.get("mountPath") != MOUNT_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not lacking:
        return
    volumes = spec.setdefault("volumes", [])
    name = next((volume["name"] for volume in volumes if volume["name"].startswith(VOLUME_PREFIX)), "")
    if not name:
        name = VOLUME_PREFIX + suffix()
        volumes.append(token_volume(name))
    for container in lacking:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        container.setdefault("volumeMounts", []).append(mount)


def token_volume(name: str) -> dict[str, Any]:
    """The projected volume with everything a pod needs to talk to the API server."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 0o644,
        },
    }
