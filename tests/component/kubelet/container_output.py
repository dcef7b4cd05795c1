"""What a container under test has written."""

from __future__ import annotations

import asyncio
from typing import Any

from edgevirt.engine.kubelet import logs
from edgevirt.engine.kubelet.pod import PodWorker

from .conftest import Node


async def output(node: Node, pod: Any, container: str = "main", **query: Any) -> str:
    """All of it so far."""
    worker = node.pods.get("default", pod.metadata.name)
    assert isinstance(worker, PodWorker)
    found = worker.log_of(container)
    assert found
    chunks = [chunk async for chunk in logs.read(found[0], logs.LogQuery(**query), found[1])]
    return b"".join(chunks).decode()


async def said(node: Node, pod: Any, text: str) -> None:
    """Wait until the container has written `text`."""
    worker = node.pods.get("default", pod.metadata.name)
    assert isinstance(worker, PodWorker)
    found = worker.log_of("main")
    assert found
    seen = b""
    async with asyncio.timeout(20):
        async for chunk in logs.read(found[0], logs.LogQuery(follow=True), found[1]):
            seen += chunk
            if text.encode() in seen:
                return
    raise AssertionError(f"the container ended without saying {text!r}: {seen!r}")
