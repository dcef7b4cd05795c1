"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on decoded objects."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from edgevirt.engine.apiserver.errors import (
    Cause,
    Details,
    StatusError,
    bad_request,
    invalid,
    request_entity_too_large,
)
from edgevirt.engine.apiserver.objects import encode_json

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes that the copies of one patch may add."""
_LONGEST_REASON = 256

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def json_patch(target: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Applies the operations to `target` in place; returns the result. Raises `StatusError` 400, 413, 422."""
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    if len(operations) > MAX_OPERATIONS:
        raise request_entity_too_large(MAX_OPERATIONS)
    try:
        result = apply_counted(operations, target)
    except jsonpatch.JsonPatchTestFailed as error:
        raise _rejected(f"testing value failed: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise _rejected(str(error)) from error
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _rejected(f"malformed operation: {error}") from error
    if not isinstance(result, dict):
        raise _rejected("the patch replaces the whole object by something else")
    return result


def apply_counted(operations: list[Any], target: Any) -> Any:
    """The patched object, perhaps `target` changed in place. Raises what the library raises.

    Copies are counted: each one may double the object, and thirty would fill any memory (CVE-2019-1002100).
    """
    patch = jsonpatch.JsonPatch(operations)
    if not any(operation["op"] == "copy" for operation in operations):
        return patch.apply(target, in_place=True)
    copied = 0
    for operation in operations:
        if operation["op"] == "copy":
            copied += len(encode_json(jsonpointer.resolve_pointer(target, operation["from"])))
            if copied > MAX_COPIED:
                what = f"the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
                raise jsonpatch.JsonPatchException(f"Unable to complete the copy, {what}")
        target = jsonpatch.JsonPatch([operation]).apply(target, in_place=True)
    return target


def _rejected(why: str) -> StatusError:
    """Kubernetes keeps the reason to itself; here it is the cause."""
    why = why if len(why) <= _LONGEST_REASON else f"{why[:_LONGEST_REASON]}..."
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, Details(causes=(Cause("", why),)))


def merge_patch(target: Any, patch: Any) -> Any:
    """`patch` merged into `target`: copies on write, unchanged parts are shared."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def invalid_patch(shown: str, why: str) -> StatusError:
    """422 for a patch whose result is not an object of the kind."""
    text = shown.replace("\\", "\\\\").replace('"', '\\"')
    return invalid("", "", "", [Cause("FieldValueInvalid", f'Invalid value: "{text}": {why}', "patch")])
