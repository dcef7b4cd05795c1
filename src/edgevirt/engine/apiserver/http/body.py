"""Request bodies: JSON or YAML into plain objects, within bounds, with duplicates noticed.

The fast decoder keeps the last of several equal keys and does not tell. So the body is compared with what
its decoded form encodes to: a dropped key drops a colon. Only then is it parsed again by a slow parser that
knows which keys were given twice.
"""

from __future__ import annotations

import json
from typing import Any

from edgevirt.engine.apiserver.errors import StatusError, bad_request, unsupported_media_type
from edgevirt.engine.apiserver.http.json_syntax import go_type, parse_json
from edgevirt.engine.apiserver.http.yaml_document import parse_with_repetitions
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.schema import protobuf_objects
from edgevirt.engine.apiserver.schema.request_types import check_body

MAX_BYTES = 3 * 1024 * 1024
ACCEPTED = ("application/json", "application/yaml", protobuf_objects.MEDIA_TYPE)

_ENVELOPE = (
    'json: cannot unmarshal {got} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,'
    'omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }}'
)


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_object(body: bytes, content_type: str, kind: str) -> tuple[dict[str, Any], list[str]]:
    """Decodes the object in a request body; `kind` is the one expected, for messages.

    Returns the object and the paths of duplicated fields. Raises `StatusError` 400 or 415.
    """
    media = media_type(content_type) or "application/json"
    duplicates: list[str] = []
    if media == "application/json":
        try:
            document = parse_json(body)
        except ValueError as error:
            shown = body[:256].decode("utf-8", "replace") if body else "<empty>"
            raise _unrecognized(
                kind, f"couldn't get version/kind; json parse error: {error} ({shown})"
            ) from error
        if isinstance(document, dict) and _has_duplicates(body, document):
            duplicates = _duplicates(body)
    elif media in ("application/yaml", "application/x-yaml", "text/yaml"):
        try:
            document, repeated = parse_with_repetitions(body)
            duplicates = [repeated] if repeated else []
        except ValueError as error:
            raise _unrecognized(kind, f"{error} ({body[:64].hex()})") from error
    elif media == protobuf_objects.MEDIA_TYPE:
        try:
            document = protobuf_objects.decode(body)
        except protobuf_objects.ProtobufError as error:
            raise bad_request(str(error)) from error
    else:
        raise unsupported_media_type(ACCEPTED)
    if not isinstance(document, dict):
        why = _ENVELOPE.format(got=go_type(document))
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why} ({body[:64].hex()})")
    why = envelope_fault(document)
    if why:
        shown = body[:256].decode("utf-8", "replace")
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why} ({shown})")
    return document, duplicates


def envelope_fault(document: dict[str, Any]) -> str:
    """What is wrong with how the object names its type, in the words of Go's decoder; "" if nothing is."""
    for field in ("apiVersion", "kind"):
        value = document.get(field)
        if value is not None and not isinstance(value, str):
            return f"json: cannot unmarshal {go_type(value)} into Go struct field .{field} of type string"
    return ""


def _unrecognized(kind: str, why: str) -> StatusError:
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}")


def read_patch(body: bytes) -> Any:
    """A JSON patch or merge patch document. Raises `StatusError` 400."""
    try:
        return parse_json(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error


def read_options(body: bytes, content_type: str, kind: str) -> dict[str, Any]:
    """Options in a body, such as DeleteOptions; an empty body means none."""
    if not body.strip():
        return {}
    document, _ = read_object(body, content_type, kind)
    if document.get("kind") not in (None, "", kind):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): got {document['kind']}"
        )
    check_body(kind, document)
    return document


def _has_duplicates(body: bytes, document: Any) -> bool:
    return body.count(b":") != encode_json(document).count(b":")


def _duplicates(body: bytes) -> list[str]:
    found: list[str] = []

    class Pairs(dict[str, Any]):
        duplicated: tuple[str, ...] = ()

    def collect(pairs: list[tuple[str, Any]]) -> Pairs:
        result = Pairs(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            again: list[str] = []
            for key, _ in pairs:
                if key in seen:
                    again.append(key)
                seen.add(key)
            result.duplicated = tuple(dict.fromkeys(again))
        return result

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Pairs):
            found.extend(f"{path}.{key}" if path else key for key in value.duplicated)
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")

    walk(json.loads(body, object_pairs_hook=collect), "")
    return found
