"""What virt-launcher answers when it cannot do what was asked."""

from __future__ import annotations


class RequestFailed(Exception):
    """An answer of `api.launcher.Error`: `reason` is one of its closed set."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def invalid(message: str) -> RequestFailed:
    """The request can never succeed as it is."""
    return RequestFailed("Invalid", message)


def conflict(message: str) -> RequestFailed:
    """The request does not fit the state the domain is in."""
    return RequestFailed("Conflict", message)
