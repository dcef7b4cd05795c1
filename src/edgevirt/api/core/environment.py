"""Kubernetes core/v1: Environment variables of containers and the fields, keys and files they come from."""

from __future__ import annotations

from typing import Annotated, ClassVar

from edgevirt.api.meta import Quantity, Struct
from edgevirt.api.schema import REQUIRED, Schema


class ConfigMapKeySelector(Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class ObjectFieldSelector(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    api_version: str = ""
    field_path: Annotated[str, REQUIRED] = ""


class FileKeySelector(Struct):
    key: str = ""
    optional: bool | None = None
    path: str = ""
    volume_name: str = ""


class ResourceFieldSelector(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    container_name: str = ""
    divisor: Quantity | None = None
    resource: Annotated[str, REQUIRED] = ""


class SecretKeySelector(Struct):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class EnvVarSource(Struct):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Struct):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class ConfigMapEnvSource(Struct):
    name: str = ""
    optional: bool | None = None


class SecretEnvSource(Struct):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Struct):
    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str = ""
    secret_ref: SecretEnvSource | None = None
