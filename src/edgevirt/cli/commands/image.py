"""`edgevirt image build | import | list | remove`: the disk images of this machine.

An image is named in a machine's `containerDisk.image`. What is built or imported here exists only here and
is never asked of a registry.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgevirt.cli import instance
from edgevirt.cli.errors import CommandError
from edgevirt.cli.output import output_option, show, table

if TYPE_CHECKING:
    from edgevirt.storage.images.store import Image, ImageStore

T = TypeVar("T")


@click.group("image")
def image_command() -> None:
    """Build, import, list and remove disk images of this machine."""


@image_command.command("build")
@click.argument("guest")
@click.option("--name", help="Name of the image. Default: the guest's own name.")
@output_option
def build_command(guest: str, name: str | None, output: str) -> None:
    """Build GUEST (tiny, tiny-pc or debian) from Debian's packages and import it.

    tiny boots in seconds and has an agent and an HTTP server; tiny-pc is the same with drivers for e1000 and
    SATA; debian is Debian 12 with cloud-init.
    """
    from edgevirt.storage.guests import built
    from edgevirt.storage.guests.tools import BuildError

    layout = instance.layout()
    _need_root("building an image")
    try:
        with built(guest, layout.guests, say=lambda words: click.echo(f"{words} ...", err=True)) as disk:
            image = _with_store(lambda store: store.import_disk(disk, name or guest))
    except BuildError as error:
        raise CommandError(f"{guest} could not be built: {error}") from error
    show(_described(image), output, lambda result: f"Built {result['name']} ({result['size']} bytes).")


@image_command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("name")
@output_option
def import_command(path: Path, name: str, output: str) -> None:
    """Import the qcow2 or raw disk, or the OCI archive or directory, at PATH as NAME."""
    if not path.exists():
        raise CommandError(f"there is no file {path}", "give the path of a disk or an OCI archive")
    _need_root("importing an image")

    async def bring(store: ImageStore) -> Image:
        is_oci = path.is_dir() or path.suffix in (".tar", ".oci")
        image = await (store.import_oci(path, name) if is_oci else store.import_disk(path, name))
        await store.collect()  # what the name meant before
        return image

    image = _with_store(bring)
    show(_described(image), output, lambda result: f"Imported {result['name']} ({result['size']} bytes).")


@image_command.command("list")
@output_option
def list_command(output: str) -> None:
    """List the images of this machine."""
    _need_root("reading the image store")

    async def listed(store: ImageStore) -> list[dict[str, Any]]:
        return [_described(image) for image in store.list()]

    def text(images: list[dict[str, Any]]) -> str:
        if not images:
            return "No images. Build one with: edgevirt image build tiny"
        rows = [(image["name"], image["id"][7:19], f"{image['size'] / 2**20:.0f} MiB") for image in images]
        return table(("NAME", "ID", "SIZE"), rows)

    show(_with_store(listed), output, text)


@image_command.command("remove")
@click.argument("name")
@output_option
def remove_command(name: str, output: str) -> None:
    """Remove the image NAME. Running machines keep what they use."""
    _need_root("removing an image")
    _with_store(lambda store: store.remove(name))
    show({"name": name, "removed": True}, output, lambda result: f"Removed {result['name']}.")


def _with_store(work: Callable[[ImageStore], Awaitable[T]]) -> T:
    """Do `work` with this machine's store; its errors become errors of the command."""
    from edgevirt.storage.images.errors import ImageError
    from edgevirt.storage.images.store import ImageStore

    async def opened() -> T:
        store = ImageStore(instance.layout().images)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(opened())
    except ImageError as error:
        raise CommandError(str(error), "edgevirt image list") from error
    except OSError as error:
        images = instance.layout().images
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CommandError(
                f"the disk of {images} is full; nothing was kept", f"df -h {images}"
            ) from error
        raise CommandError(f"the image store {images} cannot be used: {error}", f"ls -l {images}") from error


def _described(image: Image) -> dict[str, Any]:
    return {"name": image.name, "id": image.id, "size": image.size, "local": image.local}


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise CommandError(f"{what} needs root", "run the same command with sudo")
