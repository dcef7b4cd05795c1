"""Loading packet filter rules: what goes in, and what is said when it fails. Programs in nft's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevirt.linux import nft

pytestmark = pytest.mark.unit


def program(directory: Path, script: str) -> str:
    path = directory / "nft"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_script_is_read_from_stdin(tmp_path: Path) -> None:
    nft.load("add table ip x\n", program=program(tmp_path, f'[ "$*" = "-f -" ] && cat > {tmp_path}/got'))
    assert (tmp_path / "got").read_text() == "add table ip x\n"


def test_a_refusal_has_nfts_own_words(tmp_path: Path) -> None:
    with pytest.raises(nft.NftError, match="refused the rules: syntax error, line 1"):
        nft.load(
            "nonsense", program=program(tmp_path, "cat > /dev/null; echo syntax error, line 1 >&2; exit 1")
        )


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(nft.NftError, match=r"could not run .*/none: .*; install nftables"):
        nft.load("", program=str(tmp_path / "none"))


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(nft.NftError, match=r"did not end within 0\.2 s"):
        nft.load("", program=program(tmp_path, "sleep 60 & wait"), deadline=0.2)
