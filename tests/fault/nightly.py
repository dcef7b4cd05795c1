"""How long the fault tests take: a sample in `make test`, all of it with EDGEVIRT_FAULT_LENGTH=nightly.

`seed()` is fresh in every run unless EDGEVIRT_FAULT_SEED gives one; tests print it, so that a failure can be
had again.
"""

from __future__ import annotations

import os
import random

NIGHTLY = os.environ.get("EDGEVIRT_FAULT_LENGTH", "") == "nightly"


def length(short: int, nightly: int) -> int:
    """A number of rounds, seconds or states."""
    return nightly if NIGHTLY else short


def seed() -> int:
    given = os.environ.get("EDGEVIRT_FAULT_SEED")
    chosen = int(given) if given else random.SystemRandom().randrange(2**32)
    print(f"EDGEVIRT_FAULT_SEED={chosen}")
    return chosen
