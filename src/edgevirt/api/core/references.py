"""Kubernetes core/v1: References from one object to another."""

from __future__ import annotations

from typing import Annotated, ClassVar

from edgevirt.api.meta import Struct
from edgevirt.api.schema import REQUIRED, Schema


class LocalObjectReference(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    name: Annotated[str, Schema(default="")] = ""


class TypedLocalObjectReference(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    api_group: str = ""
    kind: Annotated[str, REQUIRED] = ""
    name: Annotated[str, REQUIRED] = ""


class TypedObjectReference(Struct):
    api_group: str = ""
    kind: Annotated[str, REQUIRED] = ""
    name: Annotated[str, REQUIRED] = ""
    namespace: str = ""


class ObjectReference(Struct):
    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class SecretReference(Struct):
    name: str = ""
    namespace: str = ""
