"""A small OCI image made of this machine's static busybox: what pods of tests run when no guest is needed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")


def busybox_image(directory: Path) -> Path:
    """An OCI layout with busybox as its only content."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    tree = directory.parent / f"{directory.name}-tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin" / "busybox")
    shown = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    for name in shown.stdout.split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")
    for name in ("etc", "proc", "sys", "dev", "tmp"):
        (tree / name).mkdir()
    (tree / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1234:5678::/home/app:/bin/sh\n")
    (tree / "etc" / "group").write_text("root:x:0:\napp:x:5678:\n")
    layer = directory / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        archive.add(tree, arcname=".")
    digest = _blob(blobs, layer.read_bytes())
    layer.unlink()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["FROM_IMAGE=yes"], "Cmd": ["/bin/sh", "-c", "echo default"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    config_digest = _blob(blobs, json.dumps(config).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor(blobs, config_digest, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(blobs, digest, "application/vnd.oci.image.layer.v1.tar")],
    }
    manifest_digest = _blob(blobs, json.dumps(manifest).encode())
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(blobs, manifest_digest, "application/vnd.oci.image.manifest.v1+json")],
    }
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return directory


def _blob(blobs: Path, data: bytes) -> str:
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return f"sha256:{name}"


def _descriptor(blobs: Path, digest: str, media_type: str) -> dict[str, Any]:
    size = (blobs / digest.removeprefix("sha256:")).stat().st_size
    return {"mediaType": media_type, "digest": digest, "size": size}
