"""Service: cluster addresses and node ports, what belongs to which type, and what never changes.

Addresses are handed out after admission and before validation, and held until the write has ended
(`settle`). A service that changes its type keeps what the new type also has and loses the rest. Only IPv4 is
served, so a dual-stack service is refused where it requires both.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.errors import invalid as refused
from edgevirt.engine.apiserver.kinds.service_network import ServiceNetwork, Taken
from edgevirt.engine.apiserver.kinds.strategies import Plain, forbidden_cause
from edgevirt.engine.apiserver.names import (
    invalid_value,
    label_faults,
    label_key_faults,
    label_value_faults,
    subdomain_faults,
)
from edgevirt.engine.apiserver.registry import WriteContext
from edgevirt.engine.apiserver.schema import invalid, required

Json = dict[str, Any]

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_OF_CLUSTER = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
_PORT_RANGE = "must be between 1 and 65535, inclusive"


class Services(Plain):
    """`network` hands out addresses and ports."""

    def __init__(self, network: ServiceNetwork) -> None:
        self._network = network

    def prepare_for_create(self, obj: Json, context: WriteContext) -> None:
        obj["status"] = {"loadBalancer": {}}
        spec = obj.setdefault("spec", {})
        _one_list(spec, {})
        _families(spec)
        self._allocate(obj, spec, None)

    def prepare_for_update(self, obj: Json, old: Json, context: WriteContext) -> None:
        if context.subresource:
            return
        spec, before = obj.setdefault("spec", {}), old.get("spec") or {}
        _one_list(spec, before)
        _keep(spec, before)
        _drop(spec, before)
        _families(spec)
        self._allocate(obj, spec, old)

    def settle(self, obj: Json) -> None:
        self._network.release(obj["metadata"].get("uid") or "")

    def _allocate(self, obj: Json, spec: Json, old: Json | None) -> None:
        """Raises `StatusError`. What validation is going to refuse gets nothing."""
        if self.validate(obj, old):
            return
        before = (old or {}).get("spec") or {}
        uid = obj["metadata"].get("uid") or ""
        causes: list[Cause] = []
        if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
            self._allocate_address(spec, before, uid, causes)
        if spec.get("type") in _WITH_NODE_PORTS:
            self._allocate_ports(spec, uid, causes)
        if causes:
            raise refused("Service", "", obj["metadata"].get("name") or "", causes)

    def _allocate_address(self, spec: Json, before: Json, uid: str, causes: list[Cause]) -> None:
        wanted = spec.get("clusterIPs") or []
        if wanted and wanted == before.get("clusterIPs"):
            return
        try:
            if wanted:
                if not before.get("clusterIPs"):
                    self._network.take_address(wanted[0], uid)
            else:
                address = self._network.choose_address(uid)
                spec["clusterIP"], spec["clusterIPs"] = address, [address]
        except Taken as error:
            causes.append(invalid("spec.clusterIPs", wanted, str(error)))

    def _allocate_ports(self, spec: Json, uid: str, causes: list[Cause]) -> None:
        if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
            return
        chosen: dict[int, set[str]] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            number, protocol = port.get("nodePort"), port.get("protocol") or "TCP"
            try:
                if number:
                    if protocol in chosen.get(number, set()):
                        raise Taken("provided port is already allocated")
                    self._network.take_port(number, protocol, uid)
                else:
                    number = port["nodePort"] = self._network.choose_port(protocol, uid)
                chosen.setdefault(number, set()).add(protocol)
            except Taken as error:
                causes.append(invalid(f"spec.ports[{index}].nodePort", number or 0, str(error)))

    def validate(self, obj: Json, old: Json | None) -> list[Cause]:
        spec = obj.get("spec") or {}
        causes: list[Cause] = []
        kind = spec.get("type") or "ClusterIP"
        headless = spec.get("clusterIP") == "None"
        if not spec.get("ports") and not headless and kind != "ExternalName":
            causes.append(required("spec.ports"))
        causes.extend(_type_faults(spec, kind, headless))
        causes.extend(_port_faults(spec, kind))
        causes.extend(_selector_faults(spec.get("selector") or {}))
        causes.extend(_address_faults(spec))
        causes.extend(_affinity_faults(spec))
        if old is not None:
            causes.extend(_change_faults(spec, old.get("spec") or {}))
        return causes


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# What a write makes of what was sent --------------------------------------------------------------------


def _one_list(spec: Json, before: Json) -> None:
    """clusterIP and clusterIPs say the same; whichever was changed decides."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    was_one, was_many = before.get("clusterIP") or "", before.get("clusterIPs") or []
    if one and not many:
        spec["clusterIPs"] = [one]
    elif one != was_one and many == was_many:
        if one:
            spec["clusterIPs"] = [one, *many[1:]]
        else:
            spec.pop("clusterIPs", None)
    elif many and not one and not before:
        spec["clusterIP"] = many[0]
    elif many != was_many and one == was_one:
        spec["clusterIP"] = many[0] if many else ""
    if not spec.get("clusterIP"):
        spec.pop("clusterIP", None)


