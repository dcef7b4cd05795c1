"""Pairs of streams of a port-forward over SPDY, as a client that means no good opens them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from edgevirt.engine.kubelet.streaming.portforward import Forwarder
from edgevirt.engine.kubelet.streaming.portforward_spdy import _Pairs
from edgevirt.engine.streams.spdy_connection import Connection, Stream

pytestmark = pytest.mark.unit


async def _nowhere(_: int) -> Any:
    raise OSError("nobody listens")


async def test_streams_that_are_refused_leave_nothing_behind() -> None:
    async with asyncio.TaskGroup() as tasks:
        pairs = _Pairs(Forwarder(_nowhere, "pod"), tasks)
        for number in range(100):
            headers = {"streamtype": ("x",), "requestid": (str(number),), "port": ("80",)}
            assert not pairs.opened(Stream(cast(Connection, None), number, headers))
        assert not pairs._waiting
        assert not pairs._timers
