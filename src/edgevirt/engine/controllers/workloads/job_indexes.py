"""The completion indexes of an indexed job, and how a status writes them: "0-2,4"."""

from __future__ import annotations

from collections.abc import Iterable

from edgevirt.api.core import Pod

INDEX = "batch.kubernetes.io/job-completion-index"


def index_of(pod: Pod) -> int:
    """-1 for a pod that has none."""
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isdecimal() else -1


def parse(text: str, completions: int) -> frozenset[int]:
    """The indexes below `completions` that a status names."""
    found: set[int] = set()
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(index for index in found if index < completions)


def written(indexes: Iterable[int]) -> str:
    """Runs of two are written apart, longer ones as a range."""
    pieces: list[str] = []
    run: list[int] = []
    for index in sorted(indexes):
        if run and index != run[-1] + 1:
            pieces.append(_run(run))
            run = []
        run.append(index)
    if run:
        pieces.append(_run(run))
    return ",".join(pieces)


def _run(run: list[int]) -> str:
    if len(run) == 1:
        return str(run[0])
    return f"{run[0]},{run[1]}" if len(run) == 2 else f"{run[0]}-{run[-1]}"
