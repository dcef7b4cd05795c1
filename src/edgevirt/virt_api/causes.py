"""Causes of a refusal: where, of which kind, and what to do. The reasons are Kubernetes' cause types."""

from __future__ import annotations

from typing import Final

from edgevirt.api.meta import StatusCause

INVALID: Final = "FieldValueInvalid"
REQUIRED: Final = "FieldValueRequired"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
DUPLICATE: Final = "FieldValueDuplicate"
FORBIDDEN: Final = "FieldValueForbidden"


def invalid(path: str, message: str) -> StatusCause:
    """The value cannot be right."""
    return StatusCause(field=path, reason=INVALID, message=message)


def required(path: str, message: str) -> StatusCause:
    """A value is missing."""
    return StatusCause(field=path, reason=REQUIRED, message=message)


def not_supported(path: str, message: str) -> StatusCause:
    """The value is outside of what is possible, here or by this user."""
    return StatusCause(field=path, reason=NOT_SUPPORTED, message=message)


def duplicate(path: str, message: str) -> StatusCause:
    """Something of that name exists already."""
    return StatusCause(field=path, reason=DUPLICATE, message=message)
