"""Events as lines, and the file they go to: turned over, bounded, and never in the way."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgevirt.engine.apiserver.audit import log as audit_log
from edgevirt.engine.apiserver.audit.events import Exchange, event, line
from edgevirt.engine.apiserver.audit.log import AuditLog, LogSettings
from edgevirt.engine.apiserver.audit.policy import Level, Stage
from edgevirt.engine.apiserver.openapi.wire import message, text
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo
from edgevirt.engine.apiserver.schema import protobuf_objects

ALICE = UserInfo("alice", "uid-1", ("dev",))
CREATE = Attributes(ALICE, "create", "", "v1", "configmaps", namespace="n")
EXCHANGE = Exchange(
    audit_id="id-1",
    level=Level.REQUEST_RESPONSE,
    stage=Stage.RESPONSE_COMPLETE,
    uri="/api/v1/namespaces/n/configmaps",
    received=1_700_000_000.25,
    staged=1_700_000_000.5,
    source="192.0.2.1",
    user_agent="kubectl",
    caller=ALICE,
    attributes=CREATE,
    decision=Decision(True, "because"),
    status=201,
    request_type="application/json",
    request_body=b'{"metadata":{"name":"a","managedFields":[{}]}}',
    response_body=b'{"kind":"ConfigMap","metadata":{"name":"a","managedFields":[{}]}}',
)


def test_event_says_what_a_kube_apiserver_says() -> None:
    assert event(EXCHANGE) == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "id-1",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/n/configmaps",
        "verb": "create",
        "user": {"username": "alice", "uid": "uid-1", "groups": ["dev"]},
        "sourceIPs": ["192.0.2.1"],
        "userAgent": "kubectl",
        "objectRef": {"resource": "configmaps", "namespace": "n", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestObject": {"metadata": {"name": "a", "managedFields": [{}]}},
        "responseObject": {"kind": "ConfigMap", "metadata": {"name": "a", "managedFields": [{}]}},
        "requestReceivedTimestamp": "2023-11-14T22:13:20.250000Z",
        "stageTimestamp": "2023-11-14T22:13:20.500000Z",
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "because",
        },
    }


def test_metadata_holds_no_objects_but_the_reason_of_a_failure() -> None:
    refused = b'{"kind":"Status","status":"Failure","message":"no","reason":"Forbidden","code":403}'
    found = event(dataclasses.replace(EXCHANGE, level=Level.METADATA, status=403, response_body=refused))
    assert "requestObject" not in found
    assert "responseObject" not in found
    assert found["responseStatus"] == {
        "metadata": {},
        "code": 403,
        "status": "Failure",
        "message": "no",
        "reason": "Forbidden",
    }


def test_managed_fields_can_be_left_out() -> None:
    items = b'{"items":[{"metadata":{"name":"a","managedFields":[]}}]}'
    found = event(dataclasses.replace(EXCHANGE, omit_managed_fields=True, response_body=items))
    assert found["requestObject"] == {"metadata": {"name": "a"}}
    assert found["responseObject"] == {"items": [{"metadata": {"name": "a"}}]}


def test_impersonated_user_stands_beside_the_caller() -> None:
    found = event(dataclasses.replace(EXCHANGE, caller=UserInfo("root")))
    assert found["user"] == {"username": "root"}
    assert found["impersonatedUser"]["username"] == "alice"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 20_000])
def test_damaged_body_is_left_out(body: bytes) -> None:
    assert "requestObject" not in event(dataclasses.replace(EXCHANGE, request_body=body))


def test_yaml_body_is_written_as_json() -> None:
    found = event(
        dataclasses.replace(EXCHANGE, request_type="application/yaml", request_body=b"data: {a: b}")
    )
    assert found["requestObject"] == {"data": {"a": "b"}}


def test_protobuf_body_is_written_as_json_and_completes_the_reference() -> None:
    kind = message(1, text(1, "v1") + text(2, "ConfigMap"))
    body = protobuf_objects.MAGIC + kind + message(2, message(1, text(1, "b")))
    found = event(dataclasses.replace(EXCHANGE, request_type=protobuf_objects.MEDIA_TYPE, request_body=body))
    assert found["requestObject"]["metadata"] == {"name": "b"}
    assert found["objectRef"]["name"] == "b"


def written(path: Path) -> list[str]:
    return [json.loads(line)["auditID"] for line in path.read_text().splitlines()]


def test_lines_are_in_the_file_in_order_when_it_is_closed(tmp_path: Path) -> None:
    log = AuditLog(LogSettings(tmp_path / "logs/audit.log"))
    log.start()
    for number in range(50):
        assert log.offer(dataclasses.replace(EXCHANGE, audit_id=str(number)))
    log.close()
    assert written(tmp_path / "logs/audit.log") == [str(number) for number in range(50)]
    assert (log.written, log.dropped) == (50, 0)
    assert (tmp_path / "logs/audit.log").stat().st_mode & 0o777 == 0o600


def test_file_is_turned_over_by_size_and_old_ones_go(tmp_path: Path) -> None:
    ticks = iter(range(1_700_000_000, 1_800_000_000))
    log = AuditLog(LogSettings(tmp_path / "audit.log", max_bytes=2500, backups=2), lambda: next(ticks))
    log.start()
    for number in range(20):
        log.offer(dataclasses.replace(EXCHANGE, audit_id=str(number)))
    log.close()
    files = sorted(tmp_path.glob("audit-*.log"))
    assert len(files) == 2
    assert all(path.stat().st_size <= 2500 for path in (*files, tmp_path / "audit.log"))
    kept = [identity for path in (*files, tmp_path / "audit.log") for identity in written(path)]
    assert kept == [str(number) for number in range(20 - len(kept), 20)]
    assert all(path.name.startswith("audit-2023-11-14T22-13-") for path in files)


def test_existing_file_is_continued(tmp_path: Path) -> None:
    for identity in ("first", "second"):
        log = AuditLog(LogSettings(tmp_path / "audit.log"))
        log.start()
        log.offer(dataclasses.replace(EXCHANGE, audit_id=identity))
        log.close()
    assert written(tmp_path / "audit.log") == ["first", "second"]


def test_what_the_disk_cannot_take_in_time_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "MAX_WAITING_BYTES", 3 * EXCHANGE.size)
    log = AuditLog(LogSettings(tmp_path / "audit.log"))  # not started: nobody writes
    assert [log.offer(EXCHANGE) for _ in range(5)] == [True, True, True, False, False]
    assert log.dropped == 2


def test_failing_disk_costs_events_but_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    log = AuditLog(LogSettings(tmp_path / "audit.log"))
    with monkeypatch.context() as patched:
        patched.setattr(audit_log.os, "write", full)
        log.start()
        log.offer(EXCHANGE)
        log.offer(EXCHANGE)
        log.close()
    assert (log.written, log.dropped) == (0, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "the audit log cannot be written: [Errno 28] No space left on device"
    ]


def test_header_that_is_no_text_does_not_keep_a_request_out_of_the_log() -> None:
    hidden = b"\xff".decode("utf-8", "surrogateescape")
    found = json.loads(line(dataclasses.replace(EXCHANGE, user_agent=f"curl{hidden}")))
    assert found["userAgent"] == "curl?"
    assert found["user"]["username"] == "alice"


def test_whatever_goes_wrong_with_one_event_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = audit_log.line

    def failing(exchange: Exchange) -> bytes:
        if exchange.audit_id == "bad":
            raise RecursionError
        return written(exchange)

    monkeypatch.setattr(audit_log, "line", failing)
    log = AuditLog(LogSettings(tmp_path / "audit.log"))
    log.start()
    log.offer(dataclasses.replace(EXCHANGE, audit_id="bad"))
    log.offer(dataclasses.replace(EXCHANGE, audit_id="good"))
    log.close()
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert [json.loads(each)["auditID"] for each in lines] == ["good"]
    assert (log.written, log.dropped) == (1, 1)
