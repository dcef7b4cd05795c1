"""The seams of the server: what authentication, authorisation, admission and aggregation must offer,
and what they are given to read.

Each seam has a permissive implementation here, so the REST layer can be run and tested alone. The real
ones live in `auth/`, `admission/` and `aggregation/`; `server.py` puts them in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from edgevirt.engine.apiserver.request import ADMIN, AdmissionAttributes, Attributes, Decision, UserInfo


class ObjectReader(Protocol):
    """Reads the committed state in process, without authorisation. All calls are made on the event loop.

    Objects returned are shared: they must not be changed.
    """

    def get(self, group: str, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        """The stored object, or None. `namespace` is "" for cluster-scoped resources."""

    def list(self, group: str, plural: str, namespace: str = "") -> list[dict[str, Any]]:
        """All objects of a resource, in name order, of one namespace or of all ("")."""

    def observe(self, group: str, plural: str, callback: ObjectCallback) -> Callable[[], None]:
        """Calls back for each existing object (type "ADDED") at once, then after each commit.

        The callback runs before the writer gets its answer, so who reads its own write sees it applied.
        Returns a function that ends the observation.
        """


ObjectCallback = Callable[[str, dict[str, Any]], None]
"""(type, object): type is ADDED, MODIFIED or DELETED; DELETED carries the last state."""


class Authenticator(Protocol):
    def authenticate(
        self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None
    ) -> UserInfo:
        """Who sends this request.

        `headers` is case-insensitive. `peer_certificate` is what `ssl.SSLSocket.getpeercert()` says of a
        client certificate that was verified against the client CA or the front-proxy CA, or None.
        Raises `StatusError` 401 for credentials that are wrong; no credentials mean "system:anonymous".
        """


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> Decision:
        """Whether this may be done. Never raises; answers from memory."""


class AdmissionChain(Protocol):
    async def mutate(self, attributes: AdmissionAttributes) -> dict[str, Any] | None:
        """Runs mutating admission and returns the object to go on with (None on DELETE without object).

        May change `attributes.object` in place. Raises `StatusError` to refuse.
        """

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Runs validating admission on the final object. Raises `StatusError` to refuse."""

    def concerns(self, group: str, version: str, plural: str, subresource: str, operation: str) -> bool:
        """False if no plugin, webhook or policy can have an interest: then both calls are skipped."""


ProxyHandler = Callable[[web.Request, UserInfo], Awaitable[web.StreamResponse]]


class Aggregator(Protocol):
    def route(self, group: str, version: str) -> ProxyHandler | None:
        """The handler for a group version served by an APIService with a service, else None.

        The handler is called after authentication and authorisation.
        """

    def group_versions(self) -> list[tuple[str, str]]:
        """All (group, version) that `route` answers for, for discovery."""


class TokenIssuer(Protocol):
    async def issue(self, service_account: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """Answers a TokenRequest for `serviceaccounts/token`: the document with status filled in."""


ReviewHandler = Callable[[dict[str, Any], UserInfo], Awaitable[dict[str, Any]]]
"""Answers a virtual, create-only resource such as SubjectAccessReview: posted document -> answer."""


class Everyone:
    """Authenticator for tests: each request comes from the administrator."""

    def authenticate(
        self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None
    ) -> UserInfo:
        return ADMIN


class AllowAll:
    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(allowed=True)


class AdmitAll:
    async def mutate(self, attributes: AdmissionAttributes) -> dict[str, Any] | None:
        return attributes.object

    async def validate(self, attributes: AdmissionAttributes) -> None:
        return None

    def concerns(self, group: str, version: str, plural: str, subresource: str, operation: str) -> bool:
        return False


class NoAggregation:
    def route(self, group: str, version: str) -> ProxyHandler | None:
        return None

    def group_versions(self) -> list[tuple[str, str]]:
        return []
