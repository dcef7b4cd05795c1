"""Rules about networks and interfaces, which belong together by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgevirt.api.meta import StatusCause
from edgevirt.virt_api import mac_address
from edgevirt.virt_api.causes import duplicate, invalid, not_supported, required
from edgevirt.virt_api.json_values import JsonObject, items

MODELS: Final = ("virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139")
_BINDINGS: Final = (
    "bridge", "masquerade", "sriov", "passtBinding", "binding", "slirp", "macvtap", "passt",
)  # fmt: skip
_SOURCES: Final = ("pod", "multus", "resourceClaim")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


def check(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    """What is wrong with `networks` and `domain.devices.interfaces` of an instance's spec."""
    networks = items(spec, "networks")
    interfaces = items(spec, "domain", "devices", "interfaces")
    yield from _networks(networks, {each.get("name") for each in interfaces}, f"{path}.networks")
    known = {each.get("name") for each in networks}
    seen: set[object] = set()
    for index, interface in enumerate(interfaces):
        here = f"{path}.domain.devices.interfaces[{index}]"
        name = interface.get("name", "")
        if not _NAME.fullmatch(name):
            yield invalid(f"{here}.name", f'{here}.name: "{name}" may have only A-Z a-z 0-9 _ and -')
        if name in seen:
            yield duplicate(f"{here}.name", f'{here}.name: there is already an interface named "{name}"')
        seen.add(name)
        if name not in known:
            yield invalid(f"{here}.name", f'{here}.name: no network in {path}.networks is named "{name}"')
        yield from _interface(interface, here)


def _networks(networks: list[JsonObject], interfaces: set[object], path: str) -> Iterator[StatusCause]:
    seen: set[object] = set()
    pods = 0
    for index, network in enumerate(networks):
        here = f"{path}[{index}]"
        name = network.get("name", "")
        if name in seen:
            yield duplicate(f"{here}.name", f'{here}.name: there is already a network named "{name}"')
        seen.add(name)
        sources = [source for source in _SOURCES if network.get(source) is not None]
        if len(sources) != 1:
            yield required(here, f'{here}: the network "{name}" needs exactly one source, e.g. pod: {{}}')
        pods += "pod" in sources
        if pods > 1 and "pod" in sources:
            yield duplicate(f"{here}.pod", f"{here}.pod: the pod network can be joined only once")
        if name not in interfaces:
            yield required(
                f"{here}.name",
                f'{here}.name: no interface is named "{name}"; add one to domain.devices.interfaces',
            )


def _interface(interface: JsonObject, path: str) -> Iterator[StatusCause]:
    bindings = [binding for binding in _BINDINGS if interface.get(binding) is not None]
    if len(bindings) != 1:
        found = f"has {' and '.join(bindings)}" if bindings else "has no binding"
        yield invalid(path, f"{path} {found}; exactly one is needed, for example bridge: {{}}")
    model = interface.get("model")
    if model and model not in MODELS:
        yield not_supported(f"{path}.model", f'{path}.model: "{model}" is not one of {", ".join(MODELS)}')
    given = interface.get("macAddress")
    if given:
        address = mac_address.normalised(given)
        here = f"{path}.macAddress"
        if address is None:
            yield invalid(here, f'{here}: "{given}" is not a MAC address such as 02:00:5e:10:00:01')
        elif not mac_address.is_unicast(address):
            yield invalid(
                here,
                f'{here}: "{given}" is a group address; the first octet must be even',
            )
