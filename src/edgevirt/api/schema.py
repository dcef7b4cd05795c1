"""Facts about a field that its Python type cannot say, for the CRD's OpenAPI schema.

A field says them in `Annotated[..., Schema(...)]`, a type in a class variable `schema`. msgspec ignores
both: decoding stays tolerant, refusing is the API server's and admission's business. `edgevirt.api.crd`
reads them.

There is no room for CEL rules: what they would check, virt-api's webhooks check, and an API server that never
meets a rule never loads its CEL library (19 MiB of a small box).
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """Additions to the schema of one field or, as class variable `schema`, of one type."""

    enum: tuple[str, ...] = ()
    format: str = ""
    pattern: str = ""
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_items: int | None = None
    nullable: bool = False
    required: bool = False
    """The field must be present, although a reader does without it."""
    opaque: bool = False
    """Any content is kept and none is checked."""
    lenient: bool = False
    """Unknown members beside the known ones are kept."""
    list_type: str = ""
    """How server-side apply merges the list: atomic, set or map."""
    map_keys: tuple[str, ...] = ()
    """For list type map: the members that identify an item."""
    map_type: str = ""
    """How server-side apply merges the object: atomic or granular."""
    item: Schema | None = None
    """The same for the items of a list."""


ATOMIC = Schema(list_type="atomic")
"""A list that server-side apply replaces as a whole."""

REQUIRED = Schema(required=True)
"""A field that must be present, although a reader does without it."""
