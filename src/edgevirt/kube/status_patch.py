"""The smallest merge patch (RFC 7386) that turns one status into another, guarded by the version read.

Only what changed is written, so fields that these types do not know are never lost; the resourceVersion in
the patch makes the server refuse it (409) if anybody wrote in between.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgevirt.api.meta import ObjectMeta, Struct


def status_patch(metadata: ObjectMeta, old: Struct | None, new: Struct) -> dict[str, Any] | None:
    """The patch of the status of the object with `metadata`, or None if nothing changed.

    uid and resourceVersion in it are preconditions: the server answers 409 if the object is another one or
    was written meanwhile.
    """
    changes = difference(msgspec.to_builtins(old) if old is not None else {}, msgspec.to_builtins(new))
    if not changes:
        return None
    precondition = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
    return {"metadata": precondition, "status": changes}


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What to merge into `old` to get `new`: removed keys become null, lists are replaced whole."""
    changes: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := difference(before, value):
                changes[key] = inner
        elif key not in old or before != value:
            changes[key] = value
    return changes
