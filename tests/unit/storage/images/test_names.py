"""Image names are normalised as every container tool does."""

from __future__ import annotations

import pytest

from edgevirt.storage.images.errors import InvalidImageName
from edgevirt.storage.images.names import parse

pytestmark = pytest.mark.unit
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"),
        ("quay.io/org/app:v1", "quay.io/org/app:v1"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        (f"quay.io/a/b:v1@{DIGEST}", f"quay.io/a/b:v1@{DIGEST}"),
        ("index.docker.io/library/x", "docker.io/library/x:latest"),
        ("edgevirt.host/root:latest", "edgevirt.host/root:latest"),
    ],
)
def test_name_is_normalised(text: str, full: str) -> None:
    assert str(parse(text)) == full
    assert str(parse(full)) == full


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("UPPER", "UPPER"),
        ("a/../b", "'..'"),
        ("a:bad tag", "bad tag"),
        ("a@sha256:short", "digest"),
        ("a//b", "''"),
        ("-x/y", "-x"),
    ],
)
def test_bad_name_says_which_part(text: str, part: str) -> None:
    with pytest.raises(InvalidImageName, match=part.replace(".", r"\.")):
        parse(text)


def test_only_names_below_localhost_are_local() -> None:
    assert parse("localhost/a").local
    assert not parse("localhost:5000/a").local


def test_digest_wins_over_tag_when_pulling() -> None:
    assert parse(f"quay.io/a:v1@{DIGEST}").pullable == f"quay.io/a@{DIGEST}"
