"""Rules for names, labels, annotations, finalizers and owner references, with Kubernetes' wording.

Each `*_faults` function returns what is wrong with one value (empty if nothing is); `metadata_faults`
collects causes for a whole metadata.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from edgevirt.engine.apiserver.errors import Cause

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_label = re.compile(_DNS_LABEL)
_subdomain = re.compile(_DNS_SUBDOMAIN)
_qualified = re.compile(_QUALIFIED)
_label_value = re.compile(_LABEL_VALUE)

MAX_ANNOTATIONS = 256 * 1024
_GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_NAME = 63
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def generate_name(base: str) -> str:
    """`base` with a random suffix of five characters, cut so that 63 are not exceeded."""
    suffix = "".join(secrets.choice(_GENERATED_ALPHABET) for _ in range(5))
    return base[: _MAX_NAME - 5] + suffix


def subdomain_faults(value: str) -> list[str]:
    faults: list[str] = []
    if len(value) > 253:
        faults.append("must be no more than 253 characters")
    if not _subdomain.fullmatch(value):
        faults.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and "
            "must start and end with an alphanumeric character (e.g. 'example.com', regex used "
            "for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return faults


def label_faults(value: str) -> list[str]:
    """RFC 1123 label, the rule for namespaces."""
    faults: list[str] = []
    if len(value) > _MAX_NAME:
        faults.append("must be no more than 63 characters")
    if not _label.fullmatch(value):
        faults.append(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
            "'-', and must start "
            "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
            "for validation is "
            f"'{_DNS_LABEL}')"
        )
    return faults


def path_segment_faults(value: str) -> list[str]:
    """The only rule for names of RBAC objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in ("/", "%") if character in value]


@lru_cache(maxsize=4096)
def label_key_faults(key: str) -> tuple[str, ...]:
    """A qualified name: optional DNS prefix, slash, name."""
    parts = key.split("/")
    if len(parts) > 2:
        return (
            "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and "
            "must start and end with "
            "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
            "for validation is "
            f"'{_QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    faults: list[str] = []
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            faults.append("prefix part must be non-empty")
        else:
            faults.extend(f"prefix part {fault}" for fault in subdomain_faults(parts[0]))
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > _MAX_NAME:
        faults.append("name part must be no more than 63 characters")
    if not _qualified.fullmatch(name):
        faults.append(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start "
            "and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
            "for validation is "
            f"'{_QUALIFIED}')"
        )
    return tuple(faults)


@lru_cache(maxsize=4096)
def label_value_faults(value: str) -> tuple[str, ...]:
    faults: list[str] = []
    if len(value) > _MAX_NAME:
        faults.append("must be no more than 63 characters")
    if not _label_value.fullmatch(value):
        faults.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', "
            "'_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
            "'12345', regex used "
            f"for validation is '{_LABEL_VALUE}')"
        )
    return tuple(faults)


def quoted(value: object) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def invalid_value(field: str, value: object, fault: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(value)}: {fault}", field)


def metadata_faults(
    metadata: dict[str, Any], name_faults: Any = subdomain_faults, *, plain_finalizers: bool = False
) -> list[Cause]:
    """Everything wrong with a metadata that is about to be stored. `name_faults` is the kind's name rule.

    With `plain_finalizers` their names need no path: so it is for kinds that are not Kubernetes' core.
    """
    causes: list[Cause] = []
    name = metadata.get("name") or ""
    generate = metadata.get("generateName") or ""
    if generate and not name:
        causes.extend(
            invalid_value("metadata.generateName", generate, fault)
            for fault in name_faults(generate[:-1] if generate.endswith("-") else generate)
        )
    if not name:
        causes.append(
            Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
        )
    else:
        faults = name_faults(name)
        if faults:
            causes.extend(invalid_value("metadata.name", name, fault) for fault in faults)
    if labels := metadata.get("labels"):
        causes.extend(_label_faults(labels))
    if annotations := metadata.get("annotations"):
        causes.extend(_annotation_faults(annotations))
    if owners := metadata.get("ownerReferences"):
        causes.extend(_owner_faults(owners))
    if finalizers := metadata.get("finalizers"):
        causes.extend(_finalizer_faults(finalizers, plain_finalizers))
    return causes


