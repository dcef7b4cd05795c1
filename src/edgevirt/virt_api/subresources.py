"""The aggregated API `subresources.kubevirt.io`: HTTP in front of `lifecycle` and `console`.

A plan is computed from fresh reads and written with their resource versions as preconditions; if somebody
else wrote in between, the request is decided anew, a bounded number of times.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import yaml
from aiohttp import web

from edgevirt.api.kubevirt import (
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    VirtualMachine,
    VirtualMachineInstance,
)
from edgevirt.api.kubevirt.options import RestartOptions, StartOptions, StopOptions
from edgevirt.api.kubevirt.phases import Phase
from edgevirt.api.meta import Status, StatusDetails, Struct
from edgevirt.api.resources import NODES
from edgevirt.kube import errors
from edgevirt.kube.client import Client
from edgevirt.kube.tls import CurrentContext
from edgevirt.kube.yaml_bounds import check_bounds
from edgevirt.virt_api import console, documents, lifecycle
from edgevirt.virt_api.authorization import Authorizer, Refused, User, user_of
from edgevirt.virt_api.registration import GROUP, VERSIONS

_ATTEMPTS: Final = 5
_MAX_BODY: Final = 64 * 1024
_REASONS: Final = {
    400: "BadRequest",
    404: "NotFound",
    409: "Conflict",
    500: "InternalError",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}
_NAMESPACED: Final = f"/apis/{GROUP}/{{version:{'|'.join(VERSIONS)}}}/namespaces/{{namespace}}"

_log = logging.getLogger("edgevirt.virt_api")

Options = TypeVar("Options", bound=Struct)
T = TypeVar("T")
Planner = Callable[[VirtualMachine, VirtualMachineInstance | None, Options], lifecycle.Plan]


class Subresources:
    """Handlers of the aggregated API; `routes` puts them onto an application."""

    def __init__(
        self,
        client: Client,
        session: aiohttp.ClientSession,
        handler_tls: CurrentContext,
        allowed_names: tuple[str, ...],
        timeout: float,
    ) -> None:
        """`allowed_names` see `user_of`; `timeout` in seconds bounds every call to somebody else."""
        self._client = client
        self._session = session
        self._handler_tls = handler_tls
        self._allowed_names = allowed_names
        self._authorizer = Authorizer(client, timeout)
        self._timeout = timeout

    def routes(self) -> list[web.RouteDef]:
        """Everything that is served below /apis, /openapi and /."""
        machine = _NAMESPACED + "/virtualmachines/{name}"
        instance = _NAMESPACED + "/virtualmachineinstances/{name}"
        group = f"/apis/{GROUP}"
        versioned = f"{group}/{{version:{'|'.join(VERSIONS)}}}"
        return [
            web.get("/apis", _answers(lambda request: documents.groups())),
            web.get(group, _answers(lambda request: documents.group())),
            web.get(versioned, _answers(lambda request: documents.resources(request.match_info["version"]))),
            web.get(f"{versioned}/version", _answers(lambda request: documents.version())),
            web.get(f"{versioned}/healthz", self._health),
            web.get("/openapi/v2", _answers(lambda request: documents.openapi_v2())),
            web.get("/openapi/v3", _answers(lambda request: documents.openapi_v3_index())),
            web.get(
                f"/openapi/v3{versioned}",
                _answers(lambda request: documents.openapi_v3(request.match_info["version"])),
            ),
            web.put(f"{machine}/start", self._guarded(self._start)),
            web.put(f"{machine}/stop", self._guarded(self._stop)),
            web.put(f"{machine}/restart", self._guarded(self._restart)),
            web.get(f"{instance}/console", self._guarded(self._console)),
            web.route(
                "*", _NAMESPACED + "/{resource}/{name}/{subresource:.+}", self._guarded(self._unimplemented)
            ),
        ]

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Only for users who may; errors become Status objects."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            steps = request.path.split("/")
            kind, name, subresource = steps[6], request.match_info["name"], "/".join(steps[8:])
            try:
                user = await self._authorize(request, kind, name, subresource)
            except Refused as refusal:
                return web.Response(status=401, text=str(refusal))
            try:
                response = await handler(request)
            except lifecycle.Refused as refusal:
                return _failure(refusal.code, str(refusal), kind, name)
            except console.Unreachable as refusal:
                return _failure(refusal.code, str(refusal), kind, name)
            except errors.ApiError as error:
                return _failure(error.code or 500, error.message, kind, name)
            except (errors.KubeError, TimeoutError) as error:
                _log.warning("Subresource request failed", extra={"path": request.path, "error": str(error)})
                return _failure(503, f"the API server could not be reached: {error}", kind, name)
            _log.info(
                "Subresource request",
                extra={"path": request.path, "user": user.name, "code": response.status},
            )
            return response

        return guarded

    async def _authorize(self, request: web.Request, kind: str, name: str, subresource: str) -> User:
        user = user_of(request, self._allowed_names)
        await self._authorizer.require(
            user,
            method=request.method,
            version=request.match_info["version"],
            namespace=request.match_info["namespace"],
            resource=kind,
            name=name,
            subresource=subresource,
        )
        return user

    async def _health(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._client.request("GET", "/version")
        except (errors.KubeError, TimeoutError) as error:
            return web.json_response(
                {"apiserver": {"connectivity": "failed", "error": str(error)}}, status=500
            )
        return web.json_response({"apiserver": {"connectivity": "ok", "version": msgspec.json.decode(body)}})

    async def _start(self, request: web.Request) -> web.Response:
        return await self._change(request, StartOptions, lifecycle.start)

    async def _stop(self, request: web.Request) -> web.Response:
        return await self._change(request, StopOptions, lifecycle.stop)

    async def _restart(self, request: web.Request) -> web.Response:
        return await self._change(request, RestartOptions, lifecycle.restart, lifecycle.check_restart)

    async def _change(
        self,
        request: web.Request,
        options_type: type[Options],
        plan: Planner[Options],
        check: Callable[[Options], None] = lambda options: None,
    ) -> web.Response:
        options = await _options(request, options_type)
        check(options)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        dry = bool(msgspec.to_builtins(options).get("dryRun"))
        for attempt in range(_ATTEMPTS):
            async with asyncio.timeout(self._timeout):
                vm = await self._client.get(VIRTUAL_MACHINES, name, namespace=namespace)
                vmi = await self._instance(vm, namespace, name)
                changes = plan(vm, vmi, options)
                if dry:
                    break
                try:
                    await self._write(vm, vmi, changes)
                    break
                except errors.Conflict:
                    if attempt == _ATTEMPTS - 1:
                        raise
        return web.Response(status=202)

    async def _instance(self, vm: VirtualMachine, namespace: str, name: str) -> VirtualMachineInstance | None:
        try:
            return await self._client.get(VIRTUAL_MACHINE_INSTANCES, name, namespace=namespace)
        except errors.NotFound:
            return None

    async def _write(
        self, vm: VirtualMachine, vmi: VirtualMachineInstance | None, plan: lifecycle.Plan
    ) -> None:
        namespace, name = vm.metadata.namespace, vm.metadata.name
        if plan.grace_seconds is not None and vmi is not None:
            # Idempotent, so a conflict further down may repeat it.
            await self._client.patch(
                VIRTUAL_MACHINE_INSTANCES,
                name,
                {
                    "metadata": {"uid": vmi.metadata.uid},
                    "spec": {"terminationGracePeriodSeconds": plan.grace_seconds},
                },
                namespace=namespace,
            )
        version = {"resourceVersion": vm.metadata.resource_version}
        if plan.spec is not None:
            changed = await self._client.patch(
                VIRTUAL_MACHINES, name, {"metadata": version, "spec": plan.spec}, namespace=namespace
            )
            version = {"resourceVersion": changed.metadata.resource_version}
        if plan.status is not None:
            try:
                await self._client.patch(
                    VIRTUAL_MACHINES,
                    name,
                    {"metadata": version, "status": plan.status},
                    namespace=namespace,
                    subresource="status",
                )
            except errors.Conflict:
                if plan.spec is None:
                    raise
                # The request itself is done; what remains only forgets old failures, which
                # virt-controller does as well once it sees the new run strategy.
                _log.info("Status changed meanwhile", extra={"vm": f"{namespace}/{name}"})

    async def _console(self, request: web.Request) -> web.StreamResponse:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        async with asyncio.timeout(self._timeout):
            vmi = await self._client.get(VIRTUAL_MACHINE_INSTANCES, name, namespace=namespace)
            if vmi.spec.domain.devices.autoattach_serial_console is False:
                raise lifecycle.Refused(400, "the virtual machine has no serial console")
            status = vmi.status
            if status is None or status.phase != Phase.RUNNING or not status.node_name:
                phase = status.phase if status is not None else "unknown"
                raise lifecycle.Refused(400, f"the virtual machine is not running, its phase is {phase}")
            if not web.WebSocketResponse(protocols=(console.PROTOCOL,)).can_prepare(request):
                raise lifecycle.Refused(
                    400, "a console is a websocket; use virtctl console or a websocket client"
                )
            node = await self._client.get(NODES, status.node_name)
        async with console.open_console(
            self._session, self._handler_tls.get(), node, namespace, name, self._timeout
        ) as handler:
            return await console.serve(request, handler)

    async def _unimplemented(self, request: web.Request) -> web.Response:
        served = f"{request.match_info['resource']}/{request.match_info['subresource']}"
        if served in documents.SERVED:
            verbs = ", ".join(documents.SERVED[served])
            return web.Response(status=405, text=f"{request.method} is not possible; {served} takes {verbs}")
        raise lifecycle.Refused(501, f"{served} is not supported yet")


def _answers(
    document: Callable[[web.Request], dict[str, Any]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(document(request), dumps=lambda value: msgspec.json.encode(value).decode())

    return answer


async def _options(request: web.Request, type: type[Options]) -> Options:
    """The body, JSON or YAML; an empty one means defaults. Raises Refused(400)."""
    body = await request.content.read(_MAX_BODY + 1)
    if len(body) > _MAX_BODY:
        raise lifecycle.Refused(400, "the body is too long")
    if not body.strip():
        return type()
    try:
        check_bounds(body)
        parsed = yaml.load(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.convert({} if parsed is None else parsed, type)
    except (yaml.YAMLError, ValueError) as error:
        raise lifecycle.Refused(400, f"the body is not valid {type.__name__}: {error}") from error


def _failure(code: int, message: str, kind: str, name: str) -> web.Response:
    details = StatusDetails()
    if code in (404, 409):
        details = StatusDetails(name=name, group="kubevirt.io", kind=kind.removesuffix("s"))
    status = Status(
        api_version="v1",
        kind="Status",
        status="Failure",
        code=code,
        reason=_REASONS.get(code, "Unknown"),
        message=message,
        details=details,
    )
    return web.Response(status=code, body=msgspec.json.encode(status), content_type="application/json")
