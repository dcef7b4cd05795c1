"""Who owns whom, and what has to happen to an object because of it. Pure: no input/output.

The rules are Kubernetes'. An object whose owners are all gone is deleted; one that has at least one living
owner only loses the references to dead ones. An owner deleted in the foreground (finalizer
`foregroundDeletion`) stays until those of its dependents are gone that block it; one deleted with `orphan`
stays until no dependent refers to it any more. "Gone" is never concluded from this graph alone: an owner it
does not know is looked up by the caller, and only what is proven absent counts.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Set

from edgevirt.api.meta import KubeObject, OwnerReference, Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """An object, as much of it as matters here."""

    resource: Resource[KubeObject]
    namespace: str
    name: str
    uid: str
    version: str
    owners: tuple[OwnerReference, ...]
    finalizers: tuple[str, ...]
    deleting: bool

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether foreground deletion of that owner has to wait for us."""
        return any(owner.uid == owner_uid and owner.block_owner_deletion for owner in self.owners)


class Propagation(enum.Enum):
    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclasses.dataclass(frozen=True, slots=True)
class Delete:
    item: Item
    propagation: Propagation


@dataclasses.dataclass(frozen=True, slots=True)
class SetOwners:
    """Replace the owner references by these."""

    item: Item
    owners: tuple[OwnerReference, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    item: Item
    finalizer: str


Action = Delete | SetOwners | RemoveFinalizer


class Graph:
    """All objects by uid, and the dependents of every uid that is referred to, known or not."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, set[str]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._items

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def items(self) -> Iterable[Item]:
        return tuple(self._items.values())

    def dependents(self, uid: str) -> tuple[Item, ...]:
        return tuple(self._items[one] for one in sorted(self._dependents.get(uid, ())))

    def put(self, item: Item) -> tuple[str, ...]:
        """Take over the present state of an object; returns the uids to be looked at because of it."""
        old = self._items.get(item.uid)
        self._unlink(old)
        self._items[item.uid] = item
        for owner in item.owners:
            self._dependents.setdefault(owner.uid, set()).add(item.uid)
        affected: list[str] = []
        if item.owners or item.waits_for_dependents or item.orphans_dependents:
            affected.append(item.uid)
        if item.waits_for_dependents and not (old is not None and old.waits_for_dependents):
            affected += self._dependents.get(item.uid, ())
        affected += self._waiting_owners(item)
        if old is not None:
            affected += self._waiting_owners(old)
        return tuple(dict.fromkeys(affected))

    def remove(self, uid: str) -> tuple[str, ...]:
        """The object is gone; returns the uids to be looked at because of it."""
        old = self._items.pop(uid, None)
        if old is None:
            return ()
        self._unlink(old)
        return tuple(dict.fromkeys((*sorted(self._dependents.get(uid, ())), *self._waiting_owners(old))))

    def _unlink(self, item: Item | None) -> None:
        for owner in item.owners if item else ():
            dependents = self._dependents.get(owner.uid)
            if dependents is not None and item is not None:
                dependents.discard(item.uid)
                if not dependents:
                    del self._dependents[owner.uid]

    def _waiting_owners(self, item: Item) -> list[str]:
        found = (self._items.get(owner.uid) for owner in item.owners)
        return [one.uid for one in found if one and (one.waits_for_dependents or one.orphans_dependents)]


def plan(graph: Graph, item: Item, absent: Set[str]) -> tuple[Action, ...]:
    """What to do about `item`. `absent`: uids of owners that are proven not to exist.

    An owner that is neither in the graph nor proven absent counts as living.
    """
    if item.orphans_dependents:
        freed = tuple(
            SetOwners(one, tuple(owner for owner in one.owners if owner.uid != item.uid))
            for one in graph.dependents(item.uid)
        )
        return (*freed, RemoveFinalizer(item, ORPHAN))
    if item.waits_for_dependents:
        if any(one.blocks(item.uid) for one in graph.dependents(item.uid)):
            return ()
        return (RemoveFinalizer(item, FOREGROUND),)
    if item.deleting or not item.owners:
        return ()
    return _plan_dependent(graph, item, absent)


def _plan_dependent(graph: Graph, item: Item, absent: Set[str]) -> tuple[Action, ...]:
    living, waiting, gone = [], [], []
    for owner in item.owners:
        known = graph.get(owner.uid)
        if known is not None and known.waits_for_dependents:
            waiting.append(owner)
        elif owner.uid in absent if known is None else _misplaced(known, item):
            gone.append(owner)
        else:
            living.append(owner)
    if living:
        return (SetOwners(item, tuple(living)),) if waiting or gone else ()
    dependents = graph.dependents(item.uid)
    if waiting and dependents:
        # Two objects that own each other and are both deleted in the foreground would wait for ever: those
        # that wait for us stop blocking, then we go.
        unblocked = tuple(_unblocked(item, one) for one in dependents if one.waits_for_dependents)
        return (*unblocked, Delete(item, Propagation.FOREGROUND))
    if ORPHAN in item.finalizers:
        return (Delete(item, Propagation.ORPHAN),)
    if FOREGROUND in item.finalizers:
        return (Delete(item, Propagation.FOREGROUND),)
    return (Delete(item, Propagation.BACKGROUND),)


def _misplaced(owner: Item, dependent: Item) -> bool:
    """An owner in another namespace is no owner: references carry no namespace and mean the dependent's."""
    return owner.namespace not in ("", dependent.namespace) and dependent.namespace != ""


def _unblocked(owner: Item, dependent: Item) -> SetOwners:
    return SetOwners(
        dependent,
        tuple(
            OwnerReference(
                api_version=one.api_version,
                kind=one.kind,
                name=one.name,
                uid=one.uid,
                controller=one.controller,
                block_owner_deletion=False if one.uid == owner.uid else one.block_owner_deletion,
            )
            for one in dependent.owners
        ),
    )
