"""The smallest merge patch (RFC 7386) that turns one status into another, guarded by the version read.

Only what changed is written, so fields that these types do not know are never lost; the resourceVersion in
the patch makes the server refuse it (409) if anybody wrote in between.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgevirt.api.meta import Struct


def status_patch(old: Struct | None, new: Struct, resource_version: str) -> dict[str, Any] | None:
    """The patch, or None if nothing changed."""
    before = msgspec.to_builtins(old) if old is not None else {}
    changes = difference(before, msgspec.to_builtins(new))
    if not changes:
        return None
    return {"metadata": {"resourceVersion": resource_version}, "status": changes}


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What to merge into `old` to get `new`: removed keys become null, lists are replaced whole."""
    changes: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = difference(before, value)
            if inner:
                changes[key] = inner
        elif key not in old or before != value:
            changes[key] = value
    return changes
