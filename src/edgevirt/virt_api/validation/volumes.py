"""Rules about volumes: names, exactly one source, and what each kind of source needs."""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Iterator
from typing import Final

from edgevirt.api import quantity
from edgevirt.api.meta import StatusCause
from edgevirt.virt_api.causes import invalid, not_supported, required
from edgevirt.virt_api.json_values import JsonObject, child, items
from edgevirt.virt_api.validation import names

MAX_INLINE: Final = 2048
"""Bytes of cloud-init data that may stand in the object itself, decoded."""
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")


def check(spec: JsonObject, path: str) -> Iterator[StatusCause]:
    """What is wrong with `volumes` of an instance's spec."""
    seen: set[object] = set()
    for index, volume in enumerate(items(spec, "volumes")):
        here = f"{path}.volumes[{index}]"
        name = volume.get("name", "")
        if not names.is_label(name):
            yield invalid(f"{here}.name", f'{here}.name: "{name}" must be {names.LABEL_RULE}')
        if name in seen:
            yield invalid(f"{here}.name", f'{here}.name: there is already a volume named "{name}"')
        seen.add(name)
        sources = sorted(key for key, value in volume.items() if key != "name" and value is not None)
        if len(sources) != 1:
            found = f"has {' and '.join(sources)}" if sources else "has none"
            yield invalid(here, f'{here}: the volume "{name}" {found}; exactly one source is needed')
            continue
        yield from _container_disk(volume, here)
        yield from _empty_disk(volume, here)
        for kind in ("cloudInitNoCloud", "cloudInitConfigDrive"):
            if isinstance(volume.get(kind), dict):
                yield from _cloud_init(volume[kind], f"{here}.{kind}")


def _container_disk(volume: JsonObject, path: str) -> Iterator[StatusCause]:
    if volume.get("containerDisk") is None:
        return
    disk = child(volume, "containerDisk")
    here = f"{path}.containerDisk"
    image = disk.get("image", "")
    if not image or image != image.strip() or any(character.isspace() for character in image):
        yield required(f"{here}.image", f"{here}.image must name an OCI image, e.g. registry.example/vm:1")
    file = disk.get("path")
    if file and (not file.startswith("/") or posixpath.normpath(file) != file.rstrip("/") or file == "/"):
        yield invalid(
            here,
            f'{here}.path: "{file}" must be an absolute path in the image, e.g. /disk/a.img',
        )
    policy = disk.get("imagePullPolicy")
    if policy and policy not in PULL_POLICIES:
        yield not_supported(
            f"{here}.imagePullPolicy",
            f'{here}.imagePullPolicy: "{policy}" is not one of {", ".join(PULL_POLICIES)}',
        )


def _empty_disk(volume: JsonObject, path: str) -> Iterator[StatusCause]:
    capacity = child(volume, "emptyDisk").get("capacity")
    if capacity is not None and quantity.parse(capacity) <= 0:
        yield invalid(f"{path}.emptyDisk.capacity", f"{path}.emptyDisk.capacity must be more than 0")


def _cloud_init(source: JsonObject, path: str) -> Iterator[StatusCause]:
    user = [key for key in ("secretRef", "userDataBase64", "userData") if source.get(key)]
    network = [key for key in ("networkDataSecretRef", "networkDataBase64", "networkData") if source.get(key)]
    if len(user) > 1:
        yield invalid(path, f"{path}: choose one of {', '.join(user)}")
    if len(network) > 1:
        yield invalid(path, f"{path}: choose one of {', '.join(network)}")
    if not user and not network:
        yield invalid(path, f"{path} is empty; give userData, userDataBase64, secretRef or network data")
    for key in ("userData", "networkData"):
        text = source.get(key)
        if text and len(text.encode()) > MAX_INLINE:
            yield invalid(path, f"{path}.{key} {_too_long(key)}")
        encoded = source.get(f"{key}Base64")
        if encoded:
            try:
                decoded = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                yield invalid(f"{path}.{key}Base64", f"{path}.{key}Base64 is not valid base64")
            else:
                if len(decoded) > MAX_INLINE:
                    yield invalid(path, f"{path}.{key}Base64 {_too_long(key)}")


def _too_long(key: str) -> str:
    reference = "secretRef" if key == "userData" else "networkDataSecretRef"
    return f"is longer than {MAX_INLINE} bytes; put it into a secret and name that in {reference}"
