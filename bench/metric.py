"""What every benchmark yields, and the two figures that sum up many samples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One measured figure; its text is the line that is printed."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} {self.unit}" if self.value < 1000 else self._large()

    def _large(self) -> str:
        return f"{self.name} {self.value:.0f} {self.unit}"


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(name: str, samples: Sequence[float], unit: str) -> Iterator[Metric]:
    """Median and 99th percentile; with fewer than a hundred samples the latter is the maximum."""
    if samples:
        yield Metric(f"{name}.p50", percentile(samples, 0.5), unit)
        yield Metric(f"{name}.p99", percentile(samples, 0.99), unit)
