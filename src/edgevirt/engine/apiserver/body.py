"""Request bodies: JSON or YAML into plain objects, within bounds, with duplicates noticed.

The fast decoder keeps the last of several equal keys and does not tell. So the body is compared with what
its decoded form encodes to: a dropped key drops a colon. Only then is it parsed again by a slow parser that
knows which keys were given twice.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec
import yaml

from edgevirt.engine.apiserver.errors import StatusError, bad_request, unsupported_media_type
from edgevirt.engine.apiserver.json_syntax import go_type, parse_json
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.schema import protobuf_objects

MAX_BYTES = 3 * 1024 * 1024
ACCEPTED = ("application/json", "application/yaml", protobuf_objects.MEDIA_TYPE)

_ENVELOPE = (
    'json: cannot unmarshal {got} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,'
    'omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }}'
)


class _Resolver(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: no dates and no sexagesimal numbers, exponents without a point."""


_Resolver.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    (
        "bool",
        r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$",
        "yYnNtTfFoO",
    ),
    (
        "int",
        r"^(?:[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$",
        "-+0123456789",
    ),
    (
        "float",
        r"^(?:[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
    ("merge", r"^(?:<<)$", "<"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
):
    _Resolver.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), [*_first, ""] if _tag == "null" else list(_first)
    )


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits.lower().startswith(("0b", "0o", "0x")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


def _construct_bool(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() in ("y", "yes", "true", "on")


_Resolver.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Resolver.add_constructor("tag:yaml.org,2002:bool", _construct_bool)


def parse_yaml(body: bytes) -> Any:
    """One YAML document as JSON values; keys become text. Raises `ValueError`."""
    if body.startswith(b"{"):
        # Clients apply JSON, which is YAML too, and read many times faster as what it is.
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return decode_json(body)
    try:
        return _jsonable(yaml.load(body, Loader=_Resolver))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line}: " if mark is not None and mark.line else ""
        raise ValueError(f"yaml: {line}{getattr(error, 'problem', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"yaml: {error}") from error


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, bytes | set | tuple):
        # All faults of a document are values to the caller, whatever their nature.
        raise ValueError(  # noqa: TRY004
            "yaml: binary data, sets and tuples have no JSON form"
        )
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError("yaml: a mapping key must be a scalar")


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
            document = parse_yaml(body)
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
    return document, duplicates


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
