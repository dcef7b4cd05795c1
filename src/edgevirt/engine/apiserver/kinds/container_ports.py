"""What may stand in the ports of a container. Pure.

Of all of a pod they reach furthest: the node writes rules of its packet filter from them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.names import invalid_value
from edgevirt.engine.apiserver.schema import invalid

_PORT_RANGE = "must be between 1 and 65535, inclusive"
_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def port_faults(container: Mapping[str, Any], at: str) -> Iterator[Cause]:
    """`at` is the container's path."""
    for index, port in enumerate(container.get("ports") or ()):
        path = f"{at}.ports[{index}]"
        for field in ("containerPort", "hostPort"):
            number = port.get(field) or 0
            if number and not 1 <= number <= 65535:
                yield invalid(f"{path}.{field}", number, _PORT_RANGE)
        address = port.get("hostIP") or ""
        if address and not _is_address(address):
            yield invalid_value(f"{path}.hostIP", address, _ADDRESS)


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False
