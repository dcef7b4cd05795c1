"""Objects a pod refers to: config maps, secrets, tokens, claims; fetched when needed, never listed.

The node's identity may read only what a pod bound to it names, so there is no watch on all secrets. One
`References` serves one preparation of one pod and asks for each object once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from edgevirt.api import core, resources
from edgevirt.api.authentication import BoundObjectReference, TokenRequest, TokenRequestSpec
from edgevirt.api.meta import Resource
from edgevirt.kube.errors import NotFound

T = TypeVar("T")


class MissingReference(Exception):
    """The pod names an object or key that does not exist; it may still be created."""


class ObjectSource(Protocol):
    """The part of `kube.client.Client` that reading needs."""

    async def get(
        self, resource: Resource[T], name: str, *, namespace: str = "", subresource: str = ""
    ) -> T: ...

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = ...,
        params: Mapping[str, str] = ...,
    ) -> bytes: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A service account token and when to replace it (Unix time)."""

    value: str
    refresh_at: float


class References:
    """Fetches what `pod` names, in its namespace; answers are kept for the life of this object."""

    def __init__(
        self, source: ObjectSource, pod: core.Pod, tokens: dict[tuple[str, int], Token] | None = None
    ) -> None:
        """`tokens` is kept by the caller between preparations: a token is asked for anew when it is due."""
        self._tokens = {} if tokens is None else tokens
        self._source = source
        self._pod = pod
        self._tasks: dict[tuple[str, str], asyncio.Future[Any]] = {}

    async def config_map(self, name: str) -> core.ConfigMap | None:
        """The config map, or None if there is none."""
        return await self._once(("configmap", name), lambda: self._get(resources.CONFIG_MAPS, name))

    async def secret(self, name: str) -> core.Secret | None:
        return await self._once(("secret", name), lambda: self._get(resources.SECRETS, name))

    async def claim(self, name: str) -> core.PersistentVolumeClaim | None:
        return await self._once(("claim", name), lambda: self._get(resources.PERSISTENT_VOLUME_CLAIMS, name))

    async def volume(self, name: str) -> core.PersistentVolume | None:
        return await self._once(("volume", name), lambda: self._get(resources.PERSISTENT_VOLUMES, name, ""))

    async def token(self, audience: str, expiration_seconds: int) -> Token:
        """A token of the pod's service account, bound to the pod."""
        key = (audience, expiration_seconds)
        known = self._tokens.get(key)
        if known is None or known.refresh_at <= datetime.datetime.now(datetime.UTC).timestamp():
            self._tokens[key] = known = await self._once(
                (f"token {audience}", str(expiration_seconds)),
                lambda: self._token(audience, expiration_seconds),
            )
        return known

    async def pull_secrets(self) -> tuple[dict[str, Any], ...]:
        """Registry credentials of the pod and its service account. Missing secrets are skipped."""
        spec = self._pod.spec
        names = [reference.name for reference in spec.image_pull_secrets] if spec else []
        found: list[dict[str, Any]] = []
        for name in names:
            secret = await self.secret(name)
            if secret is None:
                continue
            if ".dockerconfigjson" in secret.data:
                found.append(_document(secret.data[".dockerconfigjson"], name))
            elif ".dockercfg" in secret.data:
                found.append({"auths": _document(secret.data[".dockercfg"], name)})
        return tuple(found)

    async def _once(self, key: tuple[str, str], fetch: Callable[[], Awaitable[T]]) -> T:
        if key not in self._tasks:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._tasks[key] = future
            try:
                future.set_result(await fetch())
            except BaseException as error:
                del self._tasks[key]
                if isinstance(error, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(error)
                    future.exception()  # this caller raises it itself; others may not exist
                raise
        result: T = await self._tasks[key]
        return result

    async def _get(self, resource: Resource[T], name: str, namespace: str | None = None) -> T | None:
        if not name:
            return None
        try:
            where = self._pod.metadata.namespace if namespace is None else namespace
            return await self._source.get(resource, name, namespace=where)
        except NotFound:
            return None

    async def _token(self, audience: str, expiration_seconds: int) -> Token:
        metadata = self._pod.metadata
        account = (self._pod.spec.service_account_name if self._pod.spec else "") or "default"
        body = TokenRequest(
            api_version="authentication.k8s.io/v1",
            kind="TokenRequest",
            spec=TokenRequestSpec(
                audiences=(audience,) if audience else (),
                expiration_seconds=expiration_seconds,
                bound_object_ref=BoundObjectReference(
                    api_version="v1", kind="Pod", name=metadata.name, uid=metadata.uid
                ),
            ),
        )
        answer = msgspec.json.decode(
            await self._source.request(
                "POST",
                f"/api/v1/namespaces/{metadata.namespace}/serviceaccounts/{account}/token",
                body=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
            ),
            type=TokenRequest,
        )
        if answer.status is None or not answer.status.token:
            raise MissingReference(f"the API server gave no token for service account {account}")
        now = datetime.datetime.now(datetime.UTC)
        expires = datetime.datetime.fromisoformat(answer.status.expiration_timestamp.replace("Z", "+00:00"))
        lifetime = (expires - now).total_seconds()
        return Token(answer.status.token, now.timestamp() + max(lifetime * 0.8, 60.0))


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise MissingReference(f"image pull secret {name} holds no JSON") from error
    if not isinstance(document, dict):
        raise MissingReference(f"image pull secret {name} holds no registry credentials")
    return document


def text(data: bytes) -> str:
    """A secret's value as an environment variable holds it."""
    return data.decode("utf-8", "surrogateescape")
