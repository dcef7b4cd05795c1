"""Reading an OCI image layout with a shared blob directory: which layers, and how the image wants to run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from edgevirt.storage.images.errors import BrokenImage

_MAX_DOCUMENT = 8 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image is started when the pod does not say otherwise."""

    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """One image of a layout. Digests are "sha256:<hex>"; `layers` lowest first."""

    manifest_digest: str
    config_digest: str
    layers: tuple[str, ...]
    config: ImageConfig
    architecture: str


def blob_path(blobs: Path, digest: str) -> Path:
    """Where the blob lies; BrokenImage for anything that is not a sha256 digest."""
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not all(c in "0123456789abcdef" for c in value):
        raise BrokenImage(f"{digest!r} is not a sha256 digest")
    return blobs / "sha256" / value


def read(layout: Path, blobs: Path) -> Layout:
    """The single image that the layout's index names."""
    index = _document(layout / "index.json")
    manifests = index.get("manifests", [])
    if len(manifests) != 1:
        raise BrokenImage(f"the image index names {len(manifests)} images, expected one")
    manifest_digest = str(manifests[0].get("digest", ""))
    manifest = _document(blob_path(blobs, manifest_digest))
    try:
        config_digest = str(manifest["config"]["digest"])
        layers = tuple(str(layer["digest"]) for layer in manifest["layers"])
    except (KeyError, TypeError) as error:
        raise BrokenImage("the image manifest names no config or no layers") from error
    document = _document(blob_path(blobs, config_digest))
    return Layout(
        manifest_digest, config_digest, layers, _config(document), str(document.get("architecture", ""))
    )


def _config(document: dict[str, Any]) -> ImageConfig:
    inner = document.get("config") or {}
    env = (str(entry).partition("=") for entry in inner.get("Env") or ())
    return ImageConfig(
        env=tuple((name, value) for name, _, value in env),
        entrypoint=tuple(map(str, inner.get("Entrypoint") or ())),
        command=tuple(map(str, inner.get("Cmd") or ())),
        user=str(inner.get("User") or ""),
        working_dir=str(inner.get("WorkingDir") or ""),
        stop_signal=str(inner.get("StopSignal") or ""),
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_DOCUMENT + 1)
    except FileNotFoundError as error:
        raise BrokenImage(f"the image misses its part {path.name}") from error
    if len(data) > _MAX_DOCUMENT:
        raise BrokenImage(f"image document {path.name} is larger than {_MAX_DOCUMENT >> 20} MiB")
    try:
        document = json.loads(data)
    except ValueError as error:
        raise BrokenImage(f"image document {path.name} is not JSON") from error
    if not isinstance(document, dict):
        raise BrokenImage(f"image document {path.name} is not an object")
    return document
