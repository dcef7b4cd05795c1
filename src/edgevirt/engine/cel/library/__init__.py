"""The functions of CEL: the standard ones, and those Kubernetes adds.

Each module is one library and offers `OVERLOADS`. A function that is not here makes an expression fail to
compile with its name; nothing is silently ignored.
"""

from __future__ import annotations

import functools
from typing import Any

from edgevirt.engine.cel import types
from edgevirt.engine.cel.functions import Functions, indexed
from edgevirt.engine.cel.library import (
    conversions,
    formats,
    lists,
    network,
    operators,
    optionals,
    quantities,
    regex,
    semver,
    sets,
    strings,
    times,
    urls,
)
from edgevirt.engine.cel.types import Type


@functools.cache
def standard_functions() -> Functions:
    """Every function that needs no context."""
    modules = (
        operators,
        conversions,
        times,
        strings,
        regex,
        lists,
        sets,
        optionals,
        urls,
        quantities,
        network,
        formats,
        semver,
    )
    return indexed([overload for module in modules for overload in module.OVERLOADS])


@functools.cache
def type_names() -> dict[str, tuple[Type, Any]]:
    """Names of types as expressions may mention them: (their type, their value)."""
    named = {
        "bool": types.BOOL,
        "int": types.INT,
        "uint": types.UINT,
        "double": types.DOUBLE,
        "string": types.STRING,
        "bytes": types.BYTES,
        "list": types.list_of(types.DYN),
        "map": types.map_of(types.DYN, types.DYN),
        "null_type": types.NULL,
        "type": types.type_of(types.DYN),
        "google.protobuf.Timestamp": types.TIMESTAMP,
        "google.protobuf.Duration": types.DURATION,
        "optional_type": types.optional_of(types.DYN),
        "net.IP": network.IP,
        "net.CIDR": network.CIDR,
        "kubernetes.Quantity": quantities.QUANTITY,
        "kubernetes.URL": urls.URL,
        "kubernetes.Semver": semver.SEMVER,
    }
    return {name: (types.type_of(kind), kind) for name, kind in named.items()}
