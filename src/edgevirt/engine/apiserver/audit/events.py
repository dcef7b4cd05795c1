"""One audit event: the JSON line that says what is known about a request at a stage. Pure.

Objects of requests and responses are put in as JSON, whatever form they travelled in; what is no object (a
damaged body, a list cut off) is left out, as a kube-apiserver does.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgevirt.engine.apiserver.audit.policy import Level, Stage
from edgevirt.engine.apiserver.http.body import media_type
from edgevirt.engine.apiserver.http.json_syntax import parse_json
from edgevirt.engine.apiserver.http.yaml_document import parse_yaml
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo
from edgevirt.engine.apiserver.schema import protobuf_objects

Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "application/apply-patch+yaml")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Everything an event is made of; bodies are only there when the level wants them."""

    audit_id: str
    level: Level
    stage: Stage
    uri: str
    received: float
    staged: float
    """When the stage was reached; both are seconds since the epoch."""
    source: str
    user_agent: str
    caller: UserInfo | None
    attributes: Attributes
    decision: Decision | None
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What admission had to add."""
    status: int = 0
    omit_managed_fields: bool = False
    request_type: str = ""
    request_body: bytes = b""
    response_body: bytes = b""

    @property
    def size(self) -> int:
        """About how much memory it takes."""
        return 1024 + len(self.uri) + len(self.request_body) + len(self.response_body)


def line(exchange: Exchange) -> bytes:
    """The event as one line. Nothing a client sends keeps its request out of the log.

    A header may hold bytes that are no text, and a body may be nested deeper than can be written: then what
    is no text is replaced, and the bodies are left out.
    """
    try:
        return bytes(_encode(event(exchange))) + b"\n"
    except (UnicodeEncodeError, RecursionError):
        bare = dataclasses.replace(exchange, request_body=b"", response_body=b"")
        return bytes(_encode(_text(event(bare)))) + b"\n"


def _text(value: Any) -> Any:
    """`value`, with a question mark for each character that is none."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_text(name): _text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value


def event(exchange: Exchange) -> Json:
    attributes = exchange.attributes
    document: Json = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": exchange.level.text,
        "auditID": exchange.audit_id,
        "stage": exchange.stage.value,
        "requestURI": exchange.uri,
        "verb": attributes.verb,
        "user": (exchange.caller or attributes.user).to_dict(),
    }
    if exchange.caller is not None and exchange.caller is not attributes.user:
        document["impersonatedUser"] = attributes.user.to_dict()
    if exchange.source:
        document["sourceIPs"] = [exchange.source]
    if exchange.user_agent:
        document["userAgent"] = exchange.user_agent
    sent = _object(exchange.request_body, exchange.request_type) if exchange.request_body else None
    if attributes.resource:
        document["objectRef"] = _reference(attributes, sent)
    returned = _object(exchange.response_body, "application/json") if exchange.response_body else None
    if exchange.status:
        document["responseStatus"] = _status(exchange.status, returned)
    if exchange.level >= Level.REQUEST and sent is not None:
        document["requestObject"] = _shown(sent, exchange.omit_managed_fields)
    if exchange.level >= Level.REQUEST_RESPONSE and returned is not None:
        document["responseObject"] = _shown(returned, exchange.omit_managed_fields)
    document["requestReceivedTimestamp"] = _time(exchange.received)
    document["stageTimestamp"] = _time(exchange.staged)
    if exchange.decision is not None:
        document["annotations"] = {
            "authorization.k8s.io/decision": "allow" if exchange.decision.allowed else "forbid",
            "authorization.k8s.io/reason": exchange.decision.reason,
            **exchange.annotations,
        }
    return document


def _reference(attributes: Attributes, sent: Any) -> Json:
    """What the request is about; the object that was sent completes what the path leaves open."""
    metadata = sent.get("metadata") if isinstance(sent, dict) else None
    metadata = metadata if isinstance(metadata, dict) else {}
    reference: Json = {
        "resource": attributes.resource,
        "namespace": attributes.namespace,
        "name": attributes.name or metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "apiGroup": attributes.group,
        "apiVersion": attributes.version,
        "resourceVersion": metadata.get("resourceVersion", ""),
        "subresource": attributes.subresource,
    }
    return {name: value for name, value in reference.items() if value}


def _status(code: int, returned: Any) -> Json:
    status: Json = {"metadata": {}, "code": code}
    if isinstance(returned, dict) and returned.get("kind") == "Status":
        for name in ("status", "message", "reason", "details"):
            if returned.get(name):
                status[name] = returned[name]
    return status


def _object(body: bytes, content_type: str) -> Any:
    try:
        media = media_type(content_type)
        if media in _YAML:
            return parse_yaml(body)
        if media == protobuf_objects.MEDIA_TYPE:
            return protobuf_objects.decode(body)
        return parse_json(body)
    except (ValueError, RecursionError):
        return None


def _shown(document: Any, omit_managed_fields: bool) -> Any:
    if not omit_managed_fields or not isinstance(document, dict):
        return document
    if isinstance(document.get("items"), list):
        return {**document, "items": [_shown(item, True) for item in document["items"]]}
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        kept = {name: value for name, value in metadata.items() if name != "managedFields"}
        return {**document, "metadata": kept}
    return document


def _time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
