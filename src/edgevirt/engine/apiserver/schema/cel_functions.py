"""Functions Kubernetes adds to CEL, as far as this server has them.

A rule that uses a function which is not here fails to compile, so the definition that carries it is refused
with the function's name; nothing is silently ignored.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import urllib.parse
from typing import Any

from cel_expr_python import cel as engine

from edgevirt.engine.apiserver.schema.quantities import is_quantity

_Type = engine.Type


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match.group(0) if match else ""


def _find_all(text: str, pattern: str) -> list[str]:
    return [match.group(0) for match in re.finditer(pattern, text)]


def _find_some(text: str, pattern: str, limit: int) -> list[str]:
    found = _find_all(text, pattern)
    return found if limit < 0 else found[:limit]


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in itertools.pairwise(items))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def declarations() -> list[Any]:
    """The functions for the environment all rules are compiled in."""
    text, listed = _Type.STRING, _Type.List(_Type.DYN)
    members: list[tuple[str, str, Any, list[Any], Any]] = [
        ("find", "string_find", _Type.STRING, [text, text], _find),
        ("findAll", "string_find_all", _Type.List(text), [text, text], _find_all),
        ("findAll", "string_find_some", _Type.List(text), [text, text, _Type.INT], _find_some),
        ("isSorted", "list_is_sorted", _Type.BOOL, [listed], _is_sorted),
        ("sum", "list_sum", _Type.DYN, [listed], sum),
        ("min", "list_min", _Type.DYN, [listed], min),
        ("max", "list_max", _Type.DYN, [listed], max),
    ]
    globals_: list[tuple[str, str, Any]] = [
        ("isQuantity", "is_quantity_string", is_quantity),
        ("isIP", "is_ip_string", _is_address),
        ("isCIDR", "is_cidr_string", _is_cidr),
        ("isURL", "is_url_string", _is_url),
    ]
    by_name: dict[str, list[Any]] = {}
    for name, identifier, result, parameters, function in members:
        overload = engine.Overload(identifier, result, parameters, is_member=True, impl=function)
        by_name.setdefault(name, []).append(overload)
    for name, identifier, function in globals_:
        overload = engine.Overload(identifier, _Type.BOOL, [text], is_member=False, impl=function)
        by_name.setdefault(name, []).append(overload)
    return [engine.FunctionDecl(name, overloads) for name, overloads in by_name.items()]
