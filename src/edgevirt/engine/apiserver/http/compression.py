"""Large answers in gzip for clients that take it, as a kube-apiserver gives them from 128 KiB on.

Fastest level, in a thread (zlib lets go of the interpreter). Not for clients on this machine: between two
processes bytes cost nothing, while packing them costs more than everything else about a list.
"""

from __future__ import annotations

import asyncio
import ipaddress
import zlib

from aiohttp import web

SMALLEST = 128 * 1024
_LEVEL = 1
_GZIP_WINDOW = 31


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for clause in accept_encoding.lower().split(","):
        coding, _, quality = (part.strip() for part in clause.partition(";"))
        if coding in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def is_local(address: str | None) -> bool:
    """Whether a peer's address is one of this machine's loopback."""
    try:
        return address is None or ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_wanted(raw: web.BaseRequest) -> bool:
    """Whether a large answer to this request is to be packed."""
    return takes_gzip(raw.headers.get("Accept-Encoding", "")) and not is_local(raw.remote)


async def compressed(raw: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """`response` itself, its body packed if it is complete, large and wanted so."""
    if not isinstance(response, web.Response) or response.status != 200:
        return response
    body = response.body
    if isinstance(body, bytes) and len(body) >= SMALLEST and is_wanted(raw):
        response.body = await asyncio.to_thread(packed, body)
        response.headers["Content-Encoding"] = "gzip"
        response.headers.add("Vary", "Accept-Encoding")
    return response


def packed(body: bytes) -> bytes:
    """`body` in gzip."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
