"""Which resources are served: built-in ones and, as CustomResourceDefinitions come and go, custom ones.

A `ServedResource` is one plural in one version. All versions of a custom resource share a storage prefix
and differ only in schema, columns and apiVersion (conversion strategy None). The registry is changed on
the event loop only; whoever builds documents from it (discovery, OpenAPI) registers a change callback.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from edgevirt.engine.apiserver.errors import Cause
from edgevirt.engine.apiserver.names import subdomain_faults
from edgevirt.engine.apiserver.request import UserInfo

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.schema import ObjectSchema

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a resource's Table. Either `json_path` (".spec.phase") or `cell` gives the value.

    `cell` gets the object and returns the JSON value of the cell; `type` and `format` are OpenAPI's.
    """

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    json_path: str = ""
    cell: Callable[[dict[str, Any]], Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """Where replicas are found, for the scale subresource; dotted paths such as ".spec.replicas"."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class WriteContext:
    """What a strategy may know about the write it takes part in."""

    user: UserInfo
    now: str
    subresource: str = ""
    dry_run: bool = False


class Strategy(Protocol):
    """What is particular about a resource when it is written. Called on the event loop, must not block.

    `complete` adds what defaults cannot say, before admission and field ownership see the object;
    `prepare_*` change it after them, before validation. `old` is read-only. `validate` returns every fault.
    """

    def complete(self, obj: dict[str, Any]) -> None: ...

    def prepare_for_create(self, obj: dict[str, Any], context: WriteContext) -> None: ...

    def prepare_for_update(self, obj: dict[str, Any], old: dict[str, Any], context: WriteContext) -> None: ...

    def validate(self, obj: dict[str, Any], old: dict[str, Any] | None) -> list[Cause]: ...

    def settle(self, obj: dict[str, Any]) -> None:
        """The write for which `obj` was prepared is over, stored or not; what it reserved may go."""

    def field_labels(self, obj: dict[str, Any]) -> dict[str, str]:
        """Values for field selectors; metadata.name and metadata.namespace need not be given."""


class Conversion(Protocol):
    """Turns objects of a resource from one version into another."""

    @property
    def storage(self) -> str:
        """What `convert` is told when an object is to be stored."""

    async def convert(self, objects: Sequence[dict[str, Any]], version: str) -> list[dict[str, Any]]:
        """The objects in `version`, in order; the originals are not changed. Raises `StatusError`."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ServedResource:
    """One resource in one version, as the REST layer serves it.

    `verbs` are those of the resource itself; `subresources` the names served below it.
    `selectable_fields` are field selector labels beside metadata.name and metadata.namespace.
    `storage_prefix` names its collection in the store and ends in "/"; all versions share it.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    schema: ObjectSchema
    strategy: Strategy
    storage_prefix: str
    converter: Conversion | None = None
    """Converts to and from other versions; None where versions differ in name only."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: frozenset[str] = frozenset()
    columns: tuple[Column, ...] = ()
    storage_version: bool = True
    deprecated_warning: str = ""
    selectable_fields: frozenset[str] = frozenset()
    scale: Scale | None = None
    custom: bool = False
    """From a CustomResourceDefinition: strategic merge patch is refused, status is opt-in."""
    generation: bool = False
    """metadata.generation is kept; always so for custom resources."""
    returns_deleted: bool = False
    """DELETE answers with the object instead of a Status, as Kubernetes does for some kinds."""
    upsert: bool = False
    """PUT of a name that does not exist creates it."""
    name_faults: Callable[[str], list[str]] = subdomain_faults
    computed: bool = False
    """Virtual and read-only (NodeMetrics, PodMetrics): made when asked for, never stored."""
    review: bool = False
    """Virtual and create-only (TokenReview, SubjectAccessReview): answered, never stored."""

    @property
    def stored(self) -> bool:
        """Whether there are objects of it in the store."""
        return not self.review and not self.computed

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def key(self, namespace: str, name: str) -> str:
        """The key of an object within its collection; `namespace` is ignored for cluster-scoped resources."""
        return f"{namespace}/{name}" if self.namespaced else name

    def prefix(self, namespace: str) -> str:
        """The key prefix within the collection: of one namespace, or of all ("")."""
        return f"{namespace}/" if self.namespaced and namespace else ""


class Registry:
    """The served resources, by (group, version, plural)."""

    def __init__(self, resources: Iterable[ServedResource] = ()) -> None:
        self._by_path: dict[tuple[str, str, str], ServedResource] = {}
        self._stored: dict[tuple[str, str], ServedResource] = {}
        self._callbacks: list[Callable[[], None]] = []
        self.generation = 0
        for resource in resources:
            self._by_path[(resource.group, resource.version, resource.plural)] = resource
        self._index()

    def _index(self) -> None:
        self._stored = {
            (resource.group, resource.plural): resource
            for resource in self._by_path.values()
            if resource.storage_version
        }

    def lookup(self, group: str, version: str, plural: str) -> ServedResource | None:
        return self._by_path.get((group, version, plural))

    def storage_of(self, group: str, plural: str) -> ServedResource | None:
        """The version in which objects of this resource are stored."""
        return self._stored.get((group, plural))

    def list(self) -> tuple[ServedResource, ...]:
        """All resources in order of registration."""
        return tuple(self._by_path.values())

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Group -> its versions in order of registration, the preferred one first."""
        found: dict[str, dict[str, None]] = {}
        for group, version, _ in self._by_path:
            found.setdefault(group, {})[version] = None
        return {group: tuple(versions) for group, versions in found.items()}

    def replace(self, group: str, plural: str, resources: Iterable[ServedResource]) -> None:
        """Puts `resources` (all versions, possibly none) in the place of what was served there."""
        kept = {
            path: resource
            for path, resource in self._by_path.items()
            if not (path[0] == group and path[2] == plural)
        }
        for resource in resources:
            kept[(resource.group, resource.version, resource.plural)] = resource
        self._by_path = kept
        self._index()
        self.generation += 1
        for callback in self._callbacks:
            callback()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Calls back after each change; callbacks must not change the registry."""
        self._callbacks.append(callback)
