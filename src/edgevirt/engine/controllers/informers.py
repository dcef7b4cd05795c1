"""One informer per kind for all controllers of this process, started when somebody first asks for it.

A kind nobody asks for costs nothing; a kind several controllers need is listed and watched once.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, cast

from edgevirt.api.meta import Resource
from edgevirt.kube.client import Client
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import namespace_of

T = TypeVar("T")

BY_NAMESPACE = "namespace"
"""An index every shared informer has."""


class SharedInformers:
    """`run` keeps every informer current that was or will be asked for."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[str, Informer[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(self, resource: Resource[T]) -> Informer[T]:
        """The informer of a kind. Objects already known are told to handlers as they are added."""
        found = self._informers.get(resource.group_resource)
        if found is None:
            found = self._informers[resource.group_resource] = Informer(self.client, resource)
            found.add_index(BY_NAMESPACE, lambda one: (namespace_of(one),))
            self._start(found)
        return cast("Informer[T]", found)

    def _start(self, informer: Informer[Any]) -> None:
        if self._group is not None:
            name = f"informer-{informer.resource.group_resource}"
            self._group.create_task(informer.run(), name=name)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self._informers.values():
                self._start(informer)
            await asyncio.Event().wait()
