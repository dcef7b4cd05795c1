"""Admission reviews: from the API server's question to our answer, per webhook path.

Pure except for what is injected: `Admission` is given the sender's names, a clock, a source of UUIDs and a
way to list KubeVirt objects. The paths are KubeVirt's, so its webhook configurations fit.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from edgevirt.api.kubevirt import VirtualMachine, VirtualMachineInstance
from edgevirt.api.meta import Status, StatusCause, StatusDetails, Struct
from edgevirt.virt_api import defaults
from edgevirt.virt_api.accounts import Account, Accounts
from edgevirt.virt_api.json_values import JsonObject, child, difference
from edgevirt.virt_api.schema_check import check as check_schema
from edgevirt.virt_api.validation import check_instance, check_instance_update, check_kubevirt, check_machine
from edgevirt.virt_api.validation.machine import warnings

MACHINES_MUTATE: Final = "/virtualmachines-mutate"
INSTANCES_MUTATE: Final = "/virtualmachineinstances-mutate"
MACHINES_VALIDATE: Final = "/virtualmachines-validate"
INSTANCES_VALIDATE_CREATE: Final = "/virtualmachineinstances-validate-create"
INSTANCES_VALIDATE_UPDATE: Final = "/virtualmachineinstances-validate-update"
KUBEVIRT_VALIDATE_CREATE: Final = "/kubevirt-validate-create"
KUBEVIRT_VALIDATE_UPDATE: Final = "/kubevirt-validate-update"

API_VERSION: Final = "admission.k8s.io/v1"
_MAX_CAUSES: Final = 50
"""A hostile object may have any number of mistakes; nobody reads more than this."""


class UserInfo(Struct):
    """Who sent the request, as the API server knows it."""

    username: str = ""
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class AdmissionRequest(Struct):
    """The part of an admission request that is looked at."""

    uid: str
    operation: str = ""
    name: str = ""
    namespace: str = ""
    user_info: UserInfo = msgspec.field(default_factory=UserInfo)
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None


class AdmissionResponse(Struct):
    """Our answer."""

    uid: str
    allowed: bool
    status: Status | None = None
    patch: str = ""
    """JSON patch in base64."""
    patch_type: str = ""
    warnings: tuple[str, ...] = ()


class AdmissionReview(Struct):
    """What travels in both directions."""

    api_version: str = ""
    kind: str = ""
    request: AdmissionRequest | None = None


class AdmissionAnswer(Struct):
    api_version: str
    kind: str
    response: AdmissionResponse


Handler = Callable[[AdmissionRequest], Awaitable[AdmissionResponse]]


class Admission:
    """The webhooks, by path."""

    def __init__(
        self,
        accounts: Accounts,
        source: defaults.Source,
        list_kubevirts: Callable[[], Awaitable[Iterable[str]]],
    ) -> None:
        """`list_kubevirts` names the KubeVirt objects there are, as "namespace/name"."""
        self._accounts = accounts
        self._source = source
        self._list_kubevirts = list_kubevirts

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers on each path."""
        return {
            MACHINES_MUTATE: self._mutate_machine,
            INSTANCES_MUTATE: self._mutate_instance,
            MACHINES_VALIDATE: self._validate_machine,
            INSTANCES_VALIDATE_CREATE: self._validate_instance,
            INSTANCES_VALIDATE_UPDATE: self._validate_instance_update,
            KUBEVIRT_VALIDATE_CREATE: self._validate_kubevirt,
            KUBEVIRT_VALIDATE_UPDATE: self._validate_kubevirt,
        }

    def _account(self, request: AdmissionRequest) -> Account:
        return self._accounts.of(request.user_info.username, request.user_info.extra)

    async def _mutate_machine(self, request: AdmissionRequest) -> AdmissionResponse:
        vm = request.object or {}
        if child(vm, "metadata").get("deletionTimestamp"):
            return _allowed(request)
        mistakes = check_schema(vm, VirtualMachine)
        if mistakes:
            return _refused(request, "VirtualMachine", mistakes)
        old = request.old_object if request.operation == "UPDATE" else None
        return _patched(request, vm, defaults.machine(vm, old, self._source))

    async def _mutate_instance(self, request: AdmissionRequest) -> AdmissionResponse:
        vmi = request.object or {}
        if request.operation == "UPDATE":
            account = self._account(request)
            old = request.old_object or {}
            return _patched(request, vmi, defaults.instance_update(vmi, old, account.is_component))
        mistakes = check_schema(vmi, VirtualMachineInstance)
        if mistakes:
            return _refused(request, "VirtualMachineInstance", mistakes)
        return _patched(request, vmi, defaults.instance(vmi, request.namespace, self._source))

    async def _validate_machine(self, request: AdmissionRequest) -> AdmissionResponse:
        vm = request.object or {}
        old = request.old_object if request.operation == "UPDATE" else None
        causes = check_machine(vm, old)
        if causes:
            return _refused(request, "VirtualMachine", causes)
        return _allowed(request, warnings(vm))

    async def _validate_instance(self, request: AdmissionRequest) -> AdmissionResponse:
        causes = check_instance(request.object or {}, self._account(request))
        return _refused(request, "VirtualMachineInstance", causes) if causes else _allowed(request)

    async def _validate_instance_update(self, request: AdmissionRequest) -> AdmissionResponse:
        causes = check_instance_update(request.object or {}, request.old_object or {}, self._account(request))
        return _refused(request, "VirtualMachineInstance", causes) if causes else _allowed(request)

    async def _validate_kubevirt(self, request: AdmissionRequest) -> AdmissionResponse:
        others: Iterable[str] = ()
        if request.operation == "CREATE":
            others = await self._list_kubevirts()
        causes = check_kubevirt(request.object or {}, request.old_object, others)
        return _refused(request, "KubeVirt", causes) if causes else _allowed(request)


def _allowed(request: AdmissionRequest, warned: Iterable[str] = ()) -> AdmissionResponse:
    return AdmissionResponse(uid=request.uid, allowed=True, warnings=tuple(warned))


def _patched(request: AdmissionRequest, before: JsonObject, after: JsonObject) -> AdmissionResponse:
    operations = list(difference(before, after))
    if not operations:
        return _allowed(request)
    patch = base64.b64encode(msgspec.json.encode(operations)).decode()
    return AdmissionResponse(uid=request.uid, allowed=True, patch=patch, patch_type="JSONPatch")


def _refused(request: AdmissionRequest, kind: str, causes: list[StatusCause]) -> AdmissionResponse:
    shown = tuple(causes[:_MAX_CAUSES])
    message = "; ".join(cause.message for cause in shown)
    if len(causes) > len(shown):
        message += f"; and {len(causes) - len(shown)} more"
    status = Status(
        status="Failure",
        code=422,
        reason="Invalid",
        message=message,
        details=StatusDetails(name=request.name, group="kubevirt.io", kind=kind, causes=shown),
    )
    return AdmissionResponse(uid=request.uid, allowed=False, status=status)
