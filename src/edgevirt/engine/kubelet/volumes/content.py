"""Files of volumes that carry API data: configMap, secret, downwardAPI and projected.

`build` says which files a volume has; `write` puts them in place the way every kubelet does, so that a
reader never sees half of an update: a hidden directory with the files, the link `..data` to it that is
replaced by rename, and one link per top-level name.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgevirt.api import core
from edgevirt.engine.kubelet.fields import NodeFacts, field_value, resource_value
from edgevirt.engine.kubelet.references import MissingReference, References

_DEFAULT_MODE = 0o644
_DEFAULT_EXPIRATION = 3607
_DATA = "..data"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """The files of a volume by relative path, and when a token in it is due (Unix time, 0: never)."""

    files: dict[str, File]
    refresh_at: float = 0.0


class BadVolume(Exception):
    """The volume's description cannot be followed; names volume and field."""


async def build(
    pod: core.Pod, volume: core.Volume, references: References, node: NodeFacts, addresses: tuple[str, ...]
) -> Content:
    """The volume's files. MissingReference, UnknownField or BadVolume say why not."""
    if volume.config_map:
        source = volume.config_map
        files = await _config_map(source.name, source.items, source.optional, source.default_mode, references)
        return Content(files)
    if volume.secret:
        wanted = volume.secret
        files = await _secret(
            wanted.secret_name, wanted.items, wanted.optional, wanted.default_mode, references
        )
        return Content(files)
    if volume.downward_api:
        downward = volume.downward_api
        return Content(_downward(pod, downward.items, downward.default_mode, node, addresses))
    if volume.projected:
        return await _projected(pod, volume.projected, references, node, addresses)
    raise BadVolume(f"volume {volume.name} has no files of its own")


async def _projected(
    pod: core.Pod,
    source: core.ProjectedVolumeSource,
    references: References,
    node: NodeFacts,
    addresses: tuple[str, ...],
) -> Content:
    files: dict[str, File] = {}
    refresh_at = 0.0
    mode = source.default_mode
    for part in source.sources:
        if part.config_map:
            more = part.config_map
            files |= await _config_map(more.name, more.items, more.optional, mode, references)
        if part.secret:
            wanted = part.secret
            files |= await _secret(wanted.name, wanted.items, wanted.optional, mode, references)
        if part.downward_api:
            files |= _downward(pod, part.downward_api.items, mode, node, addresses)
        if part.service_account_token:
            wish = part.service_account_token
            token = await references.token(wish.audience, wish.expiration_seconds or _DEFAULT_EXPIRATION)
            files[check_path(wish.path)] = File(token.value.encode(), 0o600)
            refresh_at = min(refresh_at or token.refresh_at, token.refresh_at)
    return Content(files, refresh_at)


async def _config_map(
    name: str,
    items: tuple[core.KeyToPath, ...],
    optional: bool | None,
    mode: int | None,
    references: References,
) -> dict[str, File]:
    found = await references.config_map(name)
    if found is None:
        if optional:
            return {}
        raise MissingReference(f'configmap "{name}" not found')
    data = {key: value.encode() for key, value in found.data.items()} | found.binary_data
    return _pick("configmap references non-existent config", data, items, optional, mode)


async def _secret(
    name: str,
    items: tuple[core.KeyToPath, ...],
    optional: bool | None,
    mode: int | None,
    references: References,
) -> dict[str, File]:
    found = await references.secret(name)
    if found is None:
        if optional:
            return {}
        raise MissingReference(f'secret "{name}" not found')
    return _pick("references non-existent secret", found.data, items, optional, mode)


def _pick(
    what: str,
    data: Mapping[str, bytes],
    items: tuple[core.KeyToPath, ...],
    optional: bool | None,
    mode: int | None,
) -> dict[str, File]:
    default = _DEFAULT_MODE if mode is None else mode
    if not items:
        return {check_path(key): File(value, default) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise MissingReference(f"{what} key: {item.key}")
        files[check_path(item.path)] = File(data[item.key], default if item.mode is None else item.mode)
    return files


def _downward(
    pod: core.Pod,
    items: tuple[core.DownwardAPIVolumeFile, ...],
    mode: int | None,
    node: NodeFacts,
    addresses: tuple[str, ...],
) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in items:
        if item.field_ref:
            value = field_value(pod, item.field_ref, node, addresses)
        elif item.resource_field_ref:
            value = resource_value(pod, item.resource_field_ref, node)
        else:
            raise BadVolume(f"downward API file {item.path!r} names neither a field nor a resource")
        wanted = item.mode if item.mode is not None else (_DEFAULT_MODE if mode is None else mode)
        files[check_path(item.path)] = File(value.encode(), wanted)
    return files


def check_path(path: str) -> str:
    """The normalised relative path; BadVolume for one that would leave the volume."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise BadVolume(f"{path!r} is not a path below the volume")
    return "/".join(part for part in parts if part not in ("", "."))


def write(directory: Path, content: Content, *, group: int | None = None, user: int | None = None) -> bool:
    """Make `directory` show exactly these files; False if it already does.

    `group` (the pod's fsGroup) gets read access; `user` owns files that only their owner may read.
    """
    current = directory / _DATA
    if current.is_symlink() and _same(current, content.files, group):
        return False
    stamp = directory / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.monotonic_ns()}"
    stamp.mkdir(mode=0o755)
    stamp.chmod(0o755)
    for path, file in content.files.items():
        target = stamp / path
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(file, group)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(file.data)
            if group is not None or (user is not None and file.mode & 0o077 == 0):
                os.fchown(
                    out.fileno(),
                    user if user is not None and file.mode & 0o077 == 0 else -1,
                    -1 if group is None else group,
                )
            os.fchmod(out.fileno(), mode)
    previous = os.readlink(current) if current.is_symlink() else ""
    temporary = directory / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(stamp.name)
    temporary.rename(current)
    names = {path.split("/")[0] for path in content.files}
    _link(directory, names)
    if previous:
        shutil.rmtree(directory / previous, ignore_errors=True)
    return True


def _mode(file: File, group: int | None) -> int:
    """Permissions and nothing else: the files are root's, and none of them is to lend that to who runs it."""
    return file.mode & 0o777 | (0o440 if group is not None else 0)


def _link(directory: Path, names: Iterable[str]) -> None:
    wanted = set(names)
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")


def _same(current: Path, files: Mapping[str, File], group: int | None) -> bool:
    here = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    if here != set(files):
        return False
    for path, file in files.items():
        target = current / path
        if target.stat().st_mode & 0o7777 != _mode(file, group) or target.read_bytes() != file.data:
            return False
    return True
