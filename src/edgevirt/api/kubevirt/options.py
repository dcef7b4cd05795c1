"""Bodies of requests to the aggregated API `subresources.kubevirt.io`."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import Duration, Struct


class StartOptions(Struct):
    """Body of the start request of a machine."""

    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    kind: str = ""
    """Ignored; for clients that send it."""
    paused: bool | None = None
    """Start with the guest paused."""


class StopOptions(Struct):
    """Body of the stop request of a machine."""

    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    grace_period: int | None = None
    """Seconds the guest has to shut down, instead of the instance's own."""
    kind: str = ""
    """Ignored; for clients that send it."""


class RestartOptions(Struct):
    """Body of the restart request of a machine."""

    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    grace_period_seconds: int | None = None
    """Only 0: end the guest at once."""
    kind: str = ""
    """Ignored; for clients that send it."""


class PauseOptions(Struct):
    """Body of the pause request of an instance."""

    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    kind: str = ""
    """Ignored; for clients that send it."""


class UnpauseOptions(Struct):
    """Body of the unpause request of an instance."""

    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    kind: str = ""
    """Ignored; for clients that send it."""


class MigrateOptions(Struct):
    """Body of the migrate request of a machine."""

    added_node_selector: dict[str, str] = field(default_factory=dict)
    """Labels the target node must carry besides those the instance asks for."""
    api_version: str = ""
    """Ignored; for clients that send it."""
    dry_run: tuple[str, ...] = ()
    """["All"]: check everything, change nothing."""
    kind: str = ""
    """Ignored; for clients that send it."""


class FreezeUnfreezeTimeout(Struct):
    """Body of the freeze request of an instance."""

    unfreeze_timeout: Duration
    """Time after which the guest's file systems thaw by themselves."""
