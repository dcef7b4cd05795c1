"""Which form of an answer the client accepts: object, table or metadata only; JSON or YAML."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgevirt.engine.apiserver.errors import not_acceptable

AVAILABLE = ("application/json", "application/yaml")
YAML = ("application/yaml", "application/x-yaml", "text/yaml")


class Form(enum.Enum):
    OBJECT = "object"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


@dataclass(frozen=True, slots=True)
class Accepted:
    form: Form = Form.OBJECT
    yaml: bool = False

    @property
    def content_type(self) -> str:
        return "application/yaml" if self.yaml else "application/json"


JSON = Accepted()
_CACHE: dict[str, Accepted] = {"": JSON, "*/*": JSON, "application/json": JSON}
_CACHE_LIMIT = 256


def negotiate(accept: str) -> Accepted:
    """The first form of the Accept header that can be served. Raises `StatusError` 406.

    Clients order their list by preference; quality values are honoured only as "not at all" (q=0).
    """
    found = _CACHE.get(accept)
    if found is None:
        found = _negotiate(accept)
        if len(_CACHE) < _CACHE_LIMIT:
            _CACHE[accept] = found
    return found


def _negotiate(accept: str) -> Accepted:
    for clause in accept.split(","):
        media, *pairs = (part.strip() for part in clause.split(";"))
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if parameters.get("q") == "0":
            continue
        media = media.lower()
        if media in ("*/*", "application/*", "application/json"):
            yaml = False
        elif media in YAML:
            yaml = True
        else:
            continue
        form = parameters.get("as")
        if form is None:
            return Accepted(yaml=yaml)
        if parameters.get("g") != "meta.k8s.io" or parameters.get("v") != "v1":
            continue
        if form == "Table":
            return Accepted(Form.TABLE, yaml)
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Accepted(Form.PARTIAL, yaml)
    raise not_acceptable(AVAILABLE)