def _keep(spec: Json, before: Json) -> None:
    """What the server gave the service stays when a client leaves it out."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    for field in ("clusterIP", "clusterIPs"):
        if not spec.get(field) and before.get(field):
            spec[field] = before[field]
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if not spec.get(field) and before.get(field):
            spec[field] = before[field]
    if spec.get("type") not in _WITH_NODE_PORTS or before.get("type") not in _WITH_NODE_PORTS:
        return
    given = {(p.get("port"), p.get("protocol")): p.get("nodePort") for p in before.get("ports") or ()}
    used = {port.get("nodePort") for port in spec.get("ports") or ()}
    for port in spec.get("ports") or ():
        kept = given.get((port.get("port"), port.get("protocol")))
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept


def _drop(spec: Json, before: Json) -> None:
    """What the old type had and the new one has not goes, unless the client changed it on purpose."""
    kind, was = spec.get("type"), before.get("type")
    if kind == "ExternalName" and was != "ExternalName":
        for field in _OF_CLUSTER:
            if spec.get(field) == before.get(field):
                spec.pop(field, None)
    if kind not in _WITH_NODE_PORTS and was in _WITH_NODE_PORTS:
        given = {port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in given:
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    if kind != "LoadBalancer" and was == "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass"):
            if spec.get(field) == before.get(field):
                spec.pop(field, None)


def _families(spec: Json) -> None:
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        # Nobody here fills its endpoints, so nobody here decides which families they have.
        spec.setdefault("ipFamilyPolicy", "RequireDualStack")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
        return
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("ipFamilies", ["IPv4"])


# What is wrong with it ----------------------------------------------------------------------------------


def _type_faults(spec: Json, kind: str, headless: bool) -> list[Cause]:
    causes: list[Cause] = []
    if kind in _WITH_NODE_PORTS and headless:
        text = f"may not be set to 'None' for {kind} services"
        causes.append(invalid_value("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        causes.extend(
            forbidden_cause(f"spec.{field}", "may not be set when `type` is 'ExternalName'")
            for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(field)
        )
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            causes.append(required("spec.externalName"))
        causes.extend(
            invalid_value("spec.externalName", name, f) for f in (subdomain_faults(name) if name else ())
        )
    return causes


def _port_faults(spec: Json, kind: str) -> list[Cause]:
    causes: list[Cause] = []
    ports = spec.get("ports") or []
    names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            causes.append(required(f"{path}.name"))
        elif name:
            causes.extend(invalid_value(f"{path}.name", name, fault) for fault in label_faults(name))
            if name in names:
                causes.append(Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{path}.name"))
            names.add(name)
        number = port.get("port") or 0
        if not 1 <= number <= 65535:
            causes.append(invalid(f"{path}.port", number, _PORT_RANGE))
        target = port.get("targetPort")
        if isinstance(target, int) and not 1 <= target <= 65535:
            causes.append(invalid(f"{path}.targetPort", target, _PORT_RANGE))
        elif isinstance(target, str):
            causes.extend(invalid_value(f"{path}.targetPort", target, f) for f in port_name_faults(target))
        if port.get("nodePort") and kind not in _WITH_NODE_PORTS:
            text = f"may not be used when `type` is '{kind}'"
            causes.append(forbidden_cause(f"{path}.nodePort", text))
        key = (number, port.get("protocol"))
        if key in seen:
            shown = f'{{"protocol":"{key[1]}","port":{number}}}'
            causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {shown}", path))
        seen.add(key)
    return causes


def port_name_faults(name: str) -> list[str]:
    """A name of a container's port."""
    faults: list[str] = []
    if len(name) > 15:
        faults.append("must be no more than 15 characters")
    if not all(c.islower() or c.isdigit() or c == "-" for c in name) or not name.isascii():
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(c.isalpha() for c in name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def _selector_faults(selector: Json) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in selector.items():
        causes.extend(invalid_value("spec.selector", key, fault) for fault in label_key_faults(key))
        causes.extend(invalid_value("spec.selector", value, fault) for fault in label_value_faults(value))
    return causes


def _address_faults(spec: Json) -> list[Cause]:
    causes: list[Cause] = []
    addresses = spec.get("clusterIPs") or []
    for index, address in enumerate(addresses):
        if address != "None" and not _is_address(address):
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            causes.append(invalid_value(f"spec.clusterIPs[{index}]", address, text))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        causes.extend(
            invalid_value(f"spec.externalIPs[{index}]", address, f) for f in _outside_faults(address)
        )
    if len(addresses) > 2:
        causes.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    elif len(addresses) == 2 and spec.get("clusterIP") != "None":
        causes.append(
            invalid("spec.clusterIPs[1]", addresses, "may only hold one value: this cluster is IPv4 only")
        )
    one = spec.get("clusterIP")
    if one and addresses and one != addresses[0]:
        text = "first value must match `clusterIP`"
        causes.append(invalid("spec.clusterIPs", addresses, text))
    if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        if spec.get("ipFamilyPolicy") == "RequireDualStack":
            text = "Cluster is not configured for dual-stack services"
            causes.append(invalid("spec.ipFamilyPolicy", "RequireDualStack", text))
        if "IPv6" in (spec.get("ipFamilies") or ()):
            text = "not configured on this cluster"
            causes.append(invalid_value("spec.ipFamilies[0]", "IPv6", text))
    return causes


def _outside_faults(address: str) -> list[str]:
    """An address of the outside is nobody's own: with 127.0.0.1 a service would take the node's traffic."""
    if not _is_address(address):
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    found = ipaddress.ip_address(address)
    special = {
        f"may not be unspecified ({address})": found.is_unspecified,
        "may not be in the loopback range (127.0.0.0/8, ::1/128)": found.is_loopback,
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)": found.is_link_local,
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)": found.is_multicast,
    }
    return [text for text, applies in special.items() if applies]


def _affinity_faults(spec: Json) -> list[Cause]:
    path = "spec.sessionAffinityConfig"
    config = spec.get("sessionAffinityConfig")
    if spec.get("sessionAffinity") != "ClientIP":
        if config is None:
            return []
        text = "must not be set when session affinity is None"
        return [forbidden_cause(path, text)]
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is None or not 0 < seconds <= 86400:
        text = "must be greater than 0 and less than 86400"
        return [invalid(f"{path}.clientIP.timeoutSeconds", seconds or 0, text)]
    return []


def _change_faults(spec: Json, before: Json) -> list[Cause]:
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    was, now = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if was and now[:1] != was[:1]:
        return [invalid("spec.clusterIPs[0]", now, "may not change once set")]
    return []
