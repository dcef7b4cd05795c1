"""The shapes of what is sent beside objects: options of a deletion and the bodies of subresources.

They are no kinds of their own that could be stored, so no class of `edgevirt.api` stands for them; what
Go's decoder would refuse in them is refused here in its words.
"""

from __future__ import annotations

from edgevirt.engine.apiserver.errors import bad_request
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.builtin import struct_error
from edgevirt.engine.apiserver.schema.builtin_types import OBJECT_META, StructType, ValueType

_TEXT = ValueType("string")
_TEXTS = ValueType("list", elem=_TEXT)
_TYPE = {"kind": _TEXT, "apiVersion": _TEXT}
_METADATA = {"metadata": ValueType("struct", struct=OBJECT_META)}


def _struct(go_name: str, /, **fields: ValueType) -> ValueType:
    return ValueType("struct", struct=StructType(go_name, "", dict(fields)))


_REFERENCE = _struct(
    "ObjectReference",
    kind=_TEXT,
    namespace=_TEXT,
    name=_TEXT,
    uid=_TEXT,
    apiVersion=_TEXT,
    resourceVersion=_TEXT,
    fieldPath=_TEXT,
)
_DELETE_OPTIONS = _struct(
    "DeleteOptions",
    gracePeriodSeconds=ValueType("int64"),
    preconditions=_struct("Preconditions", uid=_TEXT, resourceVersion=_TEXT),
    orphanDependents=ValueType("bool"),
    propagationPolicy=_TEXT,
    dryRun=_TEXTS,
    **_TYPE,
)
_BOUND = _struct("BoundObjectReference", kind=_TEXT, apiVersion=_TEXT, name=_TEXT, uid=_TEXT)
_BODIES: dict[str, ValueType] = {
    "DeleteOptions": _DELETE_OPTIONS,
    "Eviction": _struct("Eviction", deleteOptions=_DELETE_OPTIONS, **_TYPE, **_METADATA),
    "Binding": _struct("Binding", target=_REFERENCE, **_TYPE, **_METADATA),
    "Scale": _struct(
        "Scale",
        spec=_struct("ScaleSpec", replicas=ValueType("int32")),
        status=_struct("ScaleStatus", replicas=ValueType("int32"), selector=_TEXT),
        **_TYPE,
        **_METADATA,
    ),
    "TokenRequest": _struct(
        "TokenRequest",
        spec=_struct(
            "TokenRequestSpec",
            audiences=_TEXTS,
            expirationSeconds=ValueType("int64"),
            boundObjectRef=_BOUND,
        ),
        status=ValueType("any"),
        **_TYPE,
        **_METADATA,
    ),
}


def check_body(kind: str, document: Json) -> None:
    """Raises `StatusError` 400 for a body that is not of its type; kinds not listed here pass."""
    body = _BODIES.get(kind)
    if body is None or body.struct is None:
        return
    problem = struct_error(body.struct, document, ())
    if problem is not None:
        version = str(document.get("apiVersion") or "v1").rpartition("/")[2]
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')
