"""Who owns which field: `metadata.managedFields`, kept by updates and server-side apply.

Updates take the fields they change; apply takes all it states, refuses to change what others own unless
forced, and removes what the same manager stated before and states no longer. Field sets of one object in
several versions are compared as they are, since conversion changes no field here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.errors import Cause, StatusError, apply_conflict, bad_request
from edgevirt.engine.apiserver.schema import SchemaNode
from edgevirt.engine.apiserver.writing import fieldset, last_applied
from edgevirt.engine.apiserver.writing.fieldset import Fields
from edgevirt.engine.apiserver.writing.typed import (
    compare,
    drop_emptied,
    field_set,
    merge,
    remove,
    with_named_fields,
)

MAX_UPDATE_MANAGERS = 10
_ANCIENT = "ancient-changes"
_BEFORE = "before-first-apply"
"""Who owns what was there when the first configuration is applied to an untracked object."""

_SYSTEM_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
)
_METADATA = "f:metadata"
_UNOWNED_TYPE: Fields = {"f:apiVersion": {}, "f:kind": {}}
_UNOWNED: Fields = {**_UNOWNED_TYPE, _METADATA: {f"f:{name}": {} for name in _SYSTEM_METADATA}}

ALWAYS_PRESENT = frozenset(
    {
        "metadata",
        "spec",
        "status",
        "containers",
        "resources",
        "template",
        "names",
        "acceptedNames",
        "strategy",
        "updateStrategy",
        "jobTemplate",
        "clientConfig",
    }
)
"""Declared parts of built-in kinds that Kubernetes writes even when they are empty."""


@dataclass(frozen=True, slots=True)
class Manager:
    """The identity of an entry. `version` is its apiVersion."""

    name: str
    operation: str
    version: str
    subresource: str = ""

    def same_as(self, other: Manager) -> bool:
        """Apply entries of one manager are one, whatever their version."""
        return (
            self.name == other.name
            and self.operation == other.operation
            and self.subresource == other.subresource
            and (self.operation == "Apply" or self.version == other.version)
        )


@dataclass(slots=True)
class Entry:
    manager: Manager
    fields: Fields
    time: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a write is about: the kind's merge tree, fields not owned here, who writes, when."""

    node: SchemaNode
    manager: Manager
    now: str
    ignored: Fields
    """Top-level fields this endpoint does not write, e.g. {"f:status": {}}."""
    present: frozenset[str]


def read_entries(metadata: dict[str, Any]) -> list[Entry]:
    """The stored entries. Raises `StatusError` 422-like 400 for entries no server would write."""
    entries: list[Entry] = []
    for raw in metadata.get("managedFields") or ():
        fields = raw.get("fieldsV1")
        operation = raw.get("operation", "")
        if operation not in ("Apply", "Update") or not isinstance(fields, dict):
            raise bad_request(
                "metadata.managedFields: each entry needs operation Apply or Update, fieldsType "
                "FieldsV1 and fieldsV1"
            )
        manager = Manager(
            raw.get("manager", ""), operation, raw.get("apiVersion", ""), raw.get("subresource", "")
        )
        entries.append(Entry(manager, fields, raw.get("time", "")))
    return entries


def write_entries(metadata: dict[str, Any], entries: list[Entry]) -> None:
    """Puts entries into metadata: applies before updates, then by time and name."""
    entries = [entry for entry in _without_ancient(entries) if entry.fields]
    if not entries:
        metadata.pop("managedFields", None)
        return
    entries.sort(key=lambda entry: (entry.manager.operation, entry.time, entry.manager.name))
    metadata["managedFields"] = [_document(entry) for entry in entries]


def _document(entry: Entry) -> dict[str, Any]:
    manager = entry.manager
    document: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.version,
    }
    if entry.time:
        document["time"] = entry.time
    document["fieldsType"] = "FieldsV1"
    document["fieldsV1"] = entry.fields
    if manager.subresource:
        document["subresource"] = manager.subresource
    return document


