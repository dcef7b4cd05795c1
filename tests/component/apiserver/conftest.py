"""A real API server over TLS for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server_under_test import Running, make_pki, running


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(make_pki(tmp_path)) as api:
        yield api
