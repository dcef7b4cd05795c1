"""A kubelet in a process of its own, to be killed: `python victim.py settings.json manifests.json [delete]`.

Prints "ready" when it is in charge and "running" when every pod reported Running; with `delete` their
deletion is asked for then.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

for level in (2, 1):
    sys.path.insert(0, str(Path(__file__).parents[level]))

from kubelet.conftest import Node, settings_from  # noqa: E402


async def main() -> None:
    node = Node(settings_from(json.loads(Path(sys.argv[1]).read_text())))
    await node.start()
    print("ready", flush=True)
    pods = [node.api.add(manifest) for manifest in json.loads(Path(sys.argv[2]).read_text())]
    await node.api.until(lambda: all(node.api.phase(pod) == "Running" for pod in pods))
    print("running", flush=True)
    if "delete" in sys.argv:
        for pod in pods:
            node.api.ask_deletion(pod, 30)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
