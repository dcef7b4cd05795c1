"""Query parameters and option documents: typed, checked, with Kubernetes' refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgevirt.engine.apiserver.errors import Cause, StatusError, bad_request, invalid
from edgevirt.engine.apiserver.names import quoted

_OPTIONS_GROUP = "meta.k8s.io"
FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
PROPAGATION = ("Foreground", "Background", "Orphan")
MAX_MANAGER_LENGTH = 128


def is_true(text: str | None) -> bool:
    """A boolean query parameter: present and neither "0" nor "false"."""
    return text is not None and text not in ("0", "false", "False", "")


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether a GET on a collection is a watch; an unknown value means yes, as in Kubernetes."""
    text = query.get("watch")
    return text is not None and text.lower() not in ("0", "false")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Of create, update and patch."""

    dry_run: bool
    field_manager: str
    field_validation: str
    force: bool | None = None

    def to_dict(self, kind: str) -> dict[str, Any]:
        document: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            document["dryRun"] = ["All"]
        if self.field_manager:
            document["fieldManager"] = self.field_manager
        if self.field_validation:
            document["fieldValidation"] = self.field_validation
        if self.force is not None:
            document["force"] = self.force
        return document


def write_options(query: Any, kind: str) -> WriteOptions:
    """Parses CreateOptions, UpdateOptions or PatchOptions (`kind`). Raises `StatusError` 422."""
    if not query:
        return _NO_OPTIONS
    causes: list[Cause] = []
    dry_run = _dry_run(query.getall("dryRun", []), causes)
    manager = query.get("fieldManager", "")
    if len(manager) > MAX_MANAGER_LENGTH:
        causes.append(
            Cause(
                "FieldValueTooLong",
                f"Too long: may not be more than {MAX_MANAGER_LENGTH} bytes",
                "fieldManager",
            )
        )
    elif manager and not manager.isprintable():
        causes.append(
            Cause(
                "FieldValueInvalid",
                f"Invalid value: {quoted(manager)}: should only contain printable characters",
                "fieldManager",
            )
        )
    validation = query.get("fieldValidation", "")
    if validation and validation not in FIELD_VALIDATION:
        choices = ", ".join(quoted(choice) for choice in ("", *FIELD_VALIDATION))
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f"Unsupported value: {quoted(validation)}: supported values: {choices}",
                "fieldValidation",
            )
        )
    force = is_true(query["force"]) if "force" in query else None
    if causes:
        raise invalid(kind, _OPTIONS_GROUP, "", causes)
    return WriteOptions(dry_run, manager, validation, force)


_NO_OPTIONS = WriteOptions(dry_run=False, field_manager="", field_validation="")


def _dry_run(values: list[str], causes: list[Cause]) -> bool:
    if not values:
        return False
    if values != ["All"]:
        shown = "[" + ",".join(quoted(value) for value in values) + "]"
        causes.append(
            Cause("FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"', "dryRun")
        )
    return True


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Parsed from body and query; the body wins. `document` is what admission sees."""

    dry_run: bool
    grace_period_seconds: int | None
    uid: str
    resource_version: str
    propagation_policy: str
    orphan_dependents: bool | None
    document: dict[str, Any]


