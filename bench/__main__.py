"""`python -m bench [NAME...]`: run the named benchmarks, all of them without names, in this order.

They measure the instance of $EDGEVIRT_ROOT (or of /), which must be up and have the guest image `tiny`.
Figures are facts about one machine at one time: nothing here passes or fails.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from bench import apiserver, coldstart, idle, overhead, start
from bench.instance import BenchError
from bench.metric import Metric

BENCHMARKS: dict[str, Callable[[], Coroutine[Any, Any, Iterator[Metric]]]] = {
    "cold-start": coldstart.measure,
    "idle": idle.measure,
    "apiserver": apiserver.measure,
    "start": start.measure_in_a_row,
    "burst": start.measure_at_once,
    "http": start.measure_http,
    "overhead": overhead.measure,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"bench: no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        try:
            for metric in asyncio.run(BENCHMARKS[name]()):
                print(metric, flush=True)
        except BenchError as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
