"""What stands around every request costs nothing once the request is over."""

from __future__ import annotations

import gc

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from edgevirt.engine.apiserver.http.metrics import RequestMetrics
from edgevirt.engine.apiserver.http.observer import Observer
from edgevirt.engine.apiserver.http.trail import Trail, trail_of
from edgevirt.engine.apiserver.request import ADMIN, Attributes, Decision

pytestmark = pytest.mark.unit


async def test_an_answered_request_leaves_the_collector_nothing() -> None:
    # The callbacks of a trail used to hold it in a circle, with the body of the request.
    async def serve(raw: web.BaseRequest) -> web.StreamResponse:
        trail = trail_of(raw)
        trail.authorized(ADMIN, Attributes(ADMIN, "get", resource="configmaps"), Decision(True))
        trail.found()
        return web.Response(body=b"{}")

    observer = Observer(serve, RequestMetrics())
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            await observer.handle(make_mocked_request("GET", "/api/v1/namespaces/a/configmaps/b"))
        gc.collect()
        assert [found for found in gc.garbage if isinstance(found, Trail)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
