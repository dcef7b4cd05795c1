"""A container's environment and command line, with everything they refer to resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edgevirt.api.core import Container, EnvVar, Pod
from edgevirt.engine.kubelet.fields import NodeFacts, field_value, resource_value
from edgevirt.engine.kubelet.references import MissingReference, References, text

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.\-][A-Za-z0-9_.\-]*)\))")
_NAME = re.compile(r"[A-Za-z_.\-][A-Za-z0-9_.\-]*")


def kubernetes_variables(host: str, port: str) -> dict[str, str]:
    """How a container finds the API server: the variables of the service `kubernetes`."""
    address = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    prefix = f"KUBERNETES_PORT_{port}_TCP"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": address,
        prefix: address,
        f"{prefix}_PROTO": "tcp",
        f"{prefix}_PORT": port,
        f"{prefix}_ADDR": host,
    }


def expand(value: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$(NAME)` stands for itself, an unknown name is left as it is."""
    return _REFERENCE.sub(lambda match: "$" if match[1] == "$" else known.get(match[2], match[0]), value)


def command_line(
    container: Container, entrypoint: Sequence[str], command: Sequence[str], env: Mapping[str, str]
) -> list[str]:
    """What to execute: the pod's command and args over the image's entrypoint and command."""
    if container.command:
        argv = [*container.command, *container.args]
    else:
        argv = [*entrypoint, *(container.args or command)]
    return [expand(word, env) for word in argv]


async def resolve(
    pod: Pod, container: Container, references: References, node: NodeFacts, addresses: tuple[str, ...]
) -> dict[str, str]:
    """The variables that the pod sets; MissingReference or UnknownField when one cannot be found."""
    result: dict[str, str] = {}
    for source in container.env_from:
        if source.config_map_ref:
            reference = source.config_map_ref
            config_map = await references.config_map(reference.name)
            if config_map is None and not reference.optional:
                raise MissingReference(f'configmap "{reference.name}" not found')
            _take(result, source.prefix, config_map.data if config_map else {})
        if source.secret_ref:
            wanted = source.secret_ref
            secret = await references.secret(wanted.name)
            if secret is None and not wanted.optional:
                raise MissingReference(f'secret "{wanted.name}" not found')
            _take(result, source.prefix, {k: text(v) for k, v in secret.data.items()} if secret else {})
    for variable in container.env:
        if variable.value_from is None:
            result[variable.name] = expand(variable.value, result)
            continue
        value = await _value(pod, container, variable, references, node, addresses)
        if value is not None:
            result[variable.name] = value
    return result


def _take(result: dict[str, str], prefix: str, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        if _NAME.fullmatch(prefix + key):  # others cannot be variables; Kubernetes skips them too
            result[prefix + key] = value


async def _value(
    pod: Pod,
    container: Container,
    variable: EnvVar,
    references: References,
    node: NodeFacts,
    addresses: tuple[str, ...],
) -> str | None:
    source = variable.value_from
    assert source
    if source.field_ref:
        return field_value(pod, source.field_ref, node, addresses)
    if source.resource_field_ref:
        return resource_value(pod, source.resource_field_ref, node, container)
    if wanted := source.config_map_key_ref:
        config_map = await references.config_map(wanted.name)
        if config_map and wanted.key in config_map.data:
            return config_map.data[wanted.key]
        if wanted.optional:
            return None
        if config_map is None:
            raise MissingReference(f'configmap "{wanted.name}" not found')
        raise MissingReference(
            f"couldn't find key {wanted.key} in ConfigMap {pod.metadata.namespace}/{wanted.name}"
        )
    if key := source.secret_key_ref:
        secret = await references.secret(key.name)
        if secret and key.key in secret.data:
            return text(secret.data[key.key])
        if key.optional:
            return None
        if secret is None:
            raise MissingReference(f'secret "{key.name}" not found')
        raise MissingReference(f"couldn't find key {key.key} in Secret {pod.metadata.namespace}/{key.name}")
    raise MissingReference(f"variable {variable.name}: valueFrom names no source this node supports")
