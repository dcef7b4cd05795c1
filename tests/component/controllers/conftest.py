"""One small cluster per module; each test has a namespace of its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from small_cluster import SmallCluster, small_cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SmallCluster]:
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(self.format(record))

    listener = Listener(logging.ERROR)
    logging.getLogger("edgevirt").addHandler(listener)
    try:
        async with small_cluster(tmp_path_factory.mktemp("cluster")) as one:
            yield one
    finally:
        logging.getLogger("edgevirt").removeHandler(listener)
    assert not complaints, "\n".join(complaints)
