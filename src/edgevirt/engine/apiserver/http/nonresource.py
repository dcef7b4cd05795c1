"""Paths that are no resources: health, version, discovery, OpenAPI and the index of it all."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from aiohttp import web

from edgevirt.engine.apiserver.discovery import Discovery, Document
from edgevirt.engine.apiserver.errors import StatusError, method_not_allowed, no_such_path
from edgevirt.engine.apiserver.http.forms import respond
from edgevirt.engine.apiserver.http.health import KINDS, Health
from edgevirt.engine.apiserver.http.metrics import CONTENT_TYPE as METRICS_TYPE
from edgevirt.engine.apiserver.http.negotiation import AVAILABLE, JSON, YAML, negotiate
from edgevirt.engine.apiserver.objects import encode_json
from edgevirt.engine.apiserver.openapi import OpenApi, wants_protobuf

KUBERNETES_MAJOR, KUBERNETES_MINOR = "1", "36"
KUBERNETES_RELEASE = f"{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}"
KUBERNETES_VERSION = f"v{KUBERNETES_RELEASE}.0"

IssuerDocuments = tuple[dict[str, Any], dict[str, Any]]
"""The OpenID configuration and the key set."""


class NonResource:
    """Answers from memory; `checks` are the named parts of /readyz and /healthz."""

    def __init__(
        self,
        discovery: Discovery,
        openapi: OpenApi,
        address: str,
        build: str,
        health: Health,
        metrics: Callable[[], str],
        issuer: Callable[[str], IssuerDocuments | None],
    ) -> None:
        """`address` is host:port as clients reach this server, `build` this program's own version.

        `issuer` gives, for an address, what is published about service account tokens.
        """
        self._discovery = discovery
        self._openapi = openapi
        self._address = address
        self._health = health
        self._metrics = metrics
        self._issuer = issuer
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        self._version = encode_json(
            {
                "major": KUBERNETES_MAJOR,
                "minor": KUBERNETES_MINOR,
                "gitVersion": f"{KUBERNETES_VERSION}+edgevirt-{build}",
                "gitCommit": "",
                "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z",
                "goVersion": "",
                "compiler": "",
                "platform": f"linux/{machine}",
            }
        )

    def serve(self, raw: web.BaseRequest, path: str) -> web.Response:
        """Raises `StatusError` 404, 405 or 406."""
        if raw.method not in ("GET", "HEAD"):
            raise method_not_allowed() if self._known(path) else no_such_path()
        parts = path.strip("/").split("/")
        match parts:
            case [""]:
                return respond(raw, encode_json({"paths": self._paths()}))
            case ["version"]:
                return respond(raw, self._version, negotiate(raw.headers.get("Accept", "")))
            case [("healthz" | "livez" | "readyz") as kind, *rest]:
                return self._health.answer(raw, kind, "/".join(rest))
            case ["metrics"]:
                return web.Response(
                    text=self._metrics(), headers={"Content-Type": f"{METRICS_TYPE}; charset=utf-8"}
                )
            case [".well-known", "openid-configuration"] | ["openid", "v1", "jwks"]:
                return self._serve_issuer(keys=parts[0] == "openid")
            case ["openapi", *rest]:
                return self._serve_openapi(raw, rest)
            case ["api" | "apis", *_]:
                return self._serve_discovery(raw, parts)
        raise no_such_path()

    @staticmethod
    def _known(path: str) -> bool:
        first = path.strip("/").partition("/")[0]
        return first in (*KINDS, "version", "openapi", "api", "apis", "metrics", "openid", ".well-known", "")

    def _paths(self) -> list[str]:
        """What a browser would find, as `kubectl get --raw /` shows it."""
        paths = ["/.well-known/openid-configuration", "/api", "/apis", "/metrics", "/openapi/v2"]
        paths += ["/openapi/v3", "/openid/v1/jwks", "/version"]
        for group, versions in self._discovery.group_versions().items():
            if group:
                paths.append(f"/apis/{group}")
            paths += [f"/apis/{group}/{version}" if group else f"/api/{version}" for version in versions]
        return sorted((*paths, *self._health.paths()))

    def _serve_issuer(self, keys: bool) -> web.Response:
        documents = self._issuer(self._address)
        if documents is None:
            raise no_such_path()
        kind = "application/jwk-set+json" if keys else "application/json"
        headers = {"Content-Type": kind, "Cache-Control": "public, max-age=3600"}
        return web.Response(body=encode_json(documents[1 if keys else 0]), headers=headers)

    def _serve_discovery(self, raw: web.BaseRequest, parts: list[str]) -> web.Response:
        discovery = self._discovery
        document: Document | None
        match parts:
            case ["api" | "apis"]:
                if wants_aggregated(raw.headers.get("Accept", "")):
                    document = discovery.aggregated(core=parts == ["api"])
                elif parts == ["api"]:
                    document = discovery.api_versions(self._address)
                else:
                    document = discovery.api_groups()
            case ["api", version]:
                document = discovery.api_resources("", version)
            case ["apis", group]:
                document = discovery.api_group(group)
            case ["apis", group, version]:
                document = discovery.api_resources(group, version)
            case _:
                document = None
        if document is None:
            raise no_such_path()
        return _send(raw, document)

    def _serve_openapi(self, raw: web.BaseRequest, rest: list[str]) -> web.Response:
        openapi = self._openapi
        match rest:
            case ["v2"]:
                accept = raw.headers.get("Accept", "")
                return _send(raw, openapi.v2_protobuf() if wants_protobuf(accept) else openapi.v2_json())
            case ["v3"]:
                return _send(raw, openapi.v3_index())
            case ["v3", *path]:
                document = openapi.v3_group_version("/".join(path))
                if document is not None:
                    return _send(raw, document)
        raise no_such_path()


def _send(raw: web.BaseRequest, document: Document) -> web.Response:
    headers = {
        "Content-Type": document.content_type,
        "ETag": document.etag,
        "Cache-Control": "public",
        "Vary": "Accept",
    }
    if raw.headers.get("If-None-Match") == document.etag:
        return web.Response(status=304, headers=headers)
    if document.content_type == JSON.content_type and "yaml" in raw.headers.get("Accept", ""):
        accepted = negotiate(raw.headers["Accept"])
        if accepted.yaml:
            return respond(raw, document.body, accepted)
    return web.Response(body=document.body, headers=headers)


def wants_aggregated(accept: str) -> bool:
    """Whether aggregated discovery is asked for before plain JSON. Raises `StatusError` 406."""
    if not accept:
        return False
    for clause in accept.split(","):
        media, *pairs = (part.strip() for part in clause.split(";"))
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if media.lower() in YAML and "as" not in parameters:
            return False
        if media.lower() not in ("application/json", "*/*", "application/*"):
            continue
        if "as" not in parameters:
            return False
        if parameters == _AGGREGATED_PARAMETERS | {k: v for k, v in parameters.items() if k == "q"}:
            return True
    raise StatusError(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {', '.join(AVAILABLE)}",
    )


_AGGREGATED_PARAMETERS = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
