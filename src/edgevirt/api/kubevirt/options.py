"""kubevirt.io/v1 types: options."""

from __future__ import annotations

from msgspec import field

from edgevirt.api.meta import Duration, Struct


class StartOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    kind: str = ""
    paused: bool | None = None


class StopOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    grace_period: int | None = None
    kind: str = ""


class RestartOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    grace_period_seconds: int | None = None
    kind: str = ""


class PauseOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    kind: str = ""


class UnpauseOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    kind: str = ""


class MigrateOptions(Struct):
    added_node_selector: dict[str, str] = field(default_factory=dict)
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    kind: str = ""


class FreezeUnfreezeTimeout(Struct):
    unfreeze_timeout: Duration
