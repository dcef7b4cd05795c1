"""Name, namespace, uid and version of an object, whether it is typed or a plain dict.

`Resource.type` may be `dict` for kinds nothing here understands; what works on every kind (cache, events,
garbage collection) goes through these accessors instead of asking which it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgevirt.api.meta import KubeObject, ObjectMeta

Key = tuple[str, str]
"""(namespace, name); namespace is "" for cluster-scoped objects."""


def metadata(obj: object) -> ObjectMeta:
    """The typed metadata. Of a dict it is converted anew on every call."""
    if isinstance(obj, KubeObject):
        return obj.metadata
    return msgspec.convert(_plain(obj), ObjectMeta)


def name_of(obj: object) -> str:
    return obj.metadata.name if isinstance(obj, KubeObject) else str(_plain(obj).get("name", ""))


def namespace_of(obj: object) -> str:
    return obj.metadata.namespace if isinstance(obj, KubeObject) else str(_plain(obj).get("namespace", ""))


def uid_of(obj: object) -> str:
    return obj.metadata.uid if isinstance(obj, KubeObject) else str(_plain(obj).get("uid", ""))


def version_of(obj: object) -> str:
    """metadata.resourceVersion"""
    if isinstance(obj, KubeObject):
        return obj.metadata.resource_version
    return str(_plain(obj).get("resourceVersion", ""))


def key_of(obj: object) -> Key:
    return namespace_of(obj), name_of(obj)


def key_text(obj: object) -> str:
    """ "ns/name", or "name" for a cluster-scoped object: the form of work queue keys and log lines."""
    namespace, name = key_of(obj)
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> Key:
    """The inverse of `key_text`."""
    namespace, slash, name = key.partition("/")
    return (namespace, name) if slash else ("", namespace)


def _plain(obj: object) -> Mapping[str, Any]:
    if not isinstance(obj, Mapping):
        raise TypeError(f"not a Kubernetes object: {type(obj).__name__}")
    found = obj.get("metadata")
    return found if isinstance(found, Mapping) else {}
