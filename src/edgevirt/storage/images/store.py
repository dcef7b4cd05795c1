"""The images of one node, in one directory, shared safely by several processes.

    blobs/sha256/<hex>   manifests, configurations, disk files; layers while a pull is going on
    trees/<hex>/         one unpacked, merged root per image
    images/<hex>.json    the image's record, written last: what has no record does not exist
    names/<hash>.json    one per name: which image it means and where it came from
    holds/<hex>/<owner>  who uses an image; an image is deleted when neither named nor held
    tmp/                 work in progress, emptied at start

Everything is written under `tmp`, synced, and renamed. Changes to names and images are made under a file
lock, so the CLI may import while a kubelet pulls. The directory is for root only; files below a tree keep
the image's owners and modes, except that whatever lies in `disk/` is made readable to all, because the
guest's process (uid 107) reads it through a bind mount.

Images imported from a file, and all names below `localhost/`, are local: they are never asked from a
registry, and every pull policy, Always too, is satisfied by what is here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import dataclasses
import enum
import errno
import fcntl
import functools
import hashlib
import json
import os
import secrets as random
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgevirt.storage.images import disk, layout, names, skopeo
from edgevirt.storage.images.errors import BrokenImage, ImageError, ImageNotFound
from edgevirt.storage.images.host import HostImage
from edgevirt.storage.images.layers import TreeWriter
from edgevirt.storage.images.layout import ImageConfig

T = TypeVar("T")
_CHUNK = 4 << 20
_ANSWER_SECONDS = 60.0
_FICLONE = 0x40049409


class PullPolicy(enum.StrEnum):
    """Kubernetes' imagePullPolicy."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. `tree` is its read-only root; `host` is set for the host image instead.

    `id` is "sha256:<hex>" (of the configuration, of the disk file, or of the host image's description),
    `digest` the manifest's digest or "", `size` the bytes it takes on disk, `local` whether it was imported.
    """

    id: str
    name: str
    tree: Path
    size: int
    digest: str = ""
    local: bool = False
    config: ImageConfig = ImageConfig()
    host: HostImage | None = None


class ImageStore:
    """The node's images. One instance per process; methods belong to the event loop that uses it."""

    def __init__(
        self,
        root: Path,
        *,
        skopeo_program: str = "skopeo",
        qemu_img: str = "qemu-img",
        insecure_registries: frozenset[str] = frozenset(),
        pull_timeout: float = 1800.0,
        max_unpacked_bytes: int = 256 << 30,
    ) -> None:
        """Creates the directory if need be. `insecure_registries`: spoken to without TLS checks."""
        self.root = root
        self._skopeo = skopeo_program
        self._qemu_img = qemu_img
        self._insecure = insecure_registries
        self._pull_timeout = pull_timeout
        self._max_unpacked = max_unpacked_bytes
        self._host: dict[str, Image] = {}
        self._running: dict[str, asyncio.Task[Image]] = {}
        self._executor = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="images")
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        for name in ("blobs/sha256", "trees", "images", "names", "holds", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._sweep_tmp()

    # -- asking

    def resolve(self, name: str) -> Image | None:
        """The image `name` means here, without asking any registry. InvalidImageName if it is no name."""
        parsed = names.parse(name)
        if host := self._host.get(str(parsed)):
            return host
        entry = self._read(self._name_path(str(parsed)))
        if entry is None and parsed.digest and parsed.tag:
            entry = self._read(self._name_path(parsed.pullable))
        return self._load(entry) if entry else None

    def list(self) -> tuple[Image, ...]:
        """Every name with its image, sorted by name; an image with two names appears twice."""
        entries = (self._read(path) for path in sorted((self.root / "names").glob("*.json")))
        loaded = (self._load(entry) for entry in entries if entry)
        return tuple(sorted((i for i in (*self._host.values(), *loaded) if i), key=lambda image: image.name))

    # -- bringing in

    def register(self, name: str, host: HostImage) -> Image:
        """Make `name` mean the machine's own root; lasts as long as this instance."""
        parsed = names.parse(name)
        identity = hashlib.sha256(repr(host).encode()).hexdigest()
        config = ImageConfig(env=host.env, command=host.command)
        image = Image(f"sha256:{identity}", str(parsed), host.layer, 0, local=True, config=config, host=host)
        self._host[str(parsed)] = image
        return image

    async def import_disk(self, path: Path, name: str, fmt: str = "auto") -> Image:
        """Make the disk file at `path` the image `name`: a tree with the one file `disk/<file name>`.

        `fmt` is "qcow2", "raw" or "auto". The file is copied (by reflink where the file system can). A name
        that exists is moved to the new image. BrokenImage, InvalidImageName, OSError (no space).
        """
        parsed = names.parse(name)
        found = await disk.probe(path, fmt, program=self._qemu_img)
        extension = {"qcow2": ".qcow2", "raw": ".img"}[found.name]
        file_name = path.stem.lstrip(".").replace("/", "_") or "disk"
        return await self._work(
            functools.partial(self._import_file, path, str(parsed), f"{file_name}{extension}")
        )

    async def import_oci(self, path: Path, name: str) -> Image:
        """Import an OCI layout directory, an OCI archive or a docker archive with exactly one image."""
        parsed = names.parse(name)
        if not path.exists():
            raise BrokenImage(f"{path} does not exist")

        async def fetch(target: Path) -> None:
            await skopeo.unpack_archive(
                path, target, self.root / "blobs", program=self._skopeo, timeout=self._pull_timeout
            )

        return await self._bring(str(parsed), fetch, local=True)

    async def pull(
        self,
        reference: str,
        secrets: Sequence[skopeo.DockerConfig] = (),
        progress: skopeo.Progress | None = None,
    ) -> Image:
        """Fetch `reference` from its registry. Concurrent pulls of one name share one transfer.

        Raises ImageNotFound, ImageUnauthorized, RegistryUnreachable, RegistryUntrusted, PullFailed,
        BrokenImage. A transfer that is cut short continues with the layers it has.
        """
        parsed = names.parse(reference)
        if parsed.local:
            raise ImageNotFound(
                f"image {parsed} is local and not imported on this node; import it, no registry has it"
            )
        fingerprint = hashlib.sha256(repr([dict(s) for s in secrets]).encode()).hexdigest()
        key = f"{parsed} {fingerprint}"
        task = self._running.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._pull(parsed, secrets, progress))
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def ensure(
        self, reference: str, policy: PullPolicy, secrets: Sequence[skopeo.DockerConfig] = ()
    ) -> tuple[Image, bool]:
        """The image for a container under its pull policy, and whether a registry was asked."""
        present = self.resolve(reference)
        if present is not None and (present.local or policy is not PullPolicy.ALWAYS):
            return present, False
        if policy is PullPolicy.NEVER:
            raise ImageNotFound(
                f"image {names.parse(reference)} is not on this node and its pull policy is Never"
            )
        return await self.pull(reference, secrets), True

    async def close(self) -> None:
        """Stop transfers that are under way and wait for them."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._executor.shutdown(wait=True, cancel_futures=True)

    # -- letting go

    def hold(self, image: Image, owner: str) -> None:
        """Keep the image's tree until `release(owner)`, even if its name is removed. Idempotent."""
        if image.host is not None:
            return
        with self._locked():
            if not self._record_path(image.id).exists():
                raise ImageNotFound(f"image {image.name} was removed meanwhile")
            directory = self.root / "holds" / _hex(image.id)
            directory.mkdir(exist_ok=True)
            (directory / owner).touch()

    def release(self, owner: str) -> None:
        """Give up every hold of `owner`; images that are neither named nor held go at the next `collect`."""
        for directory in (self.root / "holds").iterdir():
            (directory / owner).unlink(missing_ok=True)

    def holders(self) -> frozenset[str]:
        """Everyone who holds an image, for finding those that are gone."""
        return frozenset(e.name for d in (self.root / "holds").iterdir() for e in d.iterdir())

    async def remove(self, name: str) -> None:
        """Forget `name` and delete what nothing refers to any more. ImageNotFound if unknown."""
        parsed = names.parse(name)
        with self._locked():
            try:
                self._name_path(str(parsed)).unlink()
            except FileNotFoundError as error:
                raise ImageNotFound(f"image {parsed} is not on this node") from error
        await self.collect()

    async def collect(self) -> int:
        """Delete images that are neither named nor held, and parts of no image. Returns bytes freed."""
        if self._running:
            return 0  # a transfer may rely on layers that no image refers to yet
        return await self._work(self._collect)

    # -- inside

    async def _work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def _forget(self, key: str, task: asyncio.Task[Image]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left to ask

    async def _pull(
        self,
        parsed: names.ImageName,
        secrets: Sequence[skopeo.DockerConfig],
        progress: skopeo.Progress | None,
    ) -> Image:
        insecure = parsed.registry in self._insecure
        digest = await skopeo.digest(
            parsed.pullable,
            program=self._skopeo,
            secrets=secrets,
            insecure=insecure,
            timeout=min(_ANSWER_SECONDS, self._pull_timeout),
        )
        if known := self._with_digest(digest):
            return self._name(str(parsed), known, digest, local=False)
        exact = f"{parsed.registry}/{parsed.repository}@{digest}"  # what was asked for, should a tag move

        async def fetch(target: Path) -> None:
            await skopeo.fetch(
                exact,
                target,
                self.root / "blobs",
                program=self._skopeo,
                secrets=secrets,
                insecure=insecure,
                timeout=self._pull_timeout,
                progress=progress,
            )

        return await self._bring(str(parsed), fetch, local=False, digest=digest)

    def _with_digest(self, digest: str) -> str:
        """The id of the image that came from a registry under this digest, or ""."""
        entries = (self._read(path) for path in (self.root / "names").glob("*.json"))
        for entry in entries:
            if entry and entry["digest"] == digest and self._record_path(entry["id"]).exists():
                return str(entry["id"])
        return ""

    async def _bring(
        self, name: str, fetch: Callable[[Path], Awaitable[None]], *, local: bool, digest: str = ""
    ) -> Image:
        work = self._new_work()
        try:
            with self._in_transfer():
                await fetch(work / "layout")
                return await self._work(functools.partial(self._install, work, name, local, digest))
        finally:
            await asyncio.shield(self._work(functools.partial(_delete, work)))

    def _install(self, work: Path, name: str, local: bool, digest: str) -> Image:
        blobs = self.root / "blobs"
        found = layout.read(work / "layout", blobs)
        record = self._read(self._record_path(found.config_digest))
        if record is None:
            tree = work / "tree"
            tree.mkdir()
            writer = TreeWriter(tree, self._max_unpacked)
            try:
                for part in found.layers:
                    try:
                        writer.apply(layout.blob_path(blobs, part), part)
                    except BrokenImage:
                        layout.blob_path(blobs, part).unlink(missing_ok=True)  # fetched anew next time
                        raise
            finally:
                writer.close()
            _let_guests_read(tree)
            record = {
                "id": found.config_digest,
                "size": writer.size,
                "digest": found.manifest_digest,
                "config": dataclasses.asdict(found.config),
                "blobs": [found.manifest_digest, found.config_digest],
            }
            self._commit(record, tree)
        return self._name(name, found.config_digest, digest or found.manifest_digest, local)

    def _import_file(self, path: Path, name: str, file_name: str) -> Image:
        work = self._new_work()
        try:
            tree = work / "tree"
            (tree / "disk").mkdir(parents=True)
            target = tree / "disk" / file_name
            digest = _copy(path, target)
            target.chmod(0o444)
            identity = f"sha256:{digest}"
            if self._read(self._record_path(identity)) is None:
                record = {
                    "id": identity,
                    "size": target.stat().st_blocks * 512,
                    "digest": "",
                    "config": {},
                    "blobs": [],
                }
                self._commit(record, tree)
            return self._name(name, identity, "", local=True)
        finally:
            _delete(work)

    def _commit(self, record: dict[str, Any], tree: Path) -> None:
        _sync_file_system(tree)
        target = self.root / "trees" / _hex(record["id"])
        with self._locked():
            if target.exists():
                if self._record_path(record["id"]).exists():
                    return
                _delete(target)
            tree.rename(target)
            _write(self._record_path(record["id"]), record)

    def _name(self, name: str, identity: str, digest: str, local: bool) -> Image:
        entry = {"name": name, "id": identity, "digest": digest, "local": local}
        with self._locked():
            _write(self._name_path(name), entry)
        image = self._load(entry)
        if image is None:
            raise ImageNotFound(f"image {name} was removed while it was brought in; try again")
        return image

    def _load(self, entry: dict[str, Any]) -> Image | None:
        record = self._read(self._record_path(entry["id"]))
        if record is None:
            return None
        stored = record["config"]
        config = ImageConfig(
            env=tuple((name, value) for name, value in stored.get("env", ())),
            entrypoint=tuple(stored.get("entrypoint", ())),
            command=tuple(stored.get("command", ())),
            user=stored.get("user", ""),
            working_dir=stored.get("working_dir", ""),
            stop_signal=stored.get("stop_signal", ""),
        )
        return Image(
            id=entry["id"],
            name=entry["name"],
            tree=self.root / "trees" / _hex(entry["id"]),
            size=record["size"],
            digest=entry["digest"],
            local=entry["local"],
            config=config,
        )

    def _collect(self) -> int:
        freed = 0
        with self._locked():
            if self._transfers_elsewhere():
                return 0
            entries = (self._read(path) for path in (self.root / "names").glob("*.json"))
            used = {_hex(entry["id"]) for entry in entries if entry}
            for directory in (self.root / "holds").iterdir():
                if any(directory.iterdir()):
                    used.add(directory.name)
                else:
                    directory.rmdir()
            kept: set[str] = set()
            for path in (self.root / "images").glob("*.json"):
                record = self._read(path)
                if path.stem in used and record:
                    kept.update(_hex(digest) for digest in record["blobs"])
                    continue
                path.unlink()  # first the record: a tree without one does not exist
                freed += record["size"] if record else 0
            for tree in (self.root / "trees").iterdir():
                if not (self.root / "images" / f"{tree.name}.json").exists():
                    _delete(tree)
            for blob in (self.root / "blobs" / "sha256").iterdir():
                if blob.name not in kept:
                    freed += blob.stat().st_size
                    blob.unlink()
        return freed

    def _new_work(self) -> Path:
        work = self.root / "tmp" / f"{os.getpid()}-{random.token_hex(6)}"
        work.mkdir()
        return work

    def _sweep_tmp(self) -> None:
        for path in (self.root / "tmp").iterdir():
            pid = path.name.partition("-")[0]
            if not pid.isdigit() or int(pid) == os.getpid() or not Path("/proc", pid).exists():
                _delete(path)

    @contextlib.contextmanager
    def _in_transfer(self) -> Iterator[None]:
        """A shared lock that tells a collector in another process to keep its hands off the layers."""
        with (self.root / "transfer.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def _transfers_elsewhere(self) -> bool:
        with (self.root / "transfer.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # held for milliseconds only
            yield

    def _name_path(self, name: str) -> Path:
        return self.root / "names" / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def _record_path(self, identity: str) -> Path:
        return self.root / "images" / f"{_hex(identity)}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ImageError(
                f"{path} is damaged; remove the file and import or pull the image again"
            ) from error
        return document if isinstance(document, dict) else None


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _write(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{random.token_hex(4)}")
    with temporary.open("w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _sync_file_system(path: Path) -> None:
    """Files of a tree are many; one syncfs is cheaper than an fsync each."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None).syncfs(fd) != 0:
            raise OSError(errno.EIO, "syncfs failed", str(path))
    finally:
        os.close(fd)


def _copy(source: Path, target: Path) -> str:
    """Copy sparsely, or clone where the file system can; returns the sha256 of the content."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            cloned = True
        except OSError:
            cloned = False
        zeros = bytes(_CHUNK)
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            if cloned:
                continue
            if chunk == zeros[: len(chunk)]:
                writer.seek(len(chunk), os.SEEK_CUR)
            else:
                writer.write(chunk)
        if not cloned:
            writer.truncate()
    return digest.hexdigest()


def _let_guests_read(tree: Path) -> None:
    directory = tree / "disk"
    if not directory.is_dir() or directory.is_symlink():
        return
    directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o555)
    for entry in os.scandir(directory):
        if entry.is_file(follow_symlinks=False):
            os.chmod(entry.path, stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode) | 0o444)
