"""Conventions of the API that hold for every resource: forms of answers, options, bodies, metadata."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
import yaml
from api_server_under_test import Running

from edgevirt.engine.apiserver.http import compression

pytestmark = pytest.mark.component

MAPS = "/api/v1/namespaces/default/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
REPEATED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\ndata: {k: w}\n"
Json = dict[str, Any]


async def call(
    api: Running, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Json, Any]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, str) or body is None else json.dumps(body)
    async with api.client.request(method, path, data=data, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers


async def make(api: Running, name: str, **more: Any) -> Json:
    status, made, _ = await call(api, "POST", MAPS, {"metadata": {"name": name}, **more})
    assert status == 201
    return made


@pytest.mark.parametrize("method", ["PATCH", "PUT", "GET"])
async def test_answer_to_one_object_may_be_its_metadata_or_a_table(api: Running, method: str) -> None:
    await make(api, "a")
    body = None if method == "GET" else {"metadata": {"name": "a"}, "data": {"k": method}}
    headers = {"Content_Type": MERGE} if method == "PATCH" else {}
    _, partial, _ = await call(api, method, f"{MAPS}/a", body, Accept=PARTIAL, **headers)
    assert (partial["kind"], partial["metadata"]["name"], "data" in partial) == (
        "PartialObjectMetadata",
        "a",
        False,
    )
    _, table, _ = await call(api, method, f"{MAPS}/a", body, Accept=TABLE, **headers)
    assert (table["kind"], table["rows"][0]["cells"][0]) == ("Table", "a")


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
async def test_rows_of_a_table_carry_what_is_asked_for(api: Running, include: str, kind: str | None) -> None:
    await make(api, "a")
    _, table, _ = await call(api, "GET", f"{MAPS}?includeObject={include}", Accept=TABLE)
    carried = table["rows"][0].get("object")
    assert (carried or {}).get("kind") == kind


async def test_dry_runs_change_nothing_with_any_verb(api: Running) -> None:
    before = await make(api, "a", data={"k": "v"})
    status, made, _ = await call(api, "POST", f"{MAPS}?dryRun=All", {"metadata": {"generateName": "g-"}})
    assert (status, made["metadata"]["name"].startswith("g-"), len(made["metadata"]["name"])) == (
        201,
        True,
        7,
    )
    changed = {"metadata": {"name": "a"}, "data": {"k": "w"}}
    for method, path, body, headers in (
        ("PUT", f"{MAPS}/a", changed, {}),
        ("PATCH", f"{MAPS}/a", changed, {"Content_Type": MERGE}),
        (
            "PATCH",
            f"{MAPS}/b?fieldManager=m",
            {"apiVersion": "v1", "kind": "ConfigMap"},
            {"Content_Type": APPLY},
        ),
        ("DELETE", f"{MAPS}/a", None, {}),
        ("DELETE", MAPS, None, {}),
    ):
        joiner = "&" if "?" in path else "?"
        status, _, _ = await call(api, method, f"{path}{joiner}dryRun=All", body, **headers)
        assert status in (200, 201), (method, path)
    _, after, _ = await call(api, "GET", MAPS)
    assert [item["metadata"] for item in after["items"]] == [before["metadata"]]
    assert after["items"][0]["data"] == {"k": "v"}


async def test_keys_that_yaml_repeats_are_refused_warned_about_or_ignored(api: Running) -> None:
    said = 'yaml: unmarshal errors:\n  line 5: key "data" already set in map'
    headers = {"Content_Type": "application/yaml"}
    status, refused, _ = await call(api, "POST", f"{MAPS}?fieldValidation=Strict", REPEATED, **headers)
    assert (status, refused["message"]) == (
        400,
        f'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: {said}',
    )
    _, _, answered = await call(api, "POST", f"{MAPS}?dryRun=All", REPEATED, **headers)
    assert 'key \\"data\\" already set in map' in answered["Warning"]
    status, _, answered = await call(
        api, "POST", f"{MAPS}?dryRun=All&fieldValidation=Ignore", REPEATED, **headers
    )
    assert (status, "Warning" in answered) == (201, False)
    applied = f"{MAPS}/a?fieldManager=m&fieldValidation=Strict"
    status, refused, _ = await call(api, "PATCH", applied, REPEATED, Content_Type=APPLY)
    assert (status, refused["message"]) == (
        400,
        f"error strict decoding YAML: error converting YAML to JSON: {said}",
    )


async def test_equal_owner_references_are_stored_once_with_a_warning(api: Running) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    body = {"metadata": {"name": "a", "ownerReferences": [owner, owner]}}
    status, made, headers = await call(api, "POST", MAPS, body)
    assert (status, made["metadata"]["ownerReferences"]) == (201, [owner])
    assert "duplicate UID(s) observed: u" in headers["Warning"]


async def test_owner_reference_without_keys_is_invalid_and_no_fault_of_the_server(api: Running) -> None:
    body = {"metadata": {"name": "a", "ownerReferences": [{"kind": "A"}]}}
    status, refused, _ = await call(api, "POST", MAPS, body)
    assert (status, refused["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in refused["details"]["causes"]] == [
        "metadata.ownerReferences.apiVersion",
        "metadata.ownerReferences.name",
        "metadata.ownerReferences.uid",
    ]


async def test_annotations_are_bounded_together(api: Running) -> None:
    body = {"metadata": {"name": "a", "annotations": {"one": "x" * 200_000, "two": "y" * 70_000}}}
    status, refused, _ = await call(api, "POST", MAPS, body)
    assert (status, refused["details"]["causes"][0]["message"]) == (
        422,
        "Too long: may not be more than 262144 bytes",
    )


async def test_continued_list_is_consistent_with_its_first_page(api: Running) -> None:
    for name in ("a", "b", "c"):
        await make(api, name, data={"k": "old"})
    _, first, _ = await call(api, "GET", f"{MAPS}?limit=1")
    await call(api, "DELETE", f"{MAPS}/c")
    await call(api, "PATCH", f"{MAPS}/b", {"data": {"k": "new"}}, Content_Type=MERGE)
    assert first["metadata"]["remainingItemCount"] == 2
    _, rest, _ = await call(api, "GET", f"{MAPS}?limit=5&continue={first['metadata']['continue']}")
    assert [(item["metadata"]["name"], item["data"]["k"]) for item in rest["items"]] == [
        ("b", "old"),
        ("c", "old"),
    ]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"])
async def test_discovery_can_be_had_as_yaml(api: Running, path: str) -> None:
    async with api.client.get(path, headers={"Accept": "application/yaml"}) as answer:
        assert answer.headers["Content-Type"] == "application/yaml"
        assert "kind" in yaml.safe_load(await answer.text())


async def test_large_answers_are_packed_for_clients_elsewhere(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await make(api, f"m{number}", data={"k": "v" * 60_000})
    headers = {"Accept-Encoding": "gzip"}
    for path in (MAPS, f"{MAPS}?pretty=1", "/openapi/v2"):
        async with api.client.get(path, headers=headers) as near:
            plain = await near.read()
            assert "Content-Encoding" not in near.headers
        with monkeypatch.context() as patched:
            patched.setattr(compression, "is_local", lambda address: False)
            async with api.client.get(path, headers=headers) as far:
                assert far.headers["Content-Encoding"] == "gzip"
                assert "Accept-Encoding" in ", ".join(far.headers.getall("Vary"))
                assert await far.read() == plain
            async with api.client.get(path, headers={"Accept-Encoding": "gzip;q=0"}) as refused:
                assert "Content-Encoding" not in refused.headers
    async with api.client.get(f"{MAPS}/m0", headers=headers) as small:
        assert "Content-Encoding" not in small.headers


def test_packed_bytes_are_gzip() -> None:
    body = b"text" * 100_000
    assert zlib.decompress(compression.packed(body), 31) == body


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
    ],
)
def test_gzip_is_taken_as_the_header_says(header: str, taken: bool) -> None:
    assert compression.takes_gzip(header) is taken


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), (None, True), ("192.0.2.1", False), ("fe80::1%eth0", False)],
)
def test_only_loopback_is_local(address: str | None, local: bool) -> None:
    assert compression.is_local(address) is local
