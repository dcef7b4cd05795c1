"""URLs, taken apart as Go's net/url does."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import ClassVar

from edgevirt.engine.cel.errors import EvaluationError
from edgevirt.engine.cel.functions import function, method, traversal
from edgevirt.engine.cel.types import BOOL, STRING, Type, list_of, map_of, opaque
from edgevirt.engine.cel.values import Opaque

URL = opaque("kubernetes.URL")
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"


@dataclass(frozen=True, slots=True)
class Url(Opaque):
    cel_type: ClassVar[Type] = URL
    text: str
    scheme: str
    host: str
    hostname: str
    port: str
    path: str
    query: str

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Url:
    """An absolute URL or an absolute path. Raises EvaluationError."""
    try:
        parts = urllib.parse.urlsplit(text)
        port, hostname = parts.port, parts.hostname or ""
    except ValueError as error:
        raise EvaluationError(
            f'URL parse error during conversion from string: parse "{text}": {error}'
        ) from error
    if (not parts.scheme and not text.startswith("/")) or any(letter <= " " for letter in text):
        raise EvaluationError(
            f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
        )
    host = parts.netloc.rpartition("@")[2]
    return Url(
        text,
        parts.scheme,
        host,
        hostname if not host.startswith("[") else host[1 : host.index("]")],
        "" if port is None else str(port),
        urllib.parse.quote(parts.path, safe=_PATH_SAFE),
        parts.query,
    )


def _is_url(text: str) -> bool:
    try:
        parse(text)
    except EvaluationError:
        return False
    return True


_PRICE = {"price": traversal(0)}

OVERLOADS = [
    function("url", (STRING,), URL, parse, **_PRICE),
    function("isURL", (STRING,), BOOL, _is_url, **_PRICE),
    method("getScheme", (URL,), STRING, lambda url: url.scheme),
    method("getHost", (URL,), STRING, lambda url: url.host),
    method("getHostname", (URL,), STRING, lambda url: url.hostname),
    method("getPort", (URL,), STRING, lambda url: url.port),
    method("getEscapedPath", (URL,), STRING, lambda url: url.path),
    method(
        "getQuery",
        (URL,),
        map_of(STRING, list_of(STRING)),
        lambda url: urllib.parse.parse_qs(url.query, keep_blank_values=True),
    ),
]
