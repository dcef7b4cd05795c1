"""The paths and operations of one resource, in both OpenAPI versions.

Clients read from them which kind a path serves, which query parameters a write understands (dryRun,
fieldValidation, fieldManager) and which patch formats there are; responses name the kind and nothing more.
"""

from __future__ import annotations

from typing import Any

from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.schema import Json
from edgevirt.engine.apiserver.schema.builtin_openapi import reference
from edgevirt.engine.apiserver.schema.builtin_types import META_V1
from edgevirt.engine.apiserver.schema.subresources import subresource_facts

JSON = "application/json"
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
CUSTOM_PATCH_TYPES = PATCH_TYPES[:3]

_DRY_RUN = ("dryRun", "string", "All: run every stage of the request but store nothing.")
_MANAGER = ("fieldManager", "string", "Who makes this change; required when applying.")
_VALIDATION = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: Ignore, Warn (default) or Strict.",
)
_FORCE = ("force", "boolean", "Take over fields other managers own; only when applying.")
_WRITE = (_DRY_RUN, _MANAGER, _VALIDATION)
_DELETE = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds until the object is deleted."),
    ("orphanDependents", "boolean", "Old form of propagationPolicy Orphan."),
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
)
_LIST = (
    ("allowWatchBookmarks", "boolean", "Send bookmarks during a watch."),
    ("continue", "string", "Token of the next page."),
    ("fieldSelector", "string", "Fields the objects must have."),
    ("labelSelector", "string", "Labels the objects must have."),
    ("limit", "integer", "Size of a page."),
    ("resourceVersion", "string", "Version to list at or to watch from."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to a list."),
    ("sendInitialEvents", "boolean", "Begin a watch with the existing objects."),
    ("timeoutSeconds", "integer", "Time limit of the request."),
    ("watch", "boolean", "Stream changes instead of answering once."),
)

_PRETTY = ("pretty", "string", "Whether the answer is indented.")
_DELETE_OPTIONS = f"{META_V1}.DeleteOptions"
_FURTHER_ANSWERS = {
    "post": (("201", "Created"), ("202", "Accepted")),
    "put": (("201", "Created"),),
    "patch": (("201", "Created"),),
    "delete": (("202", "Accepted"),),
}

Parameter = tuple[str, str, str]


def paths_of(resource: ServedResource, dialect: int) -> dict[str, Json]:
    """Path -> path item for the resource and its subresources; `dialect` is 2 or 3."""
    return _PathWriter(resource, dialect).write()


class _PathWriter:
    def __init__(self, resource: ServedResource, dialect: int) -> None:
        self._resource = resource
        self._dialect = dialect
        self._own_kind = {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        }
        group = resource.group.removesuffix(".k8s.io").replace(".", "_") or "core"
        self._tag = f"{group}_{resource.version}"
        words = (resource.group.split(".")[0] or "core").replace("-", "_")
        self._suffix = f"{words[:1].upper()}{words[1:]}{resource.version.capitalize()}"

    def write(self) -> dict[str, Json]:
        resource = self._resource
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        collection = f"{root}{scope}/{resource.plural}"
        paths: dict[str, Json] = {}
        verbs = set(resource.verbs)
        if verbs & {"create", "list", "deletecollection"}:
            paths[collection] = self._collection(verbs)
        if resource.namespaced and "list" in verbs:
            listing = self._operation(
                "get", "list", "list", "ForAllNamespaces", self._own_kind, _LIST, listed=True
            )
            paths[f"{root}/{resource.plural}"] = {"get": listing}
        if verbs & {"get", "update", "patch", "delete"}:
            paths[f"{collection}/{{name}}"] = self._object(verbs)
        for name in sorted(resource.subresources):
            paths[f"{collection}/{{name}}/{name}"] = self._subresource(name)
        return paths

    def _collection(self, verbs: set[str]) -> Json:
        item: Json = {}
        if "list" in verbs:
            item["get"] = self._operation("get", "list", "list", "", self._own_kind, _LIST, listed=True)
        if "create" in verbs:
            item["post"] = self._operation("post", "create", "post", "", self._own_kind, _WRITE, body=True)
        if "deletecollection" in verbs:
            item["delete"] = self._operation(
                "delete", "deleteCollection", "deletecollection", "", self._own_kind, (*_DELETE, *_LIST[1:5])
            )
        item["parameters"] = self._path_parameters(False)
        return item

    def _object(self, verbs: set[str]) -> Json:
        item: Json = {}
        kind = self._own_kind
        if "get" in verbs:
            item["get"] = self._operation("get", "read", "get", "", kind, ())
        if "update" in verbs:
            item["put"] = self._operation("put", "replace", "put", "", kind, _WRITE, body=True)
        if "delete" in verbs:
            item["delete"] = self._operation("delete", "delete", "delete", "", kind, _DELETE)
        if "patch" in verbs:
            item["patch"] = self._operation(
                "patch", "patch", "patch", "", kind, (*_WRITE, _FORCE), patch=True
            )
        item["parameters"] = self._path_parameters(True)
        return item

    def _subresource(self, name: str) -> Json:
        resource = self._resource
        facts = subresource_facts(resource.plural, name, resource.kind)
        kind = {
            "group": facts.group or resource.group,
            "version": facts.version or resource.version,
            "kind": facts.kind,
        }
        suffix = name.capitalize()
        item: Json = {}
        own = facts.kind == resource.kind and name != "log"
        if "get" in facts.verbs:
            item["get"] = self._operation("get", "read", "get", suffix, kind, (), plain=not own)
        if "update" in facts.verbs:
            item["put"] = self._operation(
                "put", "replace", "put", suffix, kind, _WRITE, body=own, plain=not own
            )
        if "patch" in facts.verbs:
            item["patch"] = self._operation(
                "patch", "patch", "patch", suffix, kind, (*_WRITE, _FORCE), patch=True, plain=not own
            )
        if "create" in facts.verbs:
            item["post"] = self._operation("post", "create", "post", suffix, kind, _WRITE, plain=not own)
        if "delete" in facts.verbs:
            item["delete"] = self._operation("delete", "delete", "delete", suffix, kind, (), plain=not own)
        item["parameters"] = self._path_parameters(True)
        return item

    def _operation(
        self,
        method: str,
        word: str,
        action: str,
        suffix: str,
        kind: Json,
        parameters: tuple[Parameter, ...],
        *,
        listed: bool = False,
        body: bool = False,
        patch: bool = False,
        plain: bool = False,
    ) -> Json:
        """`plain`: the answer is not the resource's own kind, so no schema is named."""
        resource = self._resource
        scope = "Namespaced" if resource.namespaced and suffix != "ForAllNamespaces" else ""
        operation: Json = {
            "tags": [self._tag],
            "description": f"{word} {resource.kind}",
            "operationId": f"{word}{self._suffix}{scope}{resource.kind}{suffix}",
            "responses": self._responses(action, listed, plain),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
        }
        queries = [self._query(parameter) for parameter in parameters]
        if self._dialect == 3:
            if queries:
                operation["parameters"] = queries
            content = self._request_content(body, patch)
            if content:
                operation["requestBody"] = {"content": content, "required": True}
            elif action in ("delete", "deletecollection") and not plain:
                operation["requestBody"] = {"content": {"*/*": {"schema": reference(_DELETE_OPTIONS, 3)}}}
            return operation
        operation["consumes"] = list(self._patch_types()) if patch else ["*/*"]
        operation["produces"] = [JSON, "application/yaml"]
        operation["schemes"] = ["https"]
        if body or patch:
            name = f"{META_V1}.Patch" if patch else resource.schema.definition_name
            schema = reference(name, 2)
            queries.insert(0, {"name": "body", "in": "body", "required": True, "schema": schema})
        elif action in ("delete", "deletecollection") and not plain:
            queries.insert(0, {"name": "body", "in": "body", "schema": reference(_DELETE_OPTIONS, 2)})
        if queries:
            operation["parameters"] = queries
        return operation

    def _patch_types(self) -> tuple[str, ...]:
        return CUSTOM_PATCH_TYPES if self._resource.custom else PATCH_TYPES

    def _request_content(self, body: bool, patch: bool) -> Json:
        if patch:
            schema = reference(f"{META_V1}.Patch", 3)
            return {media: {"schema": schema} for media in self._patch_types()}
        if body:
            return {"*/*": {"schema": reference(self._resource.schema.definition_name, 3)}}
        return {}

    def _responses(self, action: str, listed: bool, plain: bool) -> Json:
        resource = self._resource
        if action in ("delete", "deletecollection"):
            name = f"{META_V1}.Status"
        elif listed:
            name = f"{resource.schema.definition_name.rpartition('.')[0]}.{resource.list_kind}"
        else:
            name = resource.schema.definition_name
        answer: Json = {}
        if not plain:
            schema = reference(name, self._dialect)
            answer = {"schema": schema}
            if self._dialect == 3:
                answer = {"content": {media: {"schema": schema} for media in (JSON, "application/yaml")}}
        found: Json = {"200": {"description": "OK", **answer}}
        for code, text in _FURTHER_ANSWERS.get(action, ()):
            found[code] = {"description": text, **answer}
        return {**found, "401": {"description": "Unauthorized"}}

    def _query(self, parameter: Parameter) -> Json:
        name, kind, text = parameter
        document: dict[str, Any] = {"name": name, "in": "query", "description": text}
        if self._dialect == 3:
            return {**document, "schema": {"type": kind, "uniqueItems": True}}
        return {**document, "type": kind, "uniqueItems": True}

    def _path_parameters(self, named: bool) -> list[Json]:
        parameters: list[tuple[str, str]] = []
        if named:
            parameters.append(("name", f"Name of the {self._resource.kind}."))
        if self._resource.namespaced:
            parameters.append(("namespace", "Namespace of the object."))
        kind: Json = {"schema": {"type": "string", "uniqueItems": True}}
        if self._dialect == 2:
            kind = {"type": "string", "uniqueItems": True}
        listed: list[Json] = [
            {"name": name, "in": "path", "required": True, "description": text, **kind}
            for name, text in parameters
        ]
        return [*listed, self._query(_PRETTY)]
