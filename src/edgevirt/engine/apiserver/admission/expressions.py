"""What CEL expressions of admission see: the object, the request, who asks and what that user may do.

Match conditions of webhooks and everything in ValidatingAdmissionPolicies are compiled here. Objects are
`dyn`, because one expression serves many kinds; the request and the namespace have their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgevirt.engine.apiserver.admission.authorizer_library import (
    AUTHORIZER,
    FUNCTIONS,
    RESOURCE_CHECK,
    AuthorizerValue,
)
from edgevirt.engine.apiserver.extension import Authorizer
from edgevirt.engine.apiserver.request import AdmissionAttributes
from edgevirt.engine.cel import CompileError, Environment, Program, Type
from edgevirt.engine.cel.checker import Structs
from edgevirt.engine.cel.evaluator import Lazy
from edgevirt.engine.cel.functions import Functions
from edgevirt.engine.cel.types import BOOL, DYN, STRING, list_of, map_of, object_type

_KIND = object_type("kubernetes.GroupVersionKind", dict.fromkeys(("group", "version", "kind"), STRING))
_RESOURCE = object_type(
    "kubernetes.GroupVersionResource", dict.fromkeys(("group", "version", "resource"), STRING)
)
_USER = object_type(
    "kubernetes.UserInfo",
    {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)
REQUEST = object_type(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
)
_META = object_type(
    "kubernetes.NamespaceMetadata",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "labels": map_of(STRING, STRING),
        "annotations": map_of(STRING, STRING),
        "UID": STRING,
        "creationTimestamp": STRING,
        "deletionGracePeriodSeconds": DYN,
        "deletionTimestamp": STRING,
        "generation": DYN,
        "resourceVersion": STRING,
        "finalizers": list_of(STRING),
    },
)
NAMESPACE = object_type(
    "kubernetes.Namespace",
    {
        "metadata": _META,
        "spec": object_type("kubernetes.NamespaceSpec", {"finalizers": list_of(STRING)}),
        "status": object_type("kubernetes.NamespaceStatus", {"phase": STRING}),
    },
)
_BASE: Mapping[str, Type] = {
    "object": DYN,
    "oldObject": DYN,
    "request": REQUEST,
    "authorizer": AUTHORIZER,
    "authorizer.requestResource": RESOURCE_CHECK,
}


class NotCompiled(Exception):
    """An expression is refused; `str()` is the detail of the cause."""


def environment(
    more: Mapping[str, Type] | None = None,
    functions: Functions | None = None,
    structs: Structs | None = None,
) -> Environment:
    """What every expression of admission has, and more of it."""
    return Environment({**_BASE, **(more or {})}, {**FUNCTIONS, **(functions or {})}, structs=structs)


def compiled(within: Environment, text: str, *wanted: Type) -> Program:
    """Raises NotCompiled with Kubernetes' words."""
    try:
        program = within.compile(text)
    except CompileError as error:
        raise NotCompiled(f"compilation failed: {error}") from error
    kinds = [kind.kind for kind in wanted]
    if kinds and program.type.kind not in ("dyn", *kinds):
        shown = kinds[0] if len(kinds) == 1 else f"one of [{' '.join(kinds)}]"
        raise NotCompiled(f"must evaluate to {shown}")
    return program


def variables(
    attributes: AdmissionAttributes,
    request: Mapping[str, Any],
    authorizer: Authorizer,
    document: Mapping[str, Any] | None,
    old: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The values of the base variables for one write; `request` is AdmissionReview's request."""
    shown = {key: value for key, value in request.items() if key not in ("object", "oldObject", "uid")}
    asked = AuthorizerValue(authorizer, attributes.user)
    return {
        "object": document,
        "oldObject": old,
        "request": {"subResource": "", "requestSubResource": "", "name": "", "namespace": "", **shown},
        "authorizer": asked,
        "authorizer.requestResource": Lazy(lambda: asked.request_resource(attributes)),
    }
