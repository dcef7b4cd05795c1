"""From client-side apply to server-side apply: the annotation in which kubectl keeps its last configuration.

kubectl's own manager gets two favours from a Kubernetes server. Its fields do not conflict with what it
applied itself from the client's side, as long as the object still says the same; and the annotation follows
every server-side apply, so that going back to the client's side works. Any other manager gets neither.
"""

from __future__ import annotations

import json
from typing import Any

from edgevirt.engine.apiserver.schema import SchemaNode
from edgevirt.engine.apiserver.writing import fieldset
from edgevirt.engine.apiserver.writing.fieldset import Fields
from edgevirt.engine.apiserver.writing.typed import compare, field_set

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
"""The manager's name, without which nothing here is done."""
_MAX_ANNOTATIONS = 256 * 1024
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def own_fields(node: SchemaNode, live: dict[str, Any]) -> Fields:
    """The fields that kubectl's last client-side apply stated and that still are as it stated them."""
    try:
        last = json.loads(_annotations(live).get(ANNOTATION) or "null")
    except ValueError:
        return {}
    if not isinstance(last, dict):
        return {}
    difference = compare(node, last, live)
    fields = field_set(node, last)
    for other in (difference.modified, difference.added, difference.removed):
        fields = fieldset.difference(fields, other)
    return fields


def follow(applied: dict[str, Any], config: dict[str, Any]) -> None:
    """Make an annotation that `applied` has already say what was just applied; it goes if it is too long."""
    annotations = _annotations(applied)
    if not annotations.get(ANNOTATION):
        return
    annotations = {**annotations, ANNOTATION: _text(config)}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        del annotations[ANNOTATION]
    applied["metadata"]["annotations"] = annotations


def _text(config: dict[str, Any]) -> str:
    """`config` less the annotation itself, as Go writes JSON."""
    metadata = config.get("metadata") or {}
    kept = {key: value for key, value in _annotations(config).items() if key != ANNOTATION}
    if "annotations" in metadata:
        config = {**config, "metadata": {**metadata, "annotations": kept}}
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPED) + "\n"


def _annotations(obj: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = (obj.get("metadata") or {}).get("annotations") or {}
    return found