def _label_faults(labels: dict[str, str]) -> list[Cause]:
    causes: list[Cause] = []
    for key in sorted(labels):
        causes.extend(invalid_value("metadata.labels", key, fault) for fault in label_key_faults(key))
        causes.extend(
            invalid_value("metadata.labels", labels[key], f) for f in label_value_faults(labels[key])
        )
    return causes


def _annotation_faults(annotations: dict[str, str]) -> list[Cause]:
    causes: list[Cause] = []
    size = 0
    for key in sorted(annotations):
        size += len(key) + len(annotations[key])
        causes.extend(
            invalid_value("metadata.annotations", key, fault) for fault in label_key_faults(key.lower())
        )
    if size > MAX_ANNOTATIONS:
        causes.append(
            Cause(
                "FieldValueTooLong",
                f"Too long: may not be more than {MAX_ANNOTATIONS} bytes",
                "metadata.annotations",
            )
        )
    return causes


def without_repeated_owners(metadata: dict[str, Any], warnings: list[str]) -> None:
    """Keeps one of equal owner references, in place, and warns about owners named more than once."""
    owners = metadata.get("ownerReferences")
    if not isinstance(owners, list) or len(owners) < 2:
        return
    kept: list[Any] = []
    uids: dict[str, int] = {}
    for owner in owners:
        if owner not in kept:
            kept.append(owner)
        uid = str(owner.get("uid", "")) if isinstance(owner, dict) else ""
        uids[uid] = uids.get(uid, 0) + 1
    repeated = ", ".join(uid for uid, count in uids.items() if count > 1)
    if repeated:
        metadata["ownerReferences"] = kept
        warnings.append(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in "
            "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate "
            f"UID(s) observed: {repeated}"
        )


def _owner_faults(owners: list[dict[str, Any]]) -> list[Cause]:
    causes: list[Cause] = []
    controllers = [owner for owner in owners if owner.get("controller")]
    for owner in owners:
        field = "metadata.ownerReferences"
        if not owner.get("apiVersion"):
            causes.append(invalid_value(f"{field}.apiVersion", "", "version must not be empty"))
        causes.extend(
            invalid_value(f"{field}.{name}", "", "must not be empty")
            for name in ("kind", "name", "uid")
            if not owner.get(name)
        )
    if len(controllers) > 1:
        causes.append(
            Cause(
                "FieldValueInvalid",
                "Invalid value: only one reference can have controller set to true; found true in "
                f"{controllers[0].get('kind')}/{controllers[0].get('name')} and "
                f"{controllers[1].get('kind')}/{controllers[1].get('name')}",
                "metadata.ownerReferences",
            )
        )
    return causes


def _finalizer_faults(finalizers: list[str], plain: bool) -> list[Cause]:
    causes: list[Cause] = []
    for index, finalizer in enumerate(finalizers):
        field = f"metadata.finalizers[{index}]"
        faults = label_key_faults(finalizer)
        causes.extend(invalid_value(field, finalizer, fault) for fault in faults)
        if not faults and not plain and _belongs_to_nobody(finalizer):
            causes.append(
                invalid_value(
                    field, finalizer, "name is neither a standard finalizer name nor is it fully qualified"
                )
            )
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        causes.append(
            invalid_value(
                "metadata.finalizers",
                finalizers,
                "finalizer orphan and foregroundDeletion cannot be both set",
            )
        )
    return causes


def _belongs_to_nobody(finalizer: str) -> bool:
    return "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS


def finalizer_warnings(metadata: dict[str, Any], before: Collection[str]) -> list[str]:
    """What is said about new finalizers of a custom resource that others might use, too."""
    new = sorted({*(metadata.get("finalizers") or ())}.difference(before))
    advice = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts"
    return [
        f'metadata.finalizers: "{finalizer}": {advice} with other finalizer writers'
        for finalizer in new
        if _belongs_to_nobody(finalizer)
    ]


def finalizer_faults(metadata: dict[str, Any], old: dict[str, Any]) -> list[Cause]:
    """Nothing may begin to hold an object that is being deleted."""
    if not old.get("deletionTimestamp"):
        return []
    before = old.get("finalizers") or []
    added = [finalizer for finalizer in metadata.get("finalizers") or [] if finalizer not in before]
    if not added:
        return []
    shown = ", ".join(f'"{finalizer}"' for finalizer in added)
    return [
        Cause(
            "FieldValueForbidden",
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{shown}}}",
            "metadata.finalizers",
        )
    ]
