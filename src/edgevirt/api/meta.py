"""The parts every Kubernetes object shares: metadata, selectors, conditions, Status, quantities.

Every API type is a frozen msgspec Struct whose Python names are snake_case and whose wire names are
Kubernetes' camelCase. An absent optional scalar of type string is "" (as in Kubernetes' own Go types);
other absent scalars and objects are None, absent lists are (), absent maps are {}. Defaults are not
written on the wire. Unknown fields are dropped when decoding, so a decoded object is never written back
whole where somebody else may own fields in it: writes are patches.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform

import msgspec
from msgspec import field

from edgevirt.api.schema import ATOMIC, REQUIRED, Schema

Time = Annotated[str, Schema(format="date-time")]
"""RFC 3339 time in UTC, second resolution ("2026-01-02T03:04:05Z"); "" when absent."""

Duration = str
"""Go duration text such as "1m30s"; "" when absent."""

Quantity = str | int | float
"""Kubernetes resource quantity as written ("128Mi", "100m", 2); see `edgevirt.api.quantity`."""

IntOrString = int | str


class _KeywordOnly(msgspec.StructMeta):
    """msgspec inherits every option of a Struct except `kw_only`; this makes it hold for subclasses too."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> _KeywordOnly:
        return super().__new__(mcls, name, bases, namespace, **{"kw_only": True, **options})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Struct(msgspec.Struct, metaclass=_KeywordOnly, frozen=True, omit_defaults=True, rename="camel"):
    """Base of every API type: immutable, keyword-only, camelCase on the wire, defaults omitted."""


class ManagedFieldsEntry(Struct):
    api_version: str = ""
    fields_type: str = ""
    fields_v1: Any = None
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: Time = ""


class OwnerReference(Struct):
    api_version: str = ""
    block_owner_deletion: bool | None = None
    controller: bool | None = None
    kind: str = ""
    name: str = ""
    uid: str = ""


class ObjectMeta(Struct):
    annotations: dict[str, str] = field(default_factory=dict)
    creation_timestamp: Time = ""
    deletion_grace_period_seconds: int | None = None
    deletion_timestamp: Time = ""
    finalizers: tuple[str, ...] = ()
    generate_name: str = ""
    generation: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    managed_fields: tuple[ManagedFieldsEntry, ...] = ()
    name: str = ""
    namespace: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    resource_version: str = ""
    self_link: str = ""
    uid: str = ""


class LabelSelectorRequirement(Struct):
    key: Annotated[str, REQUIRED] = ""
    operator: Annotated[str, REQUIRED] = ""
    values: Annotated[tuple[str, ...], ATOMIC] = ()


class LabelSelector(Struct):
    schema: ClassVar[Schema] = Schema(map_type="atomic")

    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], ATOMIC] = ()
    match_labels: dict[str, str] = field(default_factory=dict)


class Condition(Struct):
    last_transition_time: Time = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class StatusCause(Struct):
    field: str = ""
    message: str = ""
    reason: str = ""


class StatusDetails(Struct):
    causes: tuple[StatusCause, ...] = ()
    group: str = ""
    kind: str = ""
    name: str = ""
    retry_after_seconds: int | None = None
    uid: str = ""


class ListMeta(Struct):
    continue_: str = field(default="", name="continue")
    remaining_item_count: int | None = None
    resource_version: str = ""
    self_link: str = ""


class Status(Struct):
    api_version: str = ""
    code: int | None = None
    details: StatusDetails | None = None
    kind: str = ""
    message: str = ""
    metadata: ListMeta | None = None
    reason: str = ""
    status: str = ""


class Preconditions(Struct):
    resource_version: str = ""
    uid: str = ""


class DeleteOptions(Struct):
    api_version: str = ""
    dry_run: tuple[str, ...] = ()
    grace_period_seconds: int | None = None
    kind: str = ""
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None
    propagation_policy: str = ""


class KubeObject(Struct):
    """Base of every kind: an object with identity. `api_version` and `kind` are "" inside a List."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = field(default_factory=ObjectMeta)


T_co = TypeVar("T_co", covariant=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Resource(Generic[T_co]):
    """Where a kind is served and which Python type its objects decode to.

    `type` is a `KubeObject` subclass, or `dict` for objects that nothing here needs to understand.
    """

    group: str
    version: str
    plural: str
    kind: str
    type: type[T_co]
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """ "v1" for the core group, else "group/version"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """ "pods" or "virtualmachines.kubevirt.io", as Kubernetes names a resource in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural
