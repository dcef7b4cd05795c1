"""The revisions of a StatefulSet or DaemonSet: what its template was, as ControllerRevision objects.

The data of a revision is a strategic merge patch that puts its template back, which is what `kubectl rollout
undo` sends. Two revisions are equal if their data is. A rollback makes the old revision the newest again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from edgevirt.api.apps import ControllerRevision
from edgevirt.api.core import PodTemplateSpec
from edgevirt.api.meta import KubeObject, ObjectMeta, Resource
from edgevirt.api.resources import CONTROLLER_REVISIONS
from edgevirt.engine.controllers.surroundings import Desk
from edgevirt.engine.controllers.workloads import claiming
from edgevirt.engine.controllers.workloads.template import template_hash
from edgevirt.kube import errors
from edgevirt.kube.informer import Informer
from edgevirt.kube.ownership import is_controlled_by, owner_reference

HASH_LABEL = "controller.kubernetes.io/hash"


def data_of(template: PodTemplateSpec | None) -> dict[str, Any]:
    """The patch that restores `template`."""
    plain: dict[str, Any] = msgspec.to_builtins(template) if template is not None else {}
    return {"spec": {"template": {**plain, "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """The template a revision restores."""
    found = ((revision.data or {}).get("spec") or {}).get("template") or {}
    return msgspec.convert({k: v for k, v in found.items() if k != "$patch"}, PodTemplateSpec)


@dataclasses.dataclass(frozen=True, slots=True)
class Needed:
    """`found` is the revision of the present template, None if it has to be made; `number` is its number."""

    found: ControllerRevision | None
    number: int


def plan(template: PodTemplateSpec | None, revisions: Iterable[ControllerRevision]) -> Needed:
    wanted = template or PodTemplateSpec()
    ordered = sorted(revisions, key=lambda one: one.revision or 0)
    latest = (ordered[-1].revision or 0) if ordered else 0
    equal = [one for one in ordered if template_of(one) == wanted]
    if not equal:
        return Needed(None, latest + 1)
    newest = equal[-1]
    return Needed(newest, latest if newest is ordered[-1] else latest + 1)


class Revisions:
    """Keeps the revisions of one controller's objects."""

    def __init__(self, desk: Desk, resource: Resource[Any], labels_hash: str = HASH_LABEL) -> None:
        self._desk = desk
        self._resource = resource
        self._hash = labels_hash
        self._informer: Informer[ControllerRevision] = desk.informer(CONTROLLER_REVISIONS)
        desk.follow_dependents(self._informer, resource.kind)

    async def of(self, owner: KubeObject, selector: Any) -> tuple[ControllerRevision, ...]:
        """The owner's revisions, oldest first; orphans that match are adopted."""
        candidates = self._desk.here(self._informer, owner.metadata.namespace)
        claims = claiming.plan(owner, selector, candidates)
        owned = await claiming.carry_out(
            self._desk.client, owner, self._resource, CONTROLLER_REVISIONS, self._informer, claims
        )
        return tuple(sorted(owned, key=lambda one: one.revision or 0))

    async def current(
        self,
        owner: KubeObject,
        template: PodTemplateSpec | None,
        revisions: Sequence[ControllerRevision],
        collisions: int | None,
    ) -> ControllerRevision | None:
        """The revision of `template`, made or renumbered if necessary; None if its name is taken."""
        needed = plan(template, revisions)
        if needed.found is None:
            return await self._make(owner, template, needed.number, collisions)
        if needed.found.revision == needed.number:
            return needed.found
        return await self._desk.patch(
            CONTROLLER_REVISIONS, self._informer, needed.found, {"revision": needed.number}
        )

    async def _make(
        self, owner: KubeObject, template: PodTemplateSpec | None, number: int, collisions: int | None
    ) -> ControllerRevision | None:
        short = template_hash(template, collisions)
        labels = dict(template.metadata.labels) if template and template.metadata else {}
        revision = ControllerRevision(
            metadata=ObjectMeta(
                name=f"{owner.metadata.name}-{short}",
                namespace=owner.metadata.namespace,
                labels={**labels, self._hash: short},
                annotations=owner.metadata.annotations,
                owner_references=(owner_reference(owner, self._resource),),
            ),
            data=data_of(template),
            revision=number,
        )
        try:
            return await self._desk.create(CONTROLLER_REVISIONS, self._informer, revision)
        except errors.AlreadyExists:
            found = await self._desk.client.get(
                CONTROLLER_REVISIONS, revision.metadata.name, namespace=owner.metadata.namespace
            )
            if is_controlled_by(found, owner) and template_of(found) == (template or PodTemplateSpec()):
                return found
            return None

    async def trim(self, revisions: Sequence[ControllerRevision], used: frozenset[str], limit: int) -> None:
        """Delete the oldest revisions no pod uses, beyond `limit`."""
        unused = [one for one in revisions if one.metadata.name not in used]
        for one in unused[: max(0, len(unused) - limit)]:
            await self._desk.delete(CONTROLLER_REVISIONS, one)
