"""YAML as Kubernetes reads it, into JSON values. What is JSON is read as JSON: it is what clients send."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from edgevirt.kube.yaml_bounds import check_bounds

_decode_json = msgspec.json.Decoder().decode


class _Resolver(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: no dates and no sexagesimal numbers, exponents without a point."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.repeated: list[tuple[int, str]] = []
        """(line, key) of keys that were given before in the same mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.repeated.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


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
    """One document as JSON values; keys become text. Raises `ValueError`."""
    return parse_with_repetitions(body)[0]


def parse_with_repetitions(body: bytes) -> tuple[Any, str]:
    """The document, and in Go's words which keys it gives twice ("" if none). Raises `ValueError`."""
    if body[:1] in (b"{", b"["):
        try:
            return _decode_json(body), ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # YAML in its flow style
    try:
        check_bounds(body)
        return _loaded(body)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line}: " if mark is not None and mark.line else ""
        raise ValueError(f"yaml: {line}{getattr(error, 'problem', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"yaml: {error}") from error


def _loaded(body: bytes) -> tuple[Any, str]:
    loader = _Resolver(body)
    try:
        document = _jsonable(loader.get_single_data())
    finally:
        loader.dispose()
    lines = [f'  line {line}: key "{key}" already set in map' for line, key in sorted(loader.repeated)]
    return document, "\n".join(["yaml: unmarshal errors:", *lines]) if lines else ""


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
