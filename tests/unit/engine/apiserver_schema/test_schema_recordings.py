"""Replays recorded answers of a real API server against schemas, tables and discovery."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgevirt.api import core, resources
from edgevirt.engine.apiserver.discovery import Discovery
from edgevirt.engine.apiserver.reading import tables
from edgevirt.engine.apiserver.registry import ALL_VERBS, Registry, ServedResource
from edgevirt.engine.apiserver.schema.builtin import builtin_schema
from edgevirt.engine.apiserver.schema.crd import served_resources

pytestmark = pytest.mark.unit

Json = dict[str, Any]
Load = Callable[[str], Json]
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CHECKED_BY_THE_REST_LAYER = {"metadata.name", "kind", "patch"}


def crds_of(scenario: Json) -> list[Json]:
    return [
        step["request"]["body"]
        for step in scenario["setup"]
        if step["request"]["method"] == "POST"
        and step["request"]["path"].endswith("customresourcedefinitions")
    ]


def warnings_of(response: Json) -> list[str]:
    found = response.get("headers", {}).get("Warning", [])
    texts = [found] if isinstance(found, str) else found
    return [
        text.partition("unknown field ")[2].replace('\\"', "").strip('"')
        for text in texts
        if "unknown" in text
    ]


@pytest.mark.parametrize("number", ["45", "46", "47"])
def test_custom_resources_are_judged_as_recorded(recording: Load, strategy: Any, number: str) -> None:
    scenario = recording(number)
    (crd,) = crds_of(scenario)
    (resource,) = served_resources(crd, strategy, "x/")
    stored: dict[str, Json] = {}
    judged = 0
    for step in scenario["steps"]:
        request, response = step["request"], step["response"]
        body, answer = request.get("body"), response.get("body", {})
        content = request["headers"]["Content-Type"]
        if not isinstance(body, dict) or "apply" in content or response["status"] == 400:
            continue
        old = None
        if request["method"] == "PATCH":
            name = request["path"].rpartition("/")[2].partition("?")[0]
            old = stored[name]
            body = {
                **old,
                "spec": {k: v for k, v in {**old["spec"], **body["spec"]}.items() if v is not None},
            }
        obj = copy.deepcopy(body)
        obj["metadata"].pop("creationTimestamp", None)
        obj["metadata"].pop("managedFields", None)
        assert resource.schema.type_error(obj) is None
        unknown = resource.schema.prune(obj)
        resource.schema.apply_defaults(obj)
        found = [(c.reason, c.message, c.field) for c in resource.schema.validate(obj, old)]
        causes = answer.get("details", {}).get("causes", [])
        wanted = [(c["reason"], c["message"], c["field"]) for c in causes]
        if wanted and wanted[0][2] in CHECKED_BY_THE_REST_LAYER:
            continue
        judged += 1
        assert sorted(found) == sorted(wanted), body
        if response["status"] in (200, 201):
            stored[answer["metadata"]["name"]] = answer
            assert obj.get("spec") == answer.get("spec")
            if "fieldValidation=Ignore" not in request["path"]:
                assert unknown == warnings_of(response)
    assert judged >= 12


def test_unknown_fields_of_built_in_kinds_are_listed_as_recorded(recording: Load) -> None:
    pod = builtin_schema(core.Pod, "", "v1", "Pod")
    step = next(
        s for s in recording("21")["steps"] if s["request"]["path"].endswith("pods?fieldValidation=Strict")
    )
    unknown = pod.prune(copy.deepcopy(step["request"]["body"]))
    listed = ", ".join(f'unknown field "{path}"' for path in unknown)
    assert step["response"]["body"]["message"].endswith(f"strict decoding error: {listed}")


@pytest.mark.parametrize("number", ["34", "35"])
def test_tables_look_as_recorded(
    recording: Load, served: Callable[..., ServedResource], strategy: Any, number: str
) -> None:
    scenario = recording(number)
    by_plural = {
        resource.plural: served(resource)
        for name, resource in vars(resources).items()
        if name.isupper() and not name.endswith("_METRICS")  # of pods and nodes, as there are pods and nodes
    }
    for crd in crds_of(scenario):
        by_plural[crd["spec"]["names"]["plural"]] = served_resources(crd, strategy, "x/")[0]
    objects: dict[str, Json] = {}
    compared = 0
    for step in scenario["steps"]:
        request, answer = step["request"], step["response"].get("body", {})
        if request["method"] == "POST":
            objects[f"{request['path']}/{answer['metadata']['name']}"] = answer
        if answer.get("kind") != "Table":
            continue
        path = request["path"].partition("?")[0]
        listed = [obj for key, obj in objects.items() if key.startswith((f"{path}/", path)) and key >= path]
        plural = next((p for p in reversed(path.split("/")) if p in by_plural), "")
        if path.endswith("namespaces/table-builtin"):
            continue
        table = tables.render(by_plural[plural], [_dated(obj) for obj in listed], now=NOW)
        compared += 1
        assert _heads(table) == _heads(answer)
        assert [row["cells"] for row in table["rows"] or ()] == [
            [_plain(cell) for cell in row["cells"]] for row in answer["rows"] or ()
        ]
        assert (table["rows"] is None) == (answer["rows"] is None)
    assert compared >= 4


def _dated(obj: Json) -> Json:
    """The recorded object with its trimmed times put back."""
    dated = copy.deepcopy(obj)
    dated["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    if dated.get("spec", {}).get("when") == "<time>":
        dated["spec"]["when"] = "2000-12-31T00:00:00Z"
    return dated


def _plain(cell: Any) -> Any:
    return "2026-01-01T00:00:00Z" if cell == "<time>" else cell


def _heads(table: Json) -> list[tuple[str, str, str, int]]:
    return [(c["name"], c["type"], c["format"], c["priority"]) for c in table["columnDefinitions"]]


def test_resource_lists_look_as_recorded(recording: Load, served: Callable[..., ServedResource]) -> None:
    answers = {
        step["request"]["path"]: step["response"]["body"]
        for step in recording("03")["steps"]
        if step["response"]["status"] == 200
    }
    ours = {}
    for name, resource in vars(resources).items():
        if not name.isupper():
            continue
        group = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        recorded = answers.get(group)
        if recorded is None:
            continue
        entries = {entry["name"]: entry for entry in recorded["resources"]}
        head = entries[resource.plural]
        below = [entry.partition("/")[2] for entry in entries if entry.startswith(f"{resource.plural}/")]
        ours[resource.plural] = (
            group,
            served(
                resource,
                verbs=tuple(verb for verb in ALL_VERBS if verb in head["verbs"]),
                short_names=tuple(head.get("shortNames", ())),
                categories=tuple(head.get("categories", ())),
                subresources=frozenset(below),
            ),
        )
    discovery = Discovery(Registry(resource for _, resource in ours.values()))
    assert len(ours) > 10
    for plural, (group, resource) in ours.items():
        document = discovery.api_resources(resource.group, resource.version)
        assert document is not None
        found = {e["name"]: e for e in msgspec.json.decode(document.body)["resources"]}
        recorded = {e["name"]: e for e in answers[group]["resources"]}
        for name in recorded:
            if name == plural or name.startswith(f"{plural}/"):
                expected = dict(recorded[name])
                expected["singularName"] = found[name]["singularName"]
                if plural == "customresourcedefinitions" and "storageVersionHash" in expected:
                    # a real server still stores definitions as v1beta1; this one stores v1
                    expected["storageVersionHash"] = found[name]["storageVersionHash"]
                assert found[name] == expected
