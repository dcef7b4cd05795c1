"""The HTTP face: one handler that authenticates, authorises, finds the resource and runs the verb."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web

from edgevirt.engine.apiserver.auth.impersonation import impersonate
from edgevirt.engine.apiserver.auth.refusal import refusal
from edgevirt.engine.apiserver.cluster import Cluster
from edgevirt.engine.apiserver.errors import (
    Cause,
    StatusError,
    bad_request,
    internal,
    invalid,
    method_not_allowed,
    no_such_path,
    unsupported_patch_type,
)
from edgevirt.engine.apiserver.http.applied import check_applied
from edgevirt.engine.apiserver.http.body import (
    media_type,
    read_object,
    read_options,
    read_patch,
)
from edgevirt.engine.apiserver.http.compression import compressed
from edgevirt.engine.apiserver.http.decode import check_patched, decode_object
from edgevirt.engine.apiserver.http.forms import Answers, refuse, respond
from edgevirt.engine.apiserver.http.json_syntax import go_type
from edgevirt.engine.apiserver.http.negotiation import JSON, negotiate
from edgevirt.engine.apiserver.http.nonresource import NonResource
from edgevirt.engine.apiserver.http.options import (
    DeleteOptions,
    WriteOptions,
    delete_options,
    is_watch,
    list_options,
    write_options,
)
from edgevirt.engine.apiserver.http.path import ResourcePath, parse_path, verb_of
from edgevirt.engine.apiserver.http.request_body import read_body
from edgevirt.engine.apiserver.http.trail import trail_of
from edgevirt.engine.apiserver.http.yaml_document import parse_with_repetitions
from edgevirt.engine.apiserver.kinds import ephemeral_containers
from edgevirt.engine.apiserver.nodes.connect import SUBRESOURCES, Connections
from edgevirt.engine.apiserver.nodes.kubelet import Kubelets
from edgevirt.engine.apiserver.objects import decode_json, encode_json
from edgevirt.engine.apiserver.reading.read import Page, list_records
from edgevirt.engine.apiserver.reading.selectors import parse as parse_selector
from edgevirt.engine.apiserver.reading.watch import Watch
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import Attributes, UserInfo
from edgevirt.engine.apiserver.schema.request_types import check_body
from edgevirt.engine.apiserver.usage.service import ResourceMetrics
from edgevirt.engine.apiserver.writing import strategic
from edgevirt.engine.apiserver.writing.delete import Deletes
from edgevirt.engine.apiserver.writing.patch import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    json_patch,
    merge_patch,
)
from edgevirt.engine.apiserver.writing.subresources import Subresources
from edgevirt.engine.apiserver.writing.write import Request, Writes

_log = logging.getLogger("edgevirt.engine.apiserver")

Json = dict[str, Any]

_HALVES = frozenset({"status", ephemeral_containers.SUBRESOURCE})
"""Subresources that are a part of the object, read and written as the object itself."""
_POST_ONLY = frozenset({"binding", "eviction", "token"})


class Rest:
    """Handles every request of the server; `handle` never raises but for cancellation."""

    def __init__(self, cluster: Cluster, nonresource: NonResource, kubelets: Kubelets) -> None:
        self._cluster = cluster
        self._nonresource = nonresource
        self._kubelets = kubelets
        self._writes = Writes(cluster)
        self._deletes = Deletes(cluster)
        self._subresources = Subresources(cluster, self._writes, self._deletes)
        self._answers = Answers(cluster)
        self._usage = ResourceMetrics(cluster, kubelets)
        self._connections = Connections(cluster, self._writes, kubelets)

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        warnings: list[str] = []
        try:
            return await self._serve(raw, warnings)
        except StatusError as error:
            return refuse(raw, error, warnings)
        except RecursionError:
            return refuse(raw, bad_request("the object is nested too deeply"), warnings)
        except ConnectionError:
            raise
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("request failed", extra={"method": raw.method, "path": raw.path})
            return refuse(raw, internal("an unexpected error; see the server's log"), warnings)

    async def _serve(self, raw: web.BaseRequest, warnings: list[str]) -> web.StreamResponse:
        text = raw.rel_url.raw_path
        certificate = raw.transport.get_extra_info("peercert") if raw.transport is not None else None
        caller = self._cluster.seams.authenticator.authenticate(raw.headers, certificate or None)
        path = parse_path(text)
        if path is None:
            user = self._authorise(raw, Attributes(caller, raw.method.lower(), path=text))
            return await self._serve_nonresource(raw, text, user)
        watch = not path.name and raw.method == "GET" and is_watch(raw.query)
        verb = verb_of(raw.method, bool(path.name), watch)
        user = self._authorise(
            raw,
            Attributes(
                user=caller,
                verb=verb,
                group=path.group,
                version=path.version,
                resource=path.plural,
                subresource=path.subresource,
                namespace=path.namespace,
                name=path.name or _selected_name(raw),
                path=text,
                field_selector=_field_selector(raw),
            ),
        )
        proxy = self._cluster.seams.aggregator.route(path.group, path.version)
        if proxy is not None:
            # Aggregation only uses what the base class of requests offers.
            trail_of(raw).found()
            return await proxy(cast(web.Request, raw), user)
        resource = self._cluster.registry.lookup(path.group, path.version, path.plural)
        if resource is None:
            raise no_such_path()
        if resource.deprecated_warning:
            warnings.append(resource.deprecated_warning)
        return await self._serve_resource(raw, path, verb, resource, user, warnings)

    def _authorise(self, raw: web.BaseRequest, attributes: Attributes) -> UserInfo:
        """The user to go on with, impersonation considered. Raises `StatusError` 403."""
        authorizer = self._cluster.seams.authorizer
        caller = attributes.user
        user = impersonate(raw.headers, attributes, authorizer)
        if user is not attributes.user:
            attributes = dataclasses.replace(attributes, user=user)
        decision = authorizer.authorize(attributes)
        trail_of(raw).authorized(caller, attributes, decision)
        if not decision.allowed:
            raise refusal(attributes, decision)
        return user

    async def _serve_nonresource(self, raw: web.BaseRequest, path: str, user: UserInfo) -> web.StreamResponse:
        parts = path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) == 3:
            proxy = self._cluster.seams.aggregator.route(parts[1], parts[2])
            if proxy is not None:
                trail_of(raw).found()
                return await proxy(cast(web.Request, raw), user)
        answer = self._nonresource.serve(raw, path)
        trail_of(raw).found()
        return await compressed(raw, answer)

    async def _serve_resource(
        self,
        raw: web.BaseRequest,
        path: ResourcePath,
        verb: str,
        resource: ServedResource,
        user: UserInfo,
        warnings: list[str],
    ) -> web.StreamResponse:
        is_namespaces = resource.plural == "namespaces" and not resource.group
        namespace = "" if is_namespaces else path.namespace
        if namespace and not resource.namespaced:
            raise no_such_path()
        if path.subresource and path.subresource not in resource.subresources:
            raise no_such_path()
        connects = path.subresource in SUBRESOURCES
        if path.rest and path.subresource != "proxy":
            raise no_such_path()
        trail_of(raw).found()
        if not connects and (raw.method == "HEAD" or raw.method not in _METHODS):
            raise method_not_allowed()
        request = Request(
            resource=resource,
            namespace=namespace,
            name=path.name,
            subresource=path.subresource,
            user=user,
            manager="",
            options=_NO_OPTIONS,
            warnings=warnings,
            annotations=trail_of(raw).annotations,
        )
        if connects:
            if resource.namespaced and not namespace:
                raise no_such_path()
            return await self._connections.serve(raw, request, path.rest)
        if path.subresource:
            return await self._serve_subresource(raw, request)
        if path.name:
            if resource.namespaced and not namespace:
                raise no_such_path()
            return await self._serve_object(raw, request)
        return await self._serve_collection(raw, request, verb)

    async def _serve_collection(
        self, raw: web.BaseRequest, request: Request, verb: str
    ) -> web.StreamResponse:
        resource = request.resource
        if verb not in resource.verbs:
            raise method_not_allowed()
        if verb in ("create", "deletecollection") and resource.namespaced and not request.namespace:
            raise method_not_allowed()
        if verb == "create":
            return await self._create(raw, request)
        if verb == "deletecollection":
            return await self._delete_collection(raw, request)
        if verb not in ("list", "watch"):
            raise method_not_allowed()
        accepted = negotiate(raw.headers.get("Accept", ""))
        options = list_options(raw.query, verb == "watch")
        selector = parse_selector(options.label_selector, options.field_selector, resource)
        if resource.computed:
            objects = await self._usage.select(resource, request.namespace, selector)
            return self._answers.computed(raw, accepted, resource, objects)
        if verb == "list":
            page = await list_records(self._cluster, resource, request.namespace, options, selector)
            page = dataclasses.replace(page, records=await self._cluster.shown(resource, page.records))
            listed = await self._answers.page(raw, accepted, resource, page, request.warnings)
            return await compressed(raw, listed)
        render, render_bookmark = self._answers.event_renderers(raw, accepted, resource)
        watch = Watch(self._cluster, resource, request.namespace, options, selector, render, render_bookmark)
        return await watch.serve(raw)

    async def _create(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        accepted = negotiate(raw.headers.get("Accept", ""))
        resource = request.resource
        self._prepare(raw, request, "CreateOptions")
        obj = await self._read_object(raw, request)
        if resource.review:
            handler = self._cluster.seams.reviews.get((resource.group, resource.plural))
            if handler is None:
                raise no_such_path()
            if resource.namespaced:
                obj["metadata"].setdefault("namespace", request.namespace)
            answer = await handler(obj, request.user)
            return respond(raw, encode_json(answer), accepted, 201, request.warnings)
        data = await self._writes.create(request, obj)
        return self._answers.object(raw, accepted, resource, data, 201, request.warnings)

    async def _serve_object(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        resource = request.resource
        if resource.review or raw.method == "POST" or (resource.computed and raw.method != "GET"):
            raise method_not_allowed()
        accepted = negotiate(raw.headers.get("Accept", ""))
        if raw.method == "GET":
            if resource.computed:
                data = encode_json(await self._usage.get(resource, request.namespace, request.name))
            else:
                data = await self._data(request)
            return self._answers.object(raw, accepted, resource, data)
        if raw.method == "DELETE":
            options = await self._delete_options(raw, request)
            data = await self._deletes.delete(request, options)
            return self._answers.object(raw, accepted, resource, data, 200, request.warnings)
        data, created = await self._change(raw, request)
        status = 201 if created else 200
        return self._answers.object(raw, accepted, resource, data, status, request.warnings)

    async def _data(self, request: Request) -> bytes:
        """The stored object's bytes in the version asked for. Raises `StatusError`."""
        cluster, resource = self._cluster, request.resource
        record = cluster.record(resource, request.namespace, request.name)
        (shown,) = await cluster.shown(resource, [record])
        return cluster.data(resource, shown)

    async def _change(self, raw: web.BaseRequest, request: Request) -> tuple[bytes, bool]:
        """PUT or PATCH: the new bytes and whether the object was created."""
        if raw.method == "PUT":
            self._prepare(raw, request, "UpdateOptions")
            return await self._put(raw, request)
        return await self._patch(raw, request)

    async def _put(self, raw: web.BaseRequest, request: Request) -> tuple[bytes, bool]:
        cluster, resource = self._cluster, request.resource
        obj = await self._read_object(raw, request)
        key = resource.key(request.namespace, request.name)
        if resource.upsert and not request.subresource and cluster.collection(resource).get(key) is None:
            return await self._writes.create(request, obj), True
        encoded = b""

        def replacement(stored: Json) -> Json:
            nonlocal encoded
            if not encoded:
                encoded = encode_json(obj)
                return obj
            # A second attempt: the first one may have changed what was sent.
            again: Json = decode_json(encoded)
            return again

        return await self._writes.update(request, replacement), False

    async def _patch(self, raw: web.BaseRequest, request: Request) -> tuple[bytes, bool]:
        media = media_type(raw.headers.get("Content-Type", ""))
        resource = request.resource
        if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH) or (
            media == STRATEGIC_PATCH and resource.custom
        ):
            raise unsupported_patch_type(resource.custom)
        self._prepare(raw, request, "PatchOptions")
        _check_patch_options(media, raw, request)
        body = await read_body(raw)
        if media == APPLY_PATCH:
            return await self._apply(request, body)
        patch = read_patch(body)
        if media != JSON_PATCH and not isinstance(patch, dict):
            raise bad_request(
                "error decoding patch: json: cannot unmarshal array into Go value of type "
                "map[string]interface {}"
            )
        return await self._writes.update(request, self._patcher(request, media, patch), patch=True), False

    def _patcher(self, request: Request, media: str, patch: Any) -> Callable[[Json], Json]:
        resource, validation = request.resource, request.options.field_validation

        def patched(stored: Json) -> Json:
            shown = ""
            if media == JSON_PATCH:
                result = json_patch(stored, patch)
            elif media == MERGE_PATCH:
                result = merge_patch(stored, patch)
            else:
                result = strategic.strategic_merge(resource.schema.merge_node(), stored, patch)
                shown = "map[" + " ".join(f"{name}:{value}" for name, value in patch.items()) + "]"
            del request.warnings[:]
            changes_metadata = media == MERGE_PATCH and "metadata" in patch
            check_patched(resource, result, validation, request.warnings, shown, changes_metadata)
            return result

        return patched

    async def _apply(self, request: Request, body: bytes) -> tuple[bytes, bool]:
        try:
            config, repeated = parse_with_repetitions(body)
        except ValueError as error:
            text = str(error).removeprefix("yaml: ")
            raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {text}") from error
        if not isinstance(config, dict):
            raise bad_request(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
                f"{go_type(config)} into Go value of type map[string]interface {{}}"
            )
        if repeated and request.options.field_validation != "Ignore":
            fault = f"error strict decoding YAML: error converting YAML to JSON: {repeated}"
            if request.options.field_validation == "Strict":
                raise bad_request(fault)
            request.warnings.append(fault)
        check_applied(request.resource, request.name, config)
        config.setdefault("metadata", {}).setdefault("name", request.name)
        return await self._writes.apply(request, config, bool(request.options.force))

    async def _delete_options(self, raw: web.BaseRequest, request: Request) -> DeleteOptions:
        body = await read_body(raw)
        document = read_options(body, raw.headers.get("Content-Type", ""), "DeleteOptions")
        return delete_options(raw.query, document)

    async def _delete_collection(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        accepted = negotiate(raw.headers.get("Accept", ""))
        resource = request.resource
        options = list_options(raw.query, watch=False)
        selector = parse_selector(options.label_selector, options.field_selector, resource)
        deletion = await self._delete_options(raw, request)
        deleted = await self._deletes.delete_collection(request, deletion, selector)
        page = Page(await self._cluster.shown(resource, deleted), self._cluster.store.revision)
        return await self._answers.page(raw, accepted, resource, page, request.warnings)

    async def _serve_subresource(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        resource, name = request.resource, request.subresource
        if resource.namespaced and not request.namespace:
            raise no_such_path()
        if name in _HALVES:
            return await self._serve_half(raw, request)
        if name == "log":
            if raw.method != "GET":
                raise method_not_allowed()
            return await self._kubelets.log(request, raw)
        accepted = negotiate(raw.headers.get("Accept", ""))
        if name == "scale":
            data = await self._serve_scale(raw, request)
            return respond(raw, data, accepted, 200, request.warnings)
        if (name in _POST_ONLY and raw.method != "POST") or (name == "finalize" and raw.method != "PUT"):
            raise method_not_allowed()
        self._prepare(raw, request, "UpdateOptions" if name == "finalize" else "CreateOptions")
        content_type = raw.headers.get("Content-Type", "")
        body = await read_body(raw)
        document, _ = read_object(body, content_type, _SUBRESOURCE_KINDS[name])
        check_body(_SUBRESOURCE_KINDS[name], document)
        run: Callable[[], Awaitable[bytes]] = {
            "binding": lambda: self._subresources.bind(request, document),
            "eviction": lambda: self._evict(raw, request, document),
            "token": lambda: self._subresources.token(request, document),
            "finalize": lambda: self._subresources.finalize(request, document),
        }[name]
        data = await run()
        return respond(raw, data, JSON, 200 if name == "finalize" else 201, request.warnings)

    async def _evict(self, raw: web.BaseRequest, request: Request, eviction: Json) -> bytes:
        options = delete_options(raw.query, eviction.get("deleteOptions") or {})
        return await self._subresources.evict(request, eviction, options)

    async def _serve_half(self, raw: web.BaseRequest, request: Request) -> web.StreamResponse:
        accepted = negotiate(raw.headers.get("Accept", ""))
        resource = request.resource
        if raw.method == "GET":
            data = await self._data(request)
        elif raw.method in ("PUT", "PATCH"):
            data, _ = await self._change(raw, request)
        else:
            raise method_not_allowed()
        return self._answers.object(raw, accepted, resource, data, 200, request.warnings)

    async def _serve_scale(self, raw: web.BaseRequest, request: Request) -> bytes:
        resource = request.resource
        if raw.method == "GET":
            stored = decode_json(await self._data(request))
            return encode_json(self._subresources.scale(resource, stored))
        if raw.method == "PUT":
            self._prepare(raw, request, "UpdateOptions")
            scale, _ = read_object(await read_body(raw), raw.headers.get("Content-Type", ""), "Scale")
            check_body("Scale", scale)
            return await self._subresources.set_scale(request, scale)
        if raw.method != "PATCH":
            raise method_not_allowed()
        media = media_type(raw.headers.get("Content-Type", ""))
        if media not in (MERGE_PATCH, JSON_PATCH, STRATEGIC_PATCH):
            raise unsupported_patch_type()
        self._prepare(raw, request, "PatchOptions")
        patch = read_patch(await read_body(raw))

        def change(scale: Json) -> Any:
            return json_patch(scale, patch) if media == JSON_PATCH else merge_patch(scale, patch)

        return await self._subresources.set_scale(request, change)

    def _prepare(self, raw: web.BaseRequest, request: Request, kind: str) -> None:
        """Options and field manager of a write."""
        request.options = write_options(raw.query, kind)
        request.manager = request.options.field_manager or _manager_of(raw.headers.get("User-Agent", ""))

    async def _read_object(self, raw: web.BaseRequest, request: Request) -> Json:
        body = await read_body(raw)
        return decode_object(
            request.resource,
            body,
            raw.headers.get("Content-Type", ""),
            request.options.field_validation,
            request.warnings,
        )


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_NO_OPTIONS = WriteOptions(dry_run=False, field_manager="", field_validation="")
_SUBRESOURCE_KINDS = {
    "binding": "Binding",
    "eviction": "Eviction",
    "token": "TokenRequest",
    "finalize": "Namespace",
}


@functools.lru_cache(maxsize=256)
def _manager_of(user_agent: str) -> str:
    """The first word of the User-Agent, as Kubernetes names managers that do not name themselves."""
    name = user_agent.partition("/")[0]
    printable = "".join(character for character in name if character.isprintable())
    return printable[:128] or "unknown"


def _field_selector(raw: web.BaseRequest) -> str:
    if raw.method != "GET" or "fieldSelector" not in raw.query_string:
        return ""
    return raw.query.get("fieldSelector", "")


def _selected_name(raw: web.BaseRequest) -> str:
    """The name a list or watch is limited to: authorisation treats it as if it were in the path."""
    if raw.method != "GET" or "metadata.name" not in raw.query_string:
        return ""
    for term in raw.query.get("fieldSelector", "").split(","):
        field, equals, value = term.partition("=")
        if field == "metadata.name" and equals and not value.startswith("!"):
            return value.removeprefix("=")
    return ""


def _check_patch_options(media: str, raw: web.BaseRequest, request: Request) -> None:
    if media == APPLY_PATCH:
        if not request.options.field_manager:
            cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
    elif "force" in raw.query:
        cause = Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
        raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
