"""virt-api with real TLS, between a small stand-in for the API server and one for virt-handler."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import datetime
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jsonpatch
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, Any]
NAMES = "/namespaces/{namespace}/{plural}/{name}"


class Cluster:
    """Objects of kubevirt.io and nodes, as an API server keeps them; permission for all but `forbidden`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.nodes: dict[str, Json] = {}
        self.reviews: list[Json] = []
        self.patches: list[tuple[str, Json]] = []
        self.forbidden: set[str] = set()
        self.conflicts = 0
        """How many of the next patches somebody else gets ahead of."""

    def put(self, plural: str, name: str, body: Json) -> None:
        kind = {"virtualmachines": "VirtualMachine", "virtualmachineinstances": "VirtualMachineInstance"}[
            plural
        ]
        metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "1"}
        self.objects[plural, name] = {
            "apiVersion": "kubevirt.io/v1",
            "kind": kind,
            "metadata": metadata,
            **body,
        }

    def application(self) -> web.Application:
        application = web.Application()
        base = "/apis/kubevirt.io/v1"
        application.add_routes(
            [
                web.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", self._review),
                web.get(f"{base}/kubevirts", self._kubevirts),
                web.get(base + NAMES, self._get),
                web.patch(base + NAMES, self._patch),
                web.patch(base + NAMES + "/{sub}", self._patch),
                web.get("/api/v1/nodes/{name}", self._node),
                web.get("/version", self._version),
            ]
        )
        return application

    async def _review(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.reviews.append(review["spec"])
        user = review["spec"]["user"]
        status = {"allowed": user not in self.forbidden, "reason": "because"}
        return web.json_response({**review, "status": status}, status=201)

    async def _kubevirts(self, request: web.Request) -> web.Response:
        item = {"metadata": {"name": "kubevirt", "namespace": "kubevirt"}, "spec": {}}
        return web.json_response(
            {"kind": "KubeVirtList", "apiVersion": "kubevirt.io/v1", "metadata": {}, "items": [item]}
        )

    async def _get(self, request: web.Request) -> web.Response:
        found = self.objects.get((request.match_info["plural"], request.match_info["name"]))
        return web.json_response(found) if found else _status(404, "NotFound")

    async def _node(self, request: web.Request) -> web.Response:
        found = self.nodes.get(request.match_info["name"])
        return web.json_response(found) if found else _status(404, "NotFound")

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"major": "1"})

    async def _patch(self, request: web.Request) -> web.Response:
        key = (request.match_info["plural"], request.match_info["name"])
        stored = self.objects[key]
        patch = await request.json()
        if self.conflicts:
            self.conflicts -= 1
            _bump(stored)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version not in (None, stored["metadata"]["resourceVersion"]):
            return _status(409, "Conflict")
        self.patches.append(("/".join(filter(None, (*key, request.match_info.get("sub", "")))), patch))
        _merge(stored, patch)
        _bump(stored)
        return web.json_response(stored)


def _bump(stored: Json) -> None:
    stored["metadata"]["resourceVersion"] = str(int(stored["metadata"]["resourceVersion"]) + 1)


def _merge(target: Json, patch: Json) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.setdefault(key, {}), dict):
            _merge(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = value


def _status(code: int, reason: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**body, "message": reason}, status=code)


@dataclasses.dataclass
class Handler:
    """A virt-handler: answers every message of a console in upper case."""

    port: int = 0
    consoles: asyncio.Queue[str] = dataclasses.field(default_factory=asyncio.Queue)

    async def console(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("plain.kubevirt.io",))
        await socket.prepare(request)
        await self.consoles.put(request.path)
        async for message in socket:
            if message.data == b"bye":
                break
            await socket.send_bytes(message.data.upper())
        await socket.close()
        return socket


@dataclasses.dataclass
class VirtApi:
    """virt-api as its clients see it."""

    url: str
    session: aiohttp.ClientSession
    front_proxy: ssl.SSLContext
    stranger: ssl.SSLContext
    """Trusts the server, shows a certificate of the right authority with another name."""
    anonymous: ssl.SSLContext
    cluster: Cluster
    handler: Handler

    async def review(self, path: str, request: Json) -> Json:
        """The response of a webhook."""
        body = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "1", "operation": "CREATE", "namespace": "ns", **request},
        }
        async with self.session.post(self.url + path, json=body, ssl=self.anonymous) as answer:
            assert answer.status == 200, await answer.text()
            review: Json = await answer.json()
        assert review["kind"] == "AdmissionReview"
        response: Json = review["response"]
        assert response["uid"] == "1"
        return response

    async def call(
        self, method: str, path: str, body: Any = None, user: str = "alice", tls: ssl.SSLContext | None = None
    ) -> tuple[int, Any]:
        """Status and body (parsed if JSON) of a call to the aggregated API by the front proxy."""
        headers = {
            "X-Remote-User": user,
            "X-Remote-Group": "system:authenticated",
            "X-Remote-Extra-A%2fb": "c",
        }
        url = f"{self.url}/apis/subresources.kubevirt.io/v1{path}"
        async with self.session.request(
            method, url, data=body, headers=headers, ssl=tls or self.front_proxy
        ) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def serving(application: web.Application, tls: ssl.SSLContext) -> AsyncIterator[int]:
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def client_tls(trusted: trustme.CA, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    return context


def certificate_with_uri(authority: trustme.CA, uri: str) -> trustme.LeafCert:
    """A server certificate whose only other name is a URI, which trustme itself does not offer."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "virt-handler")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return trustme.LeafCert(private, certificate.public_bytes(pem), [])


def patched(before: Json, response: Json) -> Json:
    """The object after a webhook's patch."""
    assert response["allowed"], response
    if "patch" not in response:
        return before
    assert response["patchType"] == "JSONPatch"
    after: Json = jsonpatch.apply_patch(before, json.loads(base64.b64decode(response["patch"])))
    return after
