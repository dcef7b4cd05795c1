"""What can go wrong between us and a Kubernetes API, as one small tree.

Two questions decide what a caller does. *What did the server say?* is answered by the subclasses of
`ApiError`, one per reason that callers tell apart. *Is it worth trying again?* is answered by the mixins
`Transient` (the same call may succeed later) and `Permanent` (it will not until an object changes). Errors of
lower layers are always chained as the cause, never passed through.
"""

from __future__ import annotations

from edgevirt.api.meta import Status, StatusCause


class KubeError(Exception):
    """Base of everything this package raises on purpose."""


class Transient(KubeError):
    """The operation may succeed if repeated later; a controller retries it with back-off."""


class Permanent(KubeError):
    """Repeating the operation is useless until an object changes; a controller waits for the next event."""


class ConfigError(KubeError):
    """The kubeconfig or a file it names cannot be used; the message says which part and what to do."""


class ConnectionFailed(Transient):
    """No answer: the server could not be reached, the connection broke, or the deadline passed."""


class DecodeError(Permanent):
    """The server's answer is not the kind of object it should be."""


class ApiError(KubeError):
    """The server answered with a failure. `str()` is the server's message, fit to be shown to a user."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message or status.reason or f"the server answered with code {status.code}")
        self.status = status

    @property
    def code(self) -> int:
        """HTTP status code; 0 if the server's Status carries none."""
        return self.status.code or 0

    @property
    def reason(self) -> str:
        """Kubernetes' reason such as "AlreadyExists"; "" if unknown."""
        return self.status.reason

    @property
    def message(self) -> str:
        return self.status.message

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """Field paths and messages of an Invalid answer; () otherwise."""
        return self.status.details.causes if self.status.details else ()

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks us to wait, if it said so."""
        details = self.status.details
        return None if details is None or details.retry_after_seconds is None else details.retry_after_seconds


class BadRequest(ApiError):
    pass


class Unauthorized(ApiError):
    pass


class Forbidden(ApiError):
    pass


class NotFound(ApiError):
    pass


class MethodNotAllowed(ApiError):
    pass


class AlreadyExists(ApiError):
    pass


class Conflict(ApiError):
    """The object changed since it was read (resourceVersion or uid precondition): read again, retry soon."""


class Expired(ApiError):
    """410: the resource version or continue token is too old; list again."""


class Invalid(ApiError):
    """422: the object fails validation; see `causes`."""


class TooManyRequests(ApiError, Transient):
    """429: the server is busy, or an eviction would violate a budget."""


class InternalError(ApiError, Transient):
    """500, for example a webhook that could not be called."""


class ServiceUnavailable(ApiError, Transient):
    pass


class ServerTimeout(ApiError, Transient):
    pass


_BY_REASON: dict[str, type[ApiError]] = {
    "BadRequest": BadRequest,
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "NotFound": NotFound,
    "MethodNotAllowed": MethodNotAllowed,
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Expired": Expired,
    "Gone": Expired,
    "Invalid": Invalid,
    "TooManyRequests": TooManyRequests,
    "InternalError": InternalError,
    "ServiceUnavailable": ServiceUnavailable,
    "ServerTimeout": ServerTimeout,
    "Timeout": ServerTimeout,
}

_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    500: InternalError,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServerTimeout,
}


def from_status(status: Status) -> ApiError:
    """The error class for a Status: by its reason, else by its code, else plain `ApiError`."""
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code or 0, ApiError)
    return kind(status)
