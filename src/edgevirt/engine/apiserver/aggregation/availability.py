"""Whether an aggregated API can be reached, as the condition `Available` of its APIService says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Availability:
    available: bool
    reason: str
    message: str

    def condition(self, now: str) -> dict[str, Any]:
        return {
            "type": "Available",
            "status": "True" if self.available else "False",
            "lastTransitionTime": now,
            "reason": self.reason,
            "message": self.message,
        }


LOCAL = Availability(True, "Local", "Local APIServices are always available")
PASSED = Availability(True, "Passed", "all checks passed")


def failing(url: str, why: str) -> Availability:
    """The service has an address, but its discovery document could not be read from it."""
    return Availability(False, "FailedDiscoveryCheck", f"failing or missing response from {url}: {why}")


def status_with(document: Mapping[str, Any], availability: Availability, now: str) -> dict[str, Any] | None:
    """The status the APIService should have, None if it says so already.

    lastTransitionTime moves only when the status of the condition does.
    """
    status = document.get("status") or {}
    conditions = list(status.get("conditions") or ())
    wanted = availability.condition(now)
    for index, present in enumerate(conditions):
        if present.get("type") != "Available":
            continue
        if present.get("status") == wanted["status"]:
            wanted["lastTransitionTime"] = present.get("lastTransitionTime", now)
        if present == wanted:
            return None
        conditions[index] = wanted
        return {**status, "conditions": conditions}
    return {**status, "conditions": [*conditions, wanted]}
