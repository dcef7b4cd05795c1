"""Secrets of type kubernetes.io/service-account-token: filled with a token, gone with their account.

The token never expires; it is valid as long as the secret holds it and the account exists with the same uid.
Whoever wants one names the account in an annotation. The controller lives beside the API server, because
it signs: it is told of every change of secrets and accounts and brings one secret after the other in order;
what fails is tried again when anything about it changes, or after a pause.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from typing import Any

from multidict import MultiDict

from edgevirt.engine.apiserver.auth.tokens import ServiceAccountTokens
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.http.options import WriteOptions, delete_options
from edgevirt.engine.apiserver.request import ADMIN
from edgevirt.engine.apiserver.writing.delete import Deletes
from edgevirt.engine.apiserver.writing.write import Request, Writes

_log = logging.getLogger("edgevirt.engine.apiserver")

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
_MANAGER = "kube-controller-manager"
_OPTIONS = WriteOptions(dry_run=False, field_manager=_MANAGER, field_validation="Ignore")
_RETRY_SECONDS = 10.0

Json = dict[str, Any]
Key = tuple[str, str]


def is_orphan(secret: Mapping[str, Any], account: Mapping[str, Any] | None) -> bool:
    """Whether the account a token secret names does not exist, or is another one than it was made for."""
    if account is None:
        return True
    uid = (secret["metadata"].get("annotations") or {}).get(UID, "")
    return bool(uid) and uid != account["metadata"]["uid"]


def filled(
    secret: Mapping[str, Any], account: Mapping[str, Any], ca: bytes, issue: Callable[[], str]
) -> Json | None:
    """The secret with what is missing in it, None if nothing is. `issue` makes a token. Pure but for that."""
    metadata, data = secret["metadata"], dict(secret.get("data") or {})
    wanted = {"ca.crt": _encoded(ca), "namespace": _encoded(metadata["namespace"].encode())}
    annotations = dict(metadata.get("annotations") or {})
    uid = account["metadata"]["uid"]
    complete = all(data.get(key) == value for key, value in wanted.items())
    if complete and data.get("token") and annotations.get(UID) == uid:
        return None
    data |= wanted
    if not data.get("token"):
        data["token"] = _encoded(issue().encode())
    annotations[UID] = uid
    return {**secret, "metadata": {**metadata, "annotations": annotations}, "data": data}


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


class TokenSecrets:
    """`run` it for as long as the server runs. `ca` is what the secrets give their readers to trust."""

    def __init__(
        self, cluster: Cluster, writes: Writes, deletes: Deletes, tokens: ServiceAccountTokens, ca: bytes
    ) -> None:
        self._cluster, self._writes, self._deletes = cluster, writes, deletes
        self._tokens = tokens
        self._ca = ca
        self._pending: dict[Key, None] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        ends = [
            self._cluster.observe("", "secrets", self._secret_changed),
            self._cluster.observe("", "serviceaccounts", self._account_changed),
        ]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    await self._reconcile(next(iter(self._pending)))
        finally:
            for end in ends:
                end()

    def _enqueue(self, key: Key) -> None:
        self._pending[key] = None
        self._wake.set()

    def _secret_changed(self, event: str, secret: Json) -> None:
        if secret.get("type") == TYPE and event != "DELETED":
            self._enqueue((secret["metadata"]["namespace"], secret["metadata"]["name"]))

    def _account_changed(self, event: str, account: Json) -> None:
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        if event != "DELETED":
            return
        for secret in self._cluster.list("", "secrets", namespace):
            annotations = secret["metadata"].get("annotations") or {}
            if secret.get("type") == TYPE and annotations.get(NAME) == name:
                self._enqueue((namespace, secret["metadata"]["name"]))

    async def _reconcile(self, key: Key) -> None:
        self._pending.pop(key, None)
        try:
            await self._bring_in_order(*key)
        except StatusError as error:
            if error.code in (404, 409):
                return  # it changed meanwhile, which was or will be told
            _log.warning("a token secret cannot be kept: %s", error, extra={"secret": "/".join(key)})
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._enqueue, key)

    async def _bring_in_order(self, namespace: str, name: str) -> None:
        secret = self._cluster.get("", "secrets", namespace, name)
        if secret is None or secret.get("type") != TYPE:
            return
        account_name = (secret["metadata"].get("annotations") or {}).get(NAME, "")
        account = self._cluster.get("", "serviceaccounts", namespace, account_name)
        request = self._request(namespace, name)
        if account is None or is_orphan(secret, account):
            uid = {"preconditions": {"uid": secret["metadata"]["uid"]}}
            await self._deletes.delete(request, delete_options(_NO_QUERY, uid))
            return

        def issue() -> str:
            return self._tokens.issue_for_secret(account, name)

        def fill(stored: Json) -> Json:
            return filled(stored, account, self._ca, issue) or stored

        if fill(secret) is not secret:
            await self._writes.update(request, fill, patch=True)

    def _request(self, namespace: str, name: str) -> Request:
        resource = self._cluster.registry.lookup("", "v1", "secrets")
        assert resource is not None
        return Request(
            resource=resource,
            namespace=namespace,
            name=name,
            subresource="",
            user=ADMIN,
            manager=_MANAGER,
            options=_OPTIONS,
            warnings=[],
        )


_NO_QUERY: MultiDict[str] = MultiDict()
