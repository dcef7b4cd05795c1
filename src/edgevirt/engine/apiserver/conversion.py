"""Conversion of custom resources between the versions of their definition.

With strategy None versions differ in name only, and stored bytes are served as they are (`objects`). With
strategy Webhook objects are stored in the storage version and a webhook of the definition's author turns them
into the version a client asked for, and back. Here is that conversation: ConversionReview v1. What comes back
is checked: the same objects in the same order, of the wanted version, with nothing of their metadata changed
but labels and annotations; then it is pruned and defaulted by the schema of its version.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edgevirt.engine.apiserver.errors import unclassified

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.registry import ServedResource

Json = dict[str, Any]

API_VERSION = "apiextensions.k8s.io/v1"
TIMEOUT_SECONDS = 30
_CHANGEABLE = ("labels", "annotations")


class Caller(Protocol):
    async def post(self, endpoint: ConversionEndpoint, body: bytes) -> bytes:
        """The raw answer. Raises an exception whose text is for the client."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    namespace: str
    name: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class ConversionEndpoint:
    """Where a definition's conversion webhook is, as the webhook caller wants to know it."""

    url: str
    service: ServiceAddress | None
    ca_bundle: str
    timeout: int = TIMEOUT_SECONDS

    @classmethod
    def from_dict(cls, client: Mapping[str, Any]) -> ConversionEndpoint:
        service = client.get("service")
        return cls(
            client.get("url") or "",
            None
            if not service
            else ServiceAddress(
                service.get("namespace") or "",
                service.get("name") or "",
                service.get("port") or 443,
                service.get("path") or "",
            ),
            client.get("caBundle") or "",
        )


class NotConverted(Exception):
    """The webhook could not be asked or gave no usable answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Converter:
    """Converts objects of one definition. `caller` is asked for at each use: servers start in parts."""

    group: str
    kind: str
    storage: str
    endpoint: ConversionEndpoint
    caller: Callable[[], Caller | None]
    new_uid: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))

    async def convert(self, objects: Sequence[Json], version: str) -> list[Json]:
        """The objects in `version`, in order; raises `StatusError` 500. The originals are not changed."""
        wanted = f"{self.group}/{version}"
        foreign = [obj for obj in objects if obj.get("apiVersion") != wanted]
        if not foreign:
            return list(objects)
        try:
            converted = iter(await self._ask(foreign, wanted))
        except NotConverted as error:
            shown = f"{foreign[0].get('apiVersion')}, Kind={self.kind}"
            raise unclassified(f"conversion webhook for {shown} failed: {error}") from error
        return [obj if obj.get("apiVersion") == wanted else next(converted) for obj in objects]

    async def _ask(self, objects: list[Json], wanted: str) -> list[Json]:
        caller = self.caller()
        if caller is None:
            raise NotConverted("this server has no client for webhooks")
        uid = self.new_uid()
        request = {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}
        body = msgspec.json.encode(
            {"kind": "ConversionReview", "apiVersion": API_VERSION, "request": request}
        )
        answer = await caller.post(self.endpoint, body)
        return read_answer(answer, uid, objects, wanted)


def read_answer(data: bytes, uid: str, objects: Sequence[Json], wanted: str) -> list[Json]:
    """The converted objects, checked against the originals. Raises NotConverted."""
    try:
        review = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise NotConverted(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(review, dict):
        raise NotConverted("the answer is no object")
    if (review.get("apiVersion"), review.get("kind")) != (API_VERSION, "ConversionReview"):
        found = f"{review.get('apiVersion', '')}, Kind={review.get('kind', '')}"
        raise NotConverted(f"expected webhook response of {API_VERSION}, Kind=ConversionReview, got {found}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise NotConverted("no response provided")
    if response.get("uid") != uid:
        raise NotConverted(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result")
    status = result if isinstance(result, dict) else {}
    if status.get("status") != "Success":
        raise NotConverted(str(status.get("message") or "the webhook reported a failure without a message"))
    converted = response.get("convertedObjects")
    if not isinstance(converted, list) or len(converted) != len(objects):
        count = len(converted) if isinstance(converted, list) else 0
        raise NotConverted(f"returned {count} objects, expected {len(objects)}")
    return [
        _checked(original, result, wanted, index)
        for index, (original, result) in enumerate(zip(objects, converted, strict=True))
    ]


def _checked(original: Json, result: Any, wanted: str, index: int) -> Json:
    if not isinstance(result, dict):
        raise NotConverted(f"returned invalid object at index {index}: it is no object")
    if result.get("apiVersion") != wanted:
        found = result.get("apiVersion", "")
        raise NotConverted(
            f"returned invalid object at index {index}: invalid groupVersion "
            f"(expected {wanted}, received {found})"
        )
    if result.get("kind") != original.get("kind"):
        raise NotConverted(
            f"returned invalid object at index {index}: invalid kind "
            f"(expected {original.get('kind')}, received {result.get('kind', '')})"
        )
    metadata, before = result.get("metadata"), original["metadata"]
    if not isinstance(metadata, dict):
        raise NotConverted(
            f"returned invalid metadata at index {index}: missing metadata in converted object"
        )
    for name in ("name", "namespace", "uid"):
        if metadata.get(name, "") != before.get(name, ""):
            raise NotConverted(
                f"returned invalid metadata at index {index}: metadata.{name} must be unchanged "
                f"(expected {before.get(name, '')}, received {metadata.get(name, '')})"
            )
    kept = {name: value for name, value in before.items() if name not in _CHANGEABLE}
    for name in _CHANGEABLE:
        changed = metadata.get(name)
        if changed is None:
            continue
        if not isinstance(changed, dict) or not all(isinstance(value, str) for value in changed.values()):
            raise NotConverted(f"returned invalid metadata at index {index}: {name} must map text to text")
        kept[name] = changed
    return {**result, "metadata": kept}


async def in_version(resource: ServedResource, document: Json | None, version: str) -> Json | None:
    """`document`, an object of `resource`, as an object of another version. Raises `StatusError`."""
    if document is None:
        return None
    group = resource.group
    own_group = str(document.get("apiVersion", "")).rpartition("/")[0]
    wanted = f"{group}/{version}" if group else version
    if own_group != group or document.get("apiVersion") == wanted:
        return document
    if resource.converter is not None and document.get("kind") == resource.kind:
        return (await resource.converter.convert([document], version))[0]
    return {**document, "apiVersion": wanted}
