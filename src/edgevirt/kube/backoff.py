"""Exponential back-off with jitter: how long to wait before the next attempt.

Jitter is added, never subtracted, so the first retry is never immediate; it keeps many clients from returning
at once when an API server comes back. The source of randomness is injected.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """`base` seconds, times `factor` per failure, at most `cap`; plus up to `jitter` times the delay."""

    base: float = 0.05
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 0.5

    def delay(self, failures: int, random_: Callable[[], float] = random.random) -> float:
        """Seconds to wait after the given number of failures in a row (0 = none before this one)."""
        # A large exponent would overflow a float long before the cap is of any interest.
        plain = min(self.cap, self.base * self.factor ** min(failures, 64))
        return plain * (1.0 + self.jitter * random_())


class Backoff:
    """Counts failures in a row of one activity and turns them into delays."""

    def __init__(
        self, policy: BackoffPolicy | None = None, *, random_: Callable[[], float] = random.random
    ) -> None:
        self._policy = policy or BackoffPolicy()
        self._random = random_
        self.failures = 0

    def next(self) -> float:
        """Seconds to wait now; the next call returns more."""
        delay = self._policy.delay(self.failures, self._random)
        self.failures += 1
        return delay

    def reset(self) -> None:
        """It worked again."""
        self.failures = 0
