"""Who may use the aggregated API: the API server authenticates, we ask it again what the user may do.

A request is believed only if it comes over a connection with the front proxy's client certificate: verified
against the request-header CA and with one of the names agreed on. The user then stands in its headers. Each
request becomes a SubjectAccessReview. A refusal is 401 with the reason as plain text, as KubeVirt does it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from edgevirt.api.authorization import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from edgevirt.api.resources import SUBJECT_ACCESS_REVIEWS
from edgevirt.kube.client import Client
from edgevirt.kube.errors import KubeError
from edgevirt.virt_api.certificates import common_name
from edgevirt.virt_api.registration import GROUP

_USER: Final = "X-Remote-User"
_GROUP: Final = "X-Remote-Group"
_EXTRA: Final = "x-remote-extra-"
_VERBS: Final = {"GET": "get", "PUT": "update", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """Somebody the front proxy vouches for."""

    name: str
    groups: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]


class Refused(Exception):
    """The request is not believed or not allowed; the text says why and is for the client."""


def user_of(request: web.Request, allowed_names: tuple[str, ...]) -> User:
    """The user of a request that came through the front proxy. Raises Refused.

    `allowed_names` are the common names the front proxy's certificate may have; () allows any that the
    request-header CA has signed.
    """
    connection = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLObject) else None
    if not certificate:
        raise Refused("this API is reached through the API server; no client certificate was presented")
    name = common_name(certificate)
    if allowed_names and name not in allowed_names:
        raise Refused(f'the client certificate of "{name}" does not belong to the front proxy')
    user = request.headers.get(_USER, "")
    if not user:
        raise Refused(f"the header {_USER} is missing")
    extra: dict[str, tuple[str, ...]] = {}
    for key in request.headers:
        if key.lower().startswith(_EXTRA):
            extra[unquote(key.lower().removeprefix(_EXTRA))] = tuple(request.headers.getall(key))
    return User(user, tuple(request.headers.getall(_GROUP, [])), extra)


class Authorizer:
    """Asks the API server whether users may do what they ask for."""

    def __init__(self, client: Client, timeout: float) -> None:
        """`timeout` in seconds is how long an answer may take."""
        self._client = client
        self._timeout = timeout

    async def require(
        self,
        user: User,
        *,
        method: str,
        version: str,
        namespace: str,
        resource: str,
        name: str,
        subresource: str,
    ) -> None:
        """Return if the user may use a subresource. Raises Refused otherwise, or if nobody answers."""
        review = SubjectAccessReview(
            spec=SubjectAccessReviewSpec(
                user=user.name,
                groups=user.groups,
                extra=dict(user.extra),
                resource_attributes=ResourceAttributes(
                    group=GROUP,
                    version=version,
                    namespace=namespace,
                    resource=resource,
                    subresource=subresource,
                    name=name,
                    verb=_VERBS.get(method, method.lower()),
                ),
            )
        )
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, review)
        except (KubeError, TimeoutError) as error:
            raise Refused(f"the API server could not be asked for permission: {error}") from error
        if answer.status is None or not answer.status.allowed:
            reason = answer.status.reason if answer.status is not None else ""
            raise Refused(
                f'{user.name} may not {_VERBS.get(method, method.lower())} {resource}/{subresource} "{name}" '
                f'in namespace "{namespace}"' + (f": {reason}" if reason else "")
            )