def _without_ancient(entries: list[Entry]) -> list[Entry]:
    """Merges the oldest update entries into one when there are too many."""
    if len(entries) <= MAX_UPDATE_MANAGERS:
        return entries
    updates = sorted((e for e in entries if e.manager.operation == "Update"), key=lambda entry: entry.time)
    surplus = len(updates) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return entries
    old = updates[: surplus + 1]
    fields: Fields = {}
    for entry in old:
        fields = fieldset.union(fields, entry.fields)
    merged = Entry(Manager(_ANCIENT, "Update", old[-1].manager.version), fields, old[-1].time)
    return [entry for entry in entries if entry not in old] + [merged]


def record_update(scope: Scope, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    """Sets `new`'s managedFields after a create (`old` None), update or patch.

    An empty list sent by the client, or one with only an empty entry, resets the ownership.
    """
    metadata = new.setdefault("metadata", {})
    # A subresource is no place to change ownership by hand.
    sent = None if scope.manager.subresource else metadata.get("managedFields")
    if old is not None and sent is not None and _is_reset(sent):
        metadata.pop("managedFields", None)
        return
    try:
        entries = read_entries(metadata if sent else (old or {}).get("metadata") or {})
    except StatusError:
        entries = read_entries((old or {}).get("metadata") or {})
    if old is not None and not entries:
        # Nobody's fields are tracked in this object; the first apply begins with it.
        metadata.pop("managedFields", None)
        return
    live: Any = old if old is not None else {}
    try:
        difference = compare(scope.node, live, new, scope.present)
    except StatusError:
        # A list whose keys identify nothing: validation is about to say what is wrong with it.
        _write_unchanged(metadata, entries, old, sent)
        return
    touched = _owned(scope, fieldset.union(difference.added, difference.modified))
    removed = fieldset.without(difference.removed, scope.ignored)
    if not touched and not removed:
        _write_unchanged(metadata, entries, old, sent)
        return
    mine: Entry | None = None
    for entry in entries:
        if entry.manager.same_as(scope.manager):
            mine = entry
        elif touched or removed:
            entry.fields = fieldset.difference(fieldset.difference(entry.fields, touched), removed)
    if mine is not None:
        mine.fields = fieldset.union(fieldset.difference(mine.fields, removed), touched)
        if touched:
            mine.time = scope.now
    elif touched:
        entries.append(Entry(scope.manager, touched, scope.now))
    write_entries(metadata, entries)


def _owned(scope: Scope, fields: Fields) -> Fields:
    """`fields` less what nobody owns and what this endpoint does not write."""
    kept: Fields = {}
    for element, node in fieldset.children(fields):
        if element in scope.ignored or element in _UNOWNED_TYPE:
            continue
        if element == _METADATA:
            below = fieldset.without(node, _UNOWNED[_METADATA])
            if below:  # metadata itself is nobody's
                kept[element] = below
        else:
            kept[element] = node
    return kept


def _write_unchanged(
    metadata: dict[str, Any], entries: list[Entry], old: dict[str, Any] | None, sent: list[Any] | None
) -> None:
    """After a write that changes no field: the stored bytes stay, unless ownership itself was edited."""
    stored = ((old or {}).get("metadata") or {}).get("managedFields")
    if stored and (not sent or sent == stored or entries == read_entries({"managedFields": stored})):
        metadata["managedFields"] = stored
    else:
        write_entries(metadata, entries)


def _is_reset(sent: list[Any]) -> bool:
    return not sent or sent == [{}]


def apply(scope: Scope, live: dict[str, Any] | None, config: dict[str, Any], force: bool) -> dict[str, Any]:
    """Server-side apply: the new object, with managedFields, sharing parts with `live` and `config`.

    `config` holds no associative list with an item twice. Raises `StatusError` 409 for conflicts.
    """
    base: dict[str, Any] = live if live is not None else {}
    entries = read_entries(base.get("metadata") or {})
    if live is not None and not entries:
        everything = _owned(scope, compare(scope.node, {}, live, scope.present).added)
        entries = [Entry(Manager(_BEFORE, "Update", scope.manager.version), everything, scope.now)]
    last = next((entry for entry in entries if entry.manager.same_as(scope.manager)), None)
    stated = _owned(scope, field_set(scope.node, config))
    merged: dict[str, Any] = merge(scope.node, base, config)
    mine = Entry(scope.manager, stated, scope.now)
    others = [entry for entry in entries if entry is not last]
    if last is not None and last.fields:
        merged = _prune(scope.node, merged, last.fields, [*others, mine])
    difference = compare(scope.node, base, merged, scope.present)
    changed = _owned(scope, fieldset.union(difference.added, difference.modified))
    conflicts = [
        (entry, overlap) for entry in others if (overlap := fieldset.intersection(entry.fields, changed))
    ]
    if conflicts and not force:
        _refuse(scope, base, conflicts)
    for entry, overlap in conflicts:
        entry.fields = fieldset.difference(entry.fields, overlap)
    for entry in others:
        entry.fields = fieldset.difference(entry.fields, difference.removed)
    if live is not None and not (changed or difference.removed):
        mine.time = last.time if last is not None else ""
    result: dict[str, Any] = dict(drop_emptied(base, merged) if scope.present else merged)
    result["metadata"] = dict(merged.get("metadata") or {})
    write_entries(result["metadata"], [*others, mine])
    if scope.manager.name == last_applied.KUBECTL:
        last_applied.follow(result, config)
    return result


def _refuse(scope: Scope, live: dict[str, Any], conflicts: list[tuple[Entry, Fields]]) -> None:
    """Raise the conflict, less what kubectl has from its own client-side apply."""
    if scope.manager.name == last_applied.KUBECTL:
        own = last_applied.own_fields(scope.node, live)
        rest = [(entry, fieldset.difference(overlap, own)) for entry, overlap in conflicts]
        conflicts = [(entry, overlap) for entry, overlap in rest if overlap]
    if conflicts:
        raise _conflict(conflicts)


def _prune(node: SchemaNode, merged: dict[str, Any], last: Fields, entries: list[Entry]) -> dict[str, Any]:
    """Removes what the manager stated last time, except what anybody still owns."""
    pruned = remove(node, merged, with_named_fields(node, last))
    everything = with_named_fields(node, field_set(node, merged))
    left = with_named_fields(node, field_set(node, pruned))
    owned: Fields = {}
    for entry in entries:
        owned = fieldset.union(owned, entry.fields)
    owned = fieldset.union(owned, _UNOWNED)
    doomed = fieldset.difference(everything, fieldset.union(left, with_named_fields(node, owned)))
    # Only what was stated last time may go, not what happened to lie below it.
    doomed = fieldset.intersection(doomed, with_named_fields(node, last))
    result: dict[str, Any] = remove(node, merged, doomed)
    return result


def _conflict(conflicts: list[tuple[Entry, Fields]]) -> StatusError:
    listed: list[tuple[str, str]] = []
    for entry, overlap in sorted(conflicts, key=lambda pair: pair[0].manager.name):
        text = _manager_text(entry.manager)
        listed.extend((text, path) for path in fieldset.paths(overlap))
    causes = [Cause("FieldManagerConflict", f"conflict with {text}", path) for text, path in listed]
    if len(listed) == 1:
        text, path = listed[0]
        return apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {text}: {path}")
    lines: list[str] = []
    for text in dict.fromkeys(text for text, _ in listed):
        lines.append(f"conflicts with {text}:")
        lines.extend(f"- {path}" for owner, path in listed if owner == text)
    return apply_conflict(causes, f"Apply failed with {len(listed)} conflicts: " + "\n".join(lines))


def _manager_text(manager: Manager) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        text += f" using {manager.version}"
    return text
