"""Which fields of the KubeVirt API this release implements, as the page docs/compatibility.md.

`python -m edgevirt.api.compatibility` prints the page. It is made from the types and from the table in
`edgevirt.api.kubevirt.supported`, so it cannot claim what admission refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from edgevirt.api.crd import structural_schema
from edgevirt.api.kubevirt import supported
from edgevirt.api.kubevirt.installation import KubeVirtSpec
from edgevirt.api.kubevirt.instance import VirtualMachineInstanceSpec
from edgevirt.api.kubevirt.machine import VirtualMachineSpec
from edgevirt.api.kubevirt.supported import Supported
from edgevirt.api.meta import Struct

_INTRODUCTION: Final = """\
# Compatibility

edgevirt serves KubeVirt's API, `kubevirt.io/v1` and `kubevirt.io/v1alpha3`, with KubeVirt's complete
schema. This page lists which fields are implemented. A field that is not is refused when the object is
created, with its path and "not supported yet"; nothing is accepted and then ignored.

Which clients are tested unmodified, and with what, is in [clients.md](clients.md), made from the tests.

This page is generated: `python -m edgevirt.api.compatibility > docs/compatibility.md`.
"""


def leaf_paths(type: type[Struct]) -> tuple[str, ...]:
    """Every leaf below an API type: scalars, quantities, maps and empty objects; lists marked by `[]`."""
    return tuple(_leaves(structural_schema(type), ""))


def page() -> str:
    """The whole page as Markdown."""
    parts = [_INTRODUCTION]
    parts += _section(
        "VirtualMachineInstance", "spec.", leaf_paths(VirtualMachineInstanceSpec), supported.INSTANCE
    )
    template = "template.spec."
    parts += _section(
        "VirtualMachine",
        "spec.",
        [path for path in leaf_paths(VirtualMachineSpec) if not path.startswith(template)],
        [line for line in supported.MACHINE if not line.path.startswith(template)],
        remark="`spec.template.spec` is the spec of a VirtualMachineInstance, above.",
    )
    parts += _section("KubeVirt", "spec.", leaf_paths(KubeVirtSpec), supported.CONFIGURATION)
    return "\n".join(parts)


def _section(
    kind: str, prefix: str, leaves: Sequence[str], table: Sequence[Supported], remark: str = ""
) -> Iterator[str]:
    covered = [leaf for leaf in leaves if _line(leaf, table)]
    yield f"## {kind}\n"
    yield f"{len(covered)} of {len(leaves)} fields.\n"
    if remark:
        yield f"{remark}\n"
    yield "| implemented | |\n|---|---|"
    for line in table:
        yield f"| `{prefix}{line.path}` | {_restriction(line)} |"
    yield "\n| not implemented yet | fields |\n|---|---|"
    for path, count in _collapsed(leaves, covered):
        yield f"| `{prefix}{path}` | {count} |"
    yield ""


def _line(leaf: str, table: Iterable[Supported]) -> Supported | None:
    for line in table:
        # A path covers its leaves; a line may also name a key inside a map, which is one leaf here.
        if leaf == line.path or (line.deep and leaf.startswith((f"{line.path}.", f"{line.path}[]"))):
            return line
        if line.path.startswith(f"{leaf}."):
            return line
    return None


def _restriction(line: Supported) -> str:
    words = []
    if line.values:
        values = ", ".join(str(value).lower() if isinstance(value, bool) else value for value in line.values)
        words.append(f"only {values}")
    if line.note:
        words.append(line.note)
    return "; ".join(words)


def _collapsed(leaves: Sequence[str], covered: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The shortest paths below which nothing is implemented, each with the number of its leaves."""
    alive = {ancestor for leaf in covered for ancestor in _ancestors(leaf)}
    counts: dict[str, int] = {}
    for leaf in leaves:
        if leaf in covered:
            continue
        top = next(ancestor for ancestor in _ancestors(leaf) if ancestor not in alive)
        counts[top] = counts.get(top, 0) + 1
    return iter(counts.items())


def _ancestors(path: str) -> list[str]:
    steps = path.split(".")
    return [".".join(steps[: end + 1]) for end in range(len(steps))]


def _leaves(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if schema.get("type") == "array":
        yield from _leaves(schema["items"], f"{path}[]")
    elif properties := schema.get("properties"):
        for name, below in properties.items():
            yield from _leaves(below, f"{path}.{name}" if path else name)
    else:
        yield path


if __name__ == "__main__":
    sys.stdout.write(page())
