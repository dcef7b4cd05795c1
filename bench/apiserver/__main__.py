"""`python -m bench.apiserver [--kubeconfig FILE [--pids PID,...] | --alone]`: see the package."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import instance
from bench.apiserver import alone
from bench.apiserver.run import PARTS, Plan, run
from bench.apiserver.verbs import SIZES, VERBS
from bench.instance import BenchError
from edgevirt.kube.errors import ConfigError, KubeError


def main(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    plan = Plan(
        seconds=chosen.seconds,
        connections=tuple(int(text) for text in _names(chosen.connections)),
        sizes=_of(chosen.sizes, tuple(SIZES)),
        verbs=_of(chosen.verbs, VERBS),
        parts=_of(chosen.parts, PARTS),
        settle=chosen.settle,
    )
    try:
        with contextlib.ExitStack() as stack:
            if chosen.alone:
                path, pid = stack.enter_context(alone.started(chosen.source))
                pids: tuple[int, ...] = (pid,)
            elif chosen.kubeconfig:
                path, pids = chosen.kubeconfig, tuple(int(text) for text in _names(chosen.pids))
            else:
                path, pids = instance.layout().admin_kubeconfig, (instance.processes()["control-plane"],)
            run(path, dataclasses.replace(plan, pids=pids), lambda metric: print(metric, flush=True))
    except (BenchError, ConfigError, KubeError, OSError) as error:
        print(f"bench.apiserver: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench.apiserver: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.apiserver", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="whose server to load (default: the local instance)")
    parser.add_argument("--pids", default="", help="the server's processes, for CPU per request and PSS")
    parser.add_argument("--alone", action="store_true", help="load an API server made for this run")
    parser.add_argument("--source", type=Path, help="with --alone: the src folder of the server to run")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="per figure")
    parser.add_argument("--connections", default=",".join(map(str, Plan.connections)))
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--settle", type=float, default=0.0, help="seconds to wait before the last PSS")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _of(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(_names(text))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"bench.apiserver: unknown {', '.join(unknown)}; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
