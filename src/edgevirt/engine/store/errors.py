"""What the store can answer instead of doing what it was asked."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """Base of all of the store's errors."""


class KeyExists(StoreError):
    """A create found the key taken."""


class KeyMissing(StoreError):
    """An update or delete found no such key."""


class RevisionConflict(StoreError):
    """The key's revision is not the expected one; `actual` is what it is."""

    def __init__(self, actual: int) -> None:
        super().__init__(f"the stored revision is {actual}")
        self.actual = actual


class Compacted(StoreError):
    """History before `oldest` is gone: a watch or snapshot from there must start over."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"revision {requested} is compacted, the oldest one kept is {oldest}")
        self.requested = requested
        self.oldest = oldest


class CommitFailed(StoreError):
    """The write could not be made durable; nothing of it is visible."""


class StoreFull(CommitFailed):
    """The disk, or the space allowed to the store, is exhausted. Later writes work once space returns."""


class StoreClosed(StoreError):
    """The store is shutting down."""


class StoreCorrupt(StoreError):
    """The file fails its integrity check and is not opened."""

    def __init__(self, path: Path, detail: str, way_out: str = "move it away to start empty") -> None:
        super().__init__(
            f"the store {path} is damaged ({detail}); it was not changed. Restore it from a backup, "
            f"or {way_out}"
        )


class StoreUnreadable(StoreError):
    """The file may be sound, but cannot be read or written now."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"the store {path} cannot be opened ({detail}); it was not changed. Check the disk under it, its "
            "permissions and free space, and that no other program has the file open; then start again"
        )


class StoreLocked(StoreError):
    """Another process has the store open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the store {path} is in use by another server; stop that one first")


class StoreIncompatible(StoreError):
    """The file was written by another program or by a newer version."""
