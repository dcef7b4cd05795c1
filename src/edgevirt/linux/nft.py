"""Loading nftables rules: one script, one transaction, in the network namespace of the calling thread."""

from __future__ import annotations

import os
import signal
import subprocess

_DEADLINE = 10.0
_MAX_MESSAGE = 2000
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class NftError(Exception):
    """nft refused the script or could not be run; the message carries its own words."""


def load(script: str, *, program: str = "nft", deadline: float = _DEADLINE) -> None:
    """Apply all of `script` or nothing. Blocks up to `deadline` seconds; raises NftError."""
    try:
        process = subprocess.Popen(
            [program, "-f", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=_ENVIRONMENT,
            process_group=0,
        )
    except OSError as error:
        raise NftError(f"could not run {program}: {error.strerror}; install nftables") from error
    with process:
        try:
            _, errors = process.communicate(script, deadline)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise NftError(f"{program} did not end within {deadline:g} s") from error
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        raise NftError(f"{program} refused the rules: {errors.strip()[:_MAX_MESSAGE]}")
