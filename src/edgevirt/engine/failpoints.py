"""Places where a crash is worst, by name, so that the fault suite can make the process die there.

In production a failpoint is a function that looks at a flag which is never set. The suite's server process
calls `arm` before it starts; when the named point is passed for the n-th time the process kills itself with
SIGKILL: no handler, no flush, like a power cut for everything above the kernel.
"""

from __future__ import annotations

import os
import signal

BEFORE_ROWS = "store.before-rows"
"""A transaction is open, nothing is written."""
BEFORE_COMMIT = "store.before-commit"
"""All rows are written, the transaction is not committed."""
COMPACTING = "store.compacting"
"""Old revisions are deleted in the open transaction."""
COMMITTED = "store.committed"
"""The transaction is on disk, nobody knows yet."""
BEFORE_PUBLISH = "store.before-publish"
"""The event loop is about to show a committed batch to readers and watchers."""
PUBLISHED = "store.published"
"""Readers and watchers have seen the write, its caller has no answer yet."""

DEFINITION_ACCEPTED = "crd.accepted"
"""A custom resource definition is served, its status does not say so yet."""
DEFINITION_EMPTIED = "crd.emptied"
"""The objects of a deleted definition are gone or marked, the definition is still there."""
DEPENDENT_DELETED = "gc.dependent-deleted"
"""The garbage collector has deleted one of possibly many dependents."""
FINALIZER_REMOVING = "gc.finalizer-removing"
"""All dependents are gone, their owner still waits for them."""
NAMESPACE_KIND_EMPTIED = "namespace.kind-emptied"
"""One of the kinds in a namespace that is deleted has been asked to go."""
NAMESPACE_FINALIZING = "namespace.finalizing"
"""A namespace is empty and about to be released."""

ALL = (
    BEFORE_ROWS,
    BEFORE_COMMIT,
    COMPACTING,
    COMMITTED,
    BEFORE_PUBLISH,
    PUBLISHED,
    DEFINITION_ACCEPTED,
    DEFINITION_EMPTIED,
    DEPENDENT_DELETED,
    FINALIZER_REMOVING,
    NAMESPACE_KIND_EMPTIED,
    NAMESPACE_FINALIZING,
)

_armed: dict[str, int] = {}


def hit(name: str) -> None:
    """Dies here if the point is armed and it is its turn."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(name: str, times: int) -> None:
    """The process dies when `name` is passed for the `times`-th time from now. Raises `ValueError`."""
    if name not in ALL:
        raise ValueError(f"no failpoint {name!r}; there are {', '.join(ALL)}")
    _armed[name] = times
