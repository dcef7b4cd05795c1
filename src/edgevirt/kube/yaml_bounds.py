"""Bounds of YAML that comes from others; to be checked before anything is built from it.

The library builds a tree by recursion in C: a document nested deeply enough overflows the stack and ends the
process, and a few lines of aliases to aliases become more nodes than memory holds. So the events of a
document, which come one by one, are counted first.
"""

from __future__ import annotations

import yaml

MAX_DEPTH = 1_000
"""Of mappings and sequences in one another."""
MAX_ALIASED = 100_000
"""Nodes that aliases may stand for, beyond those written out."""


def check_bounds(body: bytes) -> None:
    """Raises `ValueError` for a document that is too deep or whose aliases stand for too much.

    Raises `yaml.YAMLError` for what is no YAML.
    """
    loader = yaml.CSafeLoader(body)
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    written = aliased = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.AliasEvent):
                aliased += sizes.get(str(event.anchor), 0)
                if aliased > MAX_ALIASED:
                    raise ValueError("yaml: document contains excessive aliasing")
            elif isinstance(event, yaml.ScalarEvent):
                written += 1
                if event.anchor:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(open_nodes) == MAX_DEPTH:
                    raise ValueError(f"yaml: exceeded max depth of {MAX_DEPTH}")
                open_nodes.append((event.anchor, written + aliased))
                written += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = written + aliased - before
    finally:
        loader.dispose()