def delete_options(query: Any, body: dict[str, Any]) -> DeleteOptions:
    """Raises `StatusError` 400 or 422."""
    causes: list[Cause] = []
    values = body.get("dryRun") or query.getall("dryRun", [])
    dry_run = _dry_run(list(values), causes)
    policy = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = is_true(query["orphanDependents"])
    if policy and orphan is not None:
        causes.append(
            Cause(
                "FieldValueInvalid",
                f"Invalid value: {quoted(policy)}: orphanDependents and deletionPropagation "
                f"cannot be both set",
                "propagationPolicy",
            )
        )
    elif policy and policy not in PROPAGATION:
        choices = ", ".join(quoted(choice) for choice in (*PROPAGATION, "nil"))
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f"Unsupported value: {quoted(policy)}: supported values: {choices}",
                "propagationPolicy",
            )
        )
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds"):
        grace = _integer(query["gracePeriodSeconds"], "gracePeriodSeconds")
    if causes:
        raise invalid("DeleteOptions", _OPTIONS_GROUP, "", causes)
    preconditions = body.get("preconditions") or {}
    document: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    document.update({key: value for key, value in body.items() if key not in ("kind", "apiVersion")})
    if grace is not None:
        document["gracePeriodSeconds"] = grace
    if policy:
        document["propagationPolicy"] = policy
    if dry_run:
        document["dryRun"] = ["All"]
    return DeleteOptions(
        dry_run=dry_run,
        grace_period_seconds=grace,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        propagation_policy=policy,
        orphan_dependents=orphan,
        document=document,
    )


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of list and watch. `resource_version` is None when not given; 0 means "any"."""

    label_selector: str
    field_selector: str
    limit: int
    continue_token: str
    resource_version: int | None
    match: str
    watch: bool
    timeout_seconds: int | None
    bookmarks: bool
    send_initial_events: bool | None


def list_options(query: Mapping[str, str], watch: bool) -> ListOptions:
    """Raises `StatusError`; a malformed resourceVersion is 400 on a list and 500 on a watch."""
    if not query:
        return _LIST_EVERYTHING
    match = query.get("resourceVersionMatch", "")
    version_text = query.get("resourceVersion", "")
    token = query.get("continue", "")
    initial = is_true(query["sendInitialEvents"]) if "sendInitialEvents" in query else None
    _check_match(watch, match, version_text, token, initial)
    version = None
    if version_text:
        if not version_text.isdecimal():
            why = f'strconv.ParseUint: parsing "{version_text}": invalid syntax'
            text = f'resourceVersion: Invalid value: "{version_text}": {why}'
            raise StatusError(500, "", text) if watch else bad_request(f"invalid resource version: {text}")
        version = int(version_text)
    timeout = query.get("timeoutSeconds", "")
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=max(0, _integer(query["limit"], "limit")) if query.get("limit") else 0,
        continue_token=token,
        resource_version=version,
        match=match,
        watch=watch,
        timeout_seconds=_integer(timeout, "timeoutSeconds") if timeout else None,
        bookmarks=is_true(query.get("allowWatchBookmarks")),
        send_initial_events=initial,
    )


_LIST_EVERYTHING = ListOptions("", "", 0, "", None, "", False, None, False, None)


def _check_match(watch: bool, match: str, version: str, token: str, initial: bool | None) -> None:
    causes: list[Cause] = []

    def refuse(reason: str, message: str, field: str = "resourceVersionMatch") -> None:
        causes.append(Cause(reason, message, field))

    if watch:
        if initial is not None and match != "NotOlderThan":
            refuse(
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
            if match:
                refuse(
                    "FieldValueNotSupported",
                    f'Unsupported value: {quoted(match)}: supported values: "NotOlderThan"',
                )
        elif initial is None and match:
            refuse(
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
    else:
        if initial is not None:
            refuse(
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents is forbidden for list",
                "sendInitialEvents",
            )
        if match:
            if not version:
                refuse(
                    "FieldValueForbidden",
                    "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                )
            if token:
                refuse(
                    "FieldValueForbidden",
                    "Forbidden: resourceVersionMatch is forbidden when continue is provided",
                )
            if match not in ("Exact", "NotOlderThan"):
                refuse(
                    "FieldValueNotSupported",
                    f'Unsupported value: {quoted(match)}: supported values: "Exact", "NotOlderThan", ""',
                )
            elif match == "Exact" and version == "0":
                refuse(
                    "FieldValueForbidden",
                    'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
                )
    if causes:
        raise invalid("ListOptions", _OPTIONS_GROUP, "", causes)
    if token and version and version != "0":
        raise bad_request("specifying resource version is not allowed when using continue")


def _integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
