"""ResourceQuota: the last word of admission. An object is charged to its namespace's quotas, then stored.

The charge is committed before the object is, so usage may be counted too high (the object may still fail to
be stored; the quota controller puts that right) but never too low. Charges of one namespace follow one
another: however many clients create at once, a quota is never exceeded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgevirt.engine.apiserver import errors
from edgevirt.engine.apiserver.extension import ObjectReader
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.quota.charge import Refused, Write, charged, charges
from edgevirt.engine.quota.usage import charged_operations

Json = dict[str, Any]
StatusWriter = Callable[[str, str, Callable[[Json], Json]], Awaitable[object]]
"""Writes the status of the quota (namespace, name) as the function makes it from what is stored."""


class ResourceQuotas:
    """All quotas by namespace, following the store."""

    def __init__(self, reader: ObjectReader, write_status: StatusWriter) -> None:
        self._quotas: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._write_status = write_status
        reader.observe("", "resourcequotas", self._take)

    def _take(self, event: str, document: Mapping[str, Any]) -> None:
        metadata = document["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        stored = self._quotas.setdefault(namespace, {})
        stored.pop(name, None)
        if event != "DELETED":
            stored[name] = document
        if not stored:
            del self._quotas[namespace]
            self._locks.pop(namespace, None)

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return bool(self._quotas) and not subresource and operation in charged_operations(group, plural)

    async def charge(self, attributes: AdmissionAttributes) -> None:
        """Charges one write. Raises StatusError 403 if a quota does not allow it."""
        resource, namespace = attributes.resource, attributes.namespace
        if attributes.object is None or namespace not in self._quotas or resource.review:
            return
        if not self.concerns(resource.group, resource.plural, attributes.subresource, attributes.operation):
            return
        write = Write(
            resource.group,
            resource.plural,
            attributes.operation,
            attributes.object,
            attributes.old_object,
        )
        try:
            async with self._locks.setdefault(namespace, asyncio.Lock()):
                await self._charge(namespace, write, attributes.dry_run)
        except Refused as error:
            raise errors.forbidden(resource.group_resource, attributes.name, str(error)) from error

    async def _charge(self, namespace: str, write: Write, dry_run: bool) -> None:
        quotas = [quota for _, quota in sorted(self._quotas.get(namespace, {}).items())]
        planned = charges(quotas, write)
        if dry_run:
            return
        for name, wanted in planned.items():
            try:
                await self._write_status(namespace, name, lambda stored, w=wanted: charged(stored, w))  # type: ignore[misc]
            except errors.StatusError as error:
                if error.code != 404:  # a quota that is gone restricts nothing
                    raise
