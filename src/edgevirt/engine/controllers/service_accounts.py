"""What every namespace gets: the `default` service account and the cluster's CA for its pods.

Both are made when a namespace appears and made again when somebody deletes them; the config map
`kube-root-ca.crt` is also put right when its content differs from the CA.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgevirt.api.core import ConfigMap, Namespace, ServiceAccount
from edgevirt.api.meta import KubeObject, ObjectMeta
from edgevirt.api.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.controller import Controller
from edgevirt.kube.informer import Informer

ACCOUNT = "default"
CA_MAP = "kube-root-ca.crt"
CA_KEY = "ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints."
)


class ServiceAccountController:
    """Raises OSError if `ca_file` cannot be read."""

    def __init__(self, client: Client, ca_file: Path) -> None:
        self._client = client
        self._ca = ca_file.read_text()
        self._namespaces = Informer(client, NAMESPACES)
        self._accounts = Informer(client, SERVICE_ACCOUNTS, field_selector=f"metadata.name={ACCOUNT}")
        self._maps = Informer(client, CONFIG_MAPS, field_selector=f"metadata.name={CA_MAP}")
        self._controller = Controller("service-accounts", self._reconcile, workers=2, clock=client.clock)
        self._namespaces.add_handler(self._namespace_changed)
        self._accounts.add_handler(self._content_changed)
        self._maps.add_handler(self._content_changed)

    async def run(self, started: asyncio.Event) -> None:
        informers = (self._namespaces, self._accounts, self._maps)
        async with asyncio.TaskGroup() as group:
            for informer in informers:
                group.create_task(informer.run())
            for informer in informers:
                await informer.synced()
            group.create_task(self._controller.run(), name="service-accounts")
            started.set()

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None and not new.metadata.deletion_timestamp:
            self._controller.enqueue(new.metadata.name)

    def _content_changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        one = new or old
        if one is not None:
            self._controller.enqueue(one.metadata.namespace)

    async def _reconcile(self, name: str) -> None:
        namespace = self._namespaces.get(name)
        if namespace is None or namespace.metadata.deletion_timestamp:
            return
        try:
            if self._accounts.get(ACCOUNT, name) is None:
                account = ServiceAccount(metadata=ObjectMeta(name=ACCOUNT, namespace=name))
                await self._client.create(SERVICE_ACCOUNTS, account)
            await self._publish_ca(name)
        except errors.AlreadyExists:
            return  # the watch is about to tell
        except (errors.NotFound, errors.Forbidden):
            current = self._namespaces.get(name)
            if current is not None and not current.metadata.deletion_timestamp:
                raise  # not because the namespace is going away

    async def _publish_ca(self, namespace: str) -> None:
        known = self._maps.get(CA_MAP, namespace)
        if known is None:
            meta = ObjectMeta(
                name=CA_MAP, namespace=namespace, annotations={"kubernetes.io/description": DESCRIPTION}
            )
            await self._client.create(CONFIG_MAPS, ConfigMap(metadata=meta, data={CA_KEY: self._ca}))
        elif known.data != {CA_KEY: self._ca}:
            replace_all = {key: None for key in known.data if key != CA_KEY}
            change = {"data": {**replace_all, CA_KEY: self._ca}}
            await self._client.patch(CONFIG_MAPS, CA_MAP, change, namespace=namespace)
