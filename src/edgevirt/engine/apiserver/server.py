"""The API server as one component: store, registry, seams, HTTP over TLS, background work."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from edgevirt.engine.apiserver import admission, aggregation, auth
from edgevirt.engine.apiserver.admission.caller import WebhookCaller
from edgevirt.engine.apiserver.aggregation.endpoints import ServiceDirectory
from edgevirt.engine.apiserver.aggregation.trust import TrustStore
from edgevirt.engine.apiserver.auth import issuer_discovery
from edgevirt.engine.apiserver.auth.role_aggregation import RoleAggregation
from edgevirt.engine.apiserver.auth.token_secrets import TokenSecrets
from edgevirt.engine.apiserver.auth.tokens import ServiceAccountTokens
from edgevirt.engine.apiserver.bootstrap import Bootstrap, kubernetes_service
from edgevirt.engine.apiserver.cluster import Cluster, Seams
from edgevirt.engine.apiserver.customresources import CustomResources
from edgevirt.engine.apiserver.discovery import Discovery, ExternalGroupVersion
from edgevirt.engine.apiserver.durability import VOLATILE_COLLECTIONS
from edgevirt.engine.apiserver.expiry import expire_events
from edgevirt.engine.apiserver.http.connections import ConnectionLimits, ConnectionServer
from edgevirt.engine.apiserver.http.health import Health
from edgevirt.engine.apiserver.http.metrics import Metrics, counter, gauge, gauges
from edgevirt.engine.apiserver.http.nonresource import (
    KUBERNETES_RELEASE,
    KUBERNETES_VERSION,
    IssuerDocuments,
    NonResource,
)
from edgevirt.engine.apiserver.http.observer import Observer, request_factory
from edgevirt.engine.apiserver.http.options import WriteOptions
from edgevirt.engine.apiserver.http.rest import Rest
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.kinds.service_network import DEFAULT_SUBNET, ServiceNetwork
from edgevirt.engine.apiserver.nodes.kubelet import Kubelets
from edgevirt.engine.apiserver.openapi import OpenApi
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import ADMIN, UserInfo
from edgevirt.engine.apiserver.writing.delete import Deletes
from edgevirt.engine.apiserver.writing.write import Request, Transform, Writes
from edgevirt.engine.pki.authority import utc_now
from edgevirt.engine.store.store import Store, StoreSettings
from edgevirt.kube.memory import Trim

if TYPE_CHECKING:
    from edgevirt.engine.apiserver.audit import Audit

_log = logging.getLogger("edgevirt.engine.apiserver")

STORE_FILE = "store.db"
_SHUTDOWN_SECONDS = 3.0
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`policy` is a level (Metadata, Request, RequestResponse) or a file with an audit.k8s.io/v1 Policy."""

    log: Path
    policy: str = "Metadata"
    max_bytes: int = 100 * 1024 * 1024
    backups: int = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server is given. Paths are PEM files.

    data_dir: holds the store (and is created with mode 0700).
    certificate, key: what the server shows to clients.
    client_ca: whose client certificates identify users; None accepts none.
    front_proxy_ca: whose certificates may speak for users (requestheader); given to aggregated servers.
    front_proxy_certificate, front_proxy_key: how this server calls aggregated ones.
    kubelet_ca, kubelet_certificate, kubelet_key: how this server calls kubelets.
    token_key_dir: holds the service account signing key, made on first use.
    static_tokens: bearer tokens of fixed users.
    secure: False lets everything through, for tests of the REST layer alone.
    audit: what is written about requests and where; None writes nothing.
    service_subnet: cluster addresses of services.
    advertise_address: under which address pods reach the server, published as the endpoint of the service
        `kubernetes`; "" publishes none, and then the service has no endpoint.
    reload: set it after replacing certificate files; the server takes the new ones for new connections.
    """

    data_dir: Path
    address: str
    port: int
    certificate: Path
    key: Path
    client_ca: Path | None = None
    front_proxy_ca: Path | None = None
    front_proxy_certificate: Path | None = None
    front_proxy_key: Path | None = None
    kubelet_ca: Path | None = None
    kubelet_certificate: Path | None = None
    kubelet_key: Path | None = None
    token_key_dir: Path | None = None
    static_tokens: dict[str, UserInfo] = field(default_factory=dict)
    secure: bool = True
    reload: asyncio.Event | None = None
    audit: AuditSettings | None = None
    service_subnet: str = DEFAULT_SUBNET
    advertise_address: str = ""
    store: StoreSettings | None = None
    connections: ConnectionLimits = ConnectionLimits()
    clock: Callable[[], float] = time.time


async def run(settings: Settings, started: asyncio.Event) -> None:
    """Serves until cancelled; sets `started` once it listens and all built-in objects exist.

    Raises `StoreError` for a store that cannot be opened, OSError and ssl.SSLError for the address or files.
    """
    server = ApiServer(settings)
    await server.open()
    try:
        await server.listen()
        async with asyncio.TaskGroup() as tasks:
            server.work(tasks)
            started.set()
    finally:
        await server.close()


class ApiServer:
    """The parts of one running server: `open`, `listen`, `work` within a TaskGroup, in the end `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = self._closing = False
        self._metrics = Metrics(KUBERNETES_VERSION)
        self._metrics.add(self._measured)
        self._audit: Audit | None = None
        self._tokens: ServiceAccountTokens | None = None
        self._trim = Trim()
        self.port = settings.port

    async def open(self) -> None:
        """Opens the store and wires everything; nothing is served yet."""
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        store_settings = settings.store or StoreSettings(
            volatile_collections=VOLATILE_COLLECTIONS, on_release=self._trim.ask
        )
        self._store = await Store.open(settings.data_dir / STORE_FILE, store_settings)
        network = ServiceNetwork(settings.service_subnet)
        self.cluster = Cluster(self._store, builtin_registry(network), Seams(), settings.clock)
        self.cluster.observe("", "services", network.stored)
        self._writes, self._deletes = Writes(self.cluster), Deletes(self.cluster)
        self._custom = CustomResources(self.cluster, self._writes, self._deletes)
        self._custom.start()
        self._chain: admission.Chain | None = None
        self._conversion_caller: WebhookCaller | None = None
        self._aggregator: aggregation.Aggregator | None = None
        if settings.secure:
            self._secure()
        self._kubelets = Kubelets(self.cluster, _kubelet_context(settings))
        if settings.audit is not None:
            self._audit = _start_audit(settings.audit, settings.clock)
        self._rest = Rest(self.cluster, self._nonresource(), self._kubelets)
        self._context = server_context(settings)

    def _secure(self) -> None:
        """Puts the real authentication, authorisation, admission and aggregation in."""
        settings, cluster = self._settings, self.cluster
        client_ca = settings.client_ca.read_bytes() if settings.client_ca else None
        parts = auth.build(
            cluster, settings.token_key_dir or settings.data_dir, client_ca, settings.static_tokens
        )
        directory = ServiceDirectory()
        directory.observe(cluster)
        self._conversion_caller = cluster.seams.conversion = WebhookCaller(directory, TrustStore())
        seams = cluster.seams
        seams.authenticator, seams.authorizer = parts.authenticator, parts.authorizer
        seams.token_issuer, seams.reviews = parts.tokens, dict(parts.reviews)
        self._tokens = parts.tokens
        self._roles = RoleAggregation(cluster, self._writes)
        self._token_secrets = TokenSecrets(
            cluster, self._writes, self._deletes, parts.tokens, client_ca or settings.certificate.read_bytes()
        )
        self._chain = admission.build(
            cluster, cluster.registry, parts.access, directory, parts.authorizer, self._charge_quota
        )
        seams.admission = self._chain
        if settings.front_proxy_certificate and settings.front_proxy_key:
            self._aggregator = aggregation.build(
                cluster,
                directory,
                settings.front_proxy_certificate,
                settings.front_proxy_key,
                self._write_api_service_status,
            )
            seams.aggregator = self._aggregator

    def _nonresource(self) -> NonResource:
        registry = self.cluster.registry
        return NonResource(
            Discovery(registry, self._external),
            OpenApi(registry, KUBERNETES_RELEASE),
            f"{self._settings.address}:{self._settings.port}",
            _build(),
            Health(
                {"etcd": lambda: "the store is closed" if self._store.closed else ""},
                {
                    "poststarthook/rbac/bootstrap-roles": lambda: "" if self._ready else "not finished",
                    "shutdown": lambda: "the server is shutting down" if self._closing else "",
                },
            ),
            self._metrics.text,
            self._issuer_documents,
        )

    def _issuer_documents(self, address: str) -> IssuerDocuments | None:
        if self._tokens is None:
            return None
        keys = self._tokens.keys.public
        configured = issuer_discovery.configuration(self._tokens.issuer, address)
        return configured, issuer_discovery.key_set(keys)

    def _measured(self) -> Iterator[str]:
        """What is counted elsewhere than with the requests."""
        objects = {
            resource.group_resource: float(len(self._store.collection(resource.storage_prefix)))
            for resource in self.cluster.registry.list()
            if resource.storage_version and resource.stored
        }
        text = "Stored objects by resource."
        yield from gauges("apiserver_storage_objects", text, "resource", objects)
        watchers = sum(len(self._store.collection(name).subscriptions) for name in self._store.collections())
        yield from gauge("apiserver_store_watchers", "Watches that follow the store.", watchers)
        yield from gauge("apiserver_store_revision", "The latest revision.", self._store.revision)
        if self._audit is not None:
            yield from counter("apiserver_audit_event_total", "Audit events written.", self._audit.written)
            yield from counter("apiserver_audit_error_total", "Audit events dropped.", self._audit.dropped)

    def _external(self) -> list[ExternalGroupVersion]:
        """What aggregated servers add to discovery."""
        if self._aggregator is None:
            return []
        found: list[ExternalGroupVersion] = []
        for group, version in self._aggregator.group_versions():
            service = (
                self.cluster.get("apiregistration.k8s.io", "apiservices", "", f"{version}.{group}") or {}
            )
            spec = service.get("spec") or {}
            served = self._aggregator.resources(group, version)
            found.append(
                ExternalGroupVersion(
                    group=group,
                    version=version,
                    group_priority=spec.get("groupPriorityMinimum") or 0,
                    version_priority=spec.get("versionPriority") or 0,
                    resources=None if served is None else [dict(entry) for entry in served],
                )
            )
        return found

    async def _write_api_service_status(self, name: str, status: dict[str, object]) -> None:
        resource = self.cluster.registry.lookup("apiregistration.k8s.io", "v1", "apiservices")
        assert resource is not None
        await self._write_status(resource, "", name, lambda stored: {**stored, "status": status})

    async def _charge_quota(self, namespace: str, name: str, transform: Transform) -> None:
        resource = self.cluster.registry.lookup("", "v1", "resourcequotas")
        assert resource is not None
        await self._write_status(resource, namespace, name, transform)

    async def _write_status(
        self, resource: ServedResource, namespace: str, name: str, transform: Transform
    ) -> None:
        request = Request(
            resource=resource,
            namespace=namespace,
            name=name,
            subresource="status",
            user=ADMIN,
            manager="kube-apiserver",
            options=WriteOptions(dry_run=False, field_manager="", field_validation="Ignore"),
            warnings=[],
        )
        await self._writes.update(request, transform, patch=True)

    async def listen(self) -> None:
        """Creates what must exist and accepts connections. Raises OSError if the address is taken."""
        await Bootstrap(self.cluster, self._writes).run(self._trust_configuration(), self._kubernetes())
        if self._tokens is not None:
            await self._roles.settle()
        observer = Observer(self._rest.handle, self._metrics.requests, self._audit, self._settings.clock)
        server = ConnectionServer(
            observer.handle, self._settings.connections, request_factory(asyncio.get_running_loop())
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            self._settings.address,
            self._settings.port,
            ssl_context=self._context,
            backlog=_BACKLOG,
        )
        await site.start()
        address = self._runner.addresses[0]
        self.port = address[1]
        self._ready = True
        _log.info("listening", extra={"address": address[0], "port": self.port})

    def work(self, tasks: asyncio.TaskGroup) -> None:
        """Starts what runs beside the requests; call it right after `listen`."""
        tasks.create_task(self._custom.run(), name="custom-resources")
        tasks.create_task(expire_events(self.cluster), name="event-expiry")
        if self._tokens is not None:
            tasks.create_task(self._token_secrets.run(), name="token-secrets")
            tasks.create_task(self._roles.run(), name="role-aggregation")
        if self._aggregator is not None:
            tasks.create_task(self._aggregator.run(), name="aggregator")
        if self._settings.reload is not None:
            tasks.create_task(self._reload_certificates(self._settings.reload), name="certificates")

    def _trust_configuration(self) -> list[dict[str, object]]:
        settings = self._settings
        if not settings.client_ca or not settings.front_proxy_ca:
            return []
        return [
            aggregation.authentication_config_map(
                settings.client_ca.read_bytes(), settings.front_proxy_ca.read_bytes()
            )
        ]

    def _kubernetes(self) -> list[dict[str, Any]]:
        """The service by which pods find this server."""
        network = ServiceNetwork(self._settings.service_subnet)
        return kubernetes_service(network.first, self._settings.advertise_address, self._settings.port)

    async def _reload_certificates(self, changed: asyncio.Event) -> None:
        while True:
            await changed.wait()
            changed.clear()
            try:
                self._context.load_cert_chain(self._settings.certificate, self._settings.key)
                if self._aggregator is not None:
                    self._aggregator.renew_certificate()
                self._kubelets.renew(_kubelet_context(self._settings))
                if self._tokens is not None:
                    self._tokens.keys.rotate_if_due(utc_now())
            except (OSError, ssl.SSLError) as error:
                _log.error("new certificates cannot be loaded: %s", error)

    async def close(self) -> None:
        """Ends watches, then connections, then the store. Idempotent."""
        self._ready, self._closing = False, True
        self._trim.close()
        for name in self._store.collections():
            for subscription in tuple(self._store.collection(name).subscriptions):
                subscription.close()
        runner: web.ServerRunner | None = getattr(self, "_runner", None)
        if runner is not None:
            await runner.cleanup()
        await self._kubelets.close()
        if self._chain is not None:
            await self._chain.close()
        if self._conversion_caller is not None:
            await self._conversion_caller.close()
        await self._store.close()
        if self._audit is not None:
            await asyncio.to_thread(self._audit.close)


def _start_audit(settings: AuditSettings, clock: Callable[[], float]) -> Audit:
    """Imported here: a server without audit log does not pay for one. Raises PolicyError and OSError."""
    from edgevirt.engine.apiserver.audit import Audit, AuditLog, LogSettings, load

    policy = load(settings.policy)
    log = AuditLog(LogSettings(settings.log, settings.max_bytes, settings.backups), clock)
    log.start()
    return Audit(policy, log, clock)


def server_context(settings: Settings) -> ssl.SSLContext:
    """TLS for clients: certificates are optional, but checked when shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    context.set_alpn_protocols(["http/1.1"])
    authorities = [path for path in (settings.client_ca, settings.front_proxy_ca) if path is not None]
    if authorities:
        context.verify_mode = ssl.CERT_OPTIONAL
        for path in authorities:
            context.load_verify_locations(path)
    return context


def _kubelet_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kubelet_certificate or not settings.kubelet_key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kubelet_ca is not None:
        context.load_verify_locations(settings.kubelet_ca)
    context.load_cert_chain(settings.kubelet_certificate, settings.kubelet_key)
    return context


def _build() -> str:
    try:
        return importlib.metadata.version("edgevirt")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
