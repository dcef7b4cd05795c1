"""What a user may ask of a machine's life: run, eviction and start strategies, and queued state changes."""

from __future__ import annotations

from enum import StrEnum


class RunStrategy(StrEnum):
    """`spec.runStrategy` of a VirtualMachine."""

    ALWAYS = "Always"
    """An instance always exists; one that ends is replaced."""
    HALTED = "Halted"
    """No instance exists until somebody asks for a start."""
    MANUAL = "Manual"
    """Start, stop and restart requests alone decide."""
    RERUN_ON_FAILURE = "RerunOnFailure"
    """A failed instance is replaced, one that ended in an orderly way is not."""
    ONCE = "Once"
    """Runs once to its end, whatever the end."""
    WAIT_AS_RECEIVER = "WaitAsReceiver"
    """Waits to receive a migration from another cluster."""
    UNKNOWN = "Unknown"


class EvictionStrategy(StrEnum):
    """`spec.evictionStrategy`: what happens when the node is drained."""

    NONE = "None"
    LIVE_MIGRATE = "LiveMigrate"
    LIVE_MIGRATE_IF_POSSIBLE = "LiveMigrateIfPossible"
    EXTERNAL = "External"


class StartStrategy(StrEnum):
    """`spec.startStrategy` of an instance."""

    PAUSED = "Paused"


class StateChangeAction(StrEnum):
    """`status.stateChangeRequests[].action` of a VirtualMachine; only the first request is acted on."""

    START = "Start"
    STOP = "Stop"


START_PAUSED_KEY = "paused"
"""Key in a Start request's `data`; the value "true" asks for a start with the guest paused."""
