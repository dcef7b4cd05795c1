"""Each controller writes as the service account Kubernetes gives it: kube-system/deployment-controller etc.

Reading is done once for all of them, as system:kube-controller-manager; who may change what is decided by
the controller's own role (system:controller:*), as on any cluster. The process impersonates the account,
which a role in kube-system allows it for these accounts alone. Clients are made when first needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edgevirt.kube import kubeconfig
from edgevirt.kube.client import Client

USER_AGENT = "kube-controller-manager"
NAMESPACE = "kube-system"


class Identities(Protocol):
    async def client(self, controller: str) -> Client:
        """A client that acts as the service account of that controller; the same one every time."""


class Impersonated:
    """`Identities` from one kubeconfig. Use as an async context manager: it closes the clients."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clients: dict[str, Client] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Impersonated:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def client(self, controller: str) -> Client:
        found = self._clients.get(controller)
        if found is None:
            found = Client(self._loader(controller), user_agent=USER_AGENT, config_path=self._path)
            self._clients[controller] = found
            await self._stack.enter_async_context(found)
        return found

    def _loader(self, controller: str) -> Callable[[], kubeconfig.KubeConfig]:
        user = f"system:serviceaccount:{NAMESPACE}:{controller}"
        return lambda: dataclasses.replace(kubeconfig.load(self._path), impersonate_user=user)
