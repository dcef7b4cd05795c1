"""Image names, read the way container tools read them.

`name[:tag][@digest]`. The first component is a registry when it has a dot, a colon or is `localhost`;
otherwise the registry is docker.io, where a single-component name lives below `library/`. Without tag and
digest the tag is `latest`. Names below `localhost/` are local: they exist only by import and are never
asked from a registry.
"""

from __future__ import annotations

import dataclasses
import re

from edgevirt.storage.images.errors import InvalidImageName

DEFAULT_REGISTRY = "docker.io"
_MAX_LENGTH = 255
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_REGISTRY = re.compile(
    r"(?:localhost|(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class ImageName:
    """A normalised image name. `tag` or `digest` may be "", never both."""

    registry: str
    repository: str
    tag: str
    digest: str

    def __str__(self) -> str:
        """The full form: `docker.io/library/busybox:latest`."""
        text = f"{self.registry}/{self.repository}"
        if self.tag:
            text += f":{self.tag}"
        if self.digest:
            text += f"@{self.digest}"
        return text

    @property
    def local(self) -> bool:
        """True for names that no registry is asked for."""
        return self.registry == "localhost"

    @property
    def pullable(self) -> str:
        """The form given to a registry: a digest wins over a tag."""
        if self.digest:
            return f"{self.registry}/{self.repository}@{self.digest}"
        return str(self)


def parse(text: str) -> ImageName:
    """Normalise `text`; InvalidImageName says which part is wrong."""
    if not text or len(text) > _MAX_LENGTH:
        raise InvalidImageName(f"image name {text[:60]!r} is empty or longer than {_MAX_LENGTH} characters")
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise InvalidImageName(
            f"image name {text!r}: digest {digest!r} is not sha256: followed by 64 hexadecimal digits"
        )
    tag = ""
    head, colon, tail = rest.rpartition(":")
    if colon and "/" not in tail:
        rest, tag = head, tail
        if not _TAG.fullmatch(tag):
            raise InvalidImageName(f"image name {text!r}: {tag!r} is not a tag")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, remainder
    else:
        registry, repository = DEFAULT_REGISTRY, rest
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not _REGISTRY.fullmatch(registry):
        raise InvalidImageName(f"image name {text!r}: {registry!r} is not a registry address")
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise InvalidImageName(
                f"image name {text!r}: {component!r} is not a repository name"
                " (lower case letters, digits, and single . _ - between them)"
            )
    return ImageName(registry, repository, tag or ("" if digest else "latest"), digest)
