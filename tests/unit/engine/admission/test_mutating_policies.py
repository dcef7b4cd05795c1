"""MutatingAdmissionPolicy: what apply configurations and JSON patches make of an object."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from object_reader_fake import FakeReader, namespace

from edgevirt.engine.apiserver.admission.mutating_policies import MutatingPolicies
from edgevirt.engine.apiserver.admission.policies import GROUP
from edgevirt.engine.apiserver.admission.policy_rules import mutating_policy_faults
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import AllowAll
from edgevirt.engine.apiserver.kinds.builtins import builtin_registry
from edgevirt.engine.apiserver.request import ADMIN, AdmissionAttributes

pytestmark = pytest.mark.unit

Json = dict[str, Any]
FOUND = builtin_registry().lookup("", "v1", "pods")
assert FOUND is not None
PODS = FOUND
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def configured(expression: str) -> Json:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patched(expression: str) -> Json:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def spec(*mutations: Json, **more: Any) -> Json:
    return {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [RULE]},
        "mutations": list(mutations),
        **more,
    }


def pod() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]},
    }


def table(*specs: Json) -> MutatingPolicies:
    reader = FakeReader()
    reader.put("", "namespaces", namespace("ns"))
    made = MutatingPolicies(reader, AllowAll(), lambda group, plural: ("v1",), lambda version, kind: None)
    made.observe()
    for index, policy in enumerate(specs):
        name = f"p{index}"
        reader.put(GROUP, "mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": policy})
        bound = {"metadata": {"name": f"b{index}"}, "spec": {"policyName": name}}
        reader.put(GROUP, "mutatingadmissionpolicybindings", bound)
    return made


def mutated(*specs: Json, document: Json | None = None) -> Json:
    attributes = AdmissionAttributes(
        "CREATE", PODS, "", "p", "ns", document or pod(), None, ADMIN, False, {}, []
    )
    asyncio.run(table(*specs).mutate(attributes))
    assert attributes.object is not None
    return attributes.object


def refusal(*specs: Json) -> str:
    with pytest.raises(StatusError) as failure:
        mutated(*specs)
    assert (failure.value.code, failure.value.reason) == (422, "Invalid")
    return failure.value.message


def test_an_apply_configuration_merges_maps_and_keyed_lists() -> None:
    found = mutated(
        spec(
            configured(
                "Object{metadata: Object.metadata{labels: {'team': 'a'}}, spec: Object.spec{"
                "containers: [Object.spec.containers{name: 'c', env: [Object.spec.containers.env{"
                "name: 'B', value: object.metadata.name}]}, "
                "Object.spec.containers{name: 'sidecar', image: 's'}]}}"
            )
        )
    )
    assert found["metadata"]["labels"] == {"app": "x", "team": "a"}
    containers = {container["name"]: container for container in found["spec"]["containers"]}
    assert containers["c"]["image"] == "i"
    assert containers["c"]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "p"}]
    assert containers["sidecar"] == {"name": "sidecar", "image": "s"}


def test_a_json_patch_changes_what_it_names_and_nothing_if_its_test_fails() -> None:
    add = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
    assert mutated(spec(patched(add)))["metadata"]["labels"] == {"app": "x", "a/b": "c"}
    tested = (
        "[JSONPatch{op: 'test', path: '/metadata/labels/app', value: 'y'}, "
        "JSONPatch{op: 'remove', path: '/metadata/labels/app'}]"
    )
    assert mutated(spec(patched(tested))) == pod()
    structs = (
        "[JSONPatch{op: 'add', path: '/spec/containers/-', "
        "value: Object.spec.containers{name: 'd', image: 'e'}}]"
    )
    assert "unexpected" not in str(mutated(spec(patched(structs)))["spec"]["containers"])


def test_mutations_and_policies_see_what_those_before_have_made() -> None:
    first = spec(
        configured("Object{metadata: Object.metadata{labels: {'n': '1'}}}"),
        configured("Object{metadata: Object.metadata{labels: {'m': object.metadata.labels['n'] + '2'}}}"),
    )
    second = spec(
        configured("Object{metadata: Object.metadata{labels: {'o': object.metadata.labels['m'] + '3'}}}")
    )
    assert mutated(first, second)["metadata"]["labels"] == {"app": "x", "n": "1", "m": "12", "o": "123"}


def test_a_policy_that_asks_for_it_runs_again_after_a_later_change() -> None:
    count = "string(int(object.metadata.?annotations['n'].orValue('0')) + 1)"
    counting = f"Object{{metadata: Object.metadata{{annotations: {{'n': {count}}}}}}}"
    later = spec(configured("Object{metadata: Object.metadata{labels: {'later': 'yes'}}}"))
    once = mutated(spec(configured(counting)), later)
    twice = mutated(spec(configured(counting), reinvocationPolicy="IfNeeded"), later)
    alone = mutated(spec(configured(counting), reinvocationPolicy="IfNeeded"))
    assert [found["metadata"]["annotations"]["n"] for found in (once, twice, alone)] == ["1", "2", "1"]


def test_optional_fields_variables_and_conditions_are_honoured() -> None:
    policy = spec(
        configured("Object{metadata: Object.metadata{?labels: variables.wanted}}"),
        variables=[
            {
                "name": "wanted",
                "expression": "object.metadata.name == 'p' ? optional.of({'v': '1'}) : optional.none()",
            }
        ],
        matchConditions=[{"name": "c", "expression": "object.metadata.name != 'skip'"}],
    )
    assert mutated(policy)["metadata"]["labels"] == {"app": "x", "v": "1"}
    other = pod()
    other["metadata"]["name"] = "q"
    assert mutated(policy, document=other)["metadata"]["labels"] == {"app": "x"}
    skipped = pod()
    skipped["metadata"]["name"] = "skip"
    assert mutated(policy, document=skipped) == skipped


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (configured("Object{spec: Object.spec{nope: 1}}"), ".spec.nope: field not declared in schema"),
        (
            configured("Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'a'}]}}"),
            "may not mutate atomic arrays, maps or structs: .spec.tolerations",
        ),
        (
            configured("Object{spec: Object.metadata{name: 'x'}}"),
            'unexpected type name "Object.metadata", expected "Object.spec"',
        ),
        (configured("Object{metadata: Object.metadata{name: object.nope}}"), "no such key: nope"),
        (configured("Object{metadata: Object.metadata{name: 'other'}}"), "may not be changed"),
        (patched("[JSONPatch{op: 'remove', path: '/nope'}]"), "JSON Patch: "),
    ],
)
def test_a_mutation_that_cannot_be_made_follows_the_failure_policy(mutation: Json, why: str) -> None:
    told = refusal(spec(mutation))
    assert told.startswith("policy 'p0' with binding 'b0' denied request: ")
    assert why in told
    assert mutated(spec(mutation, failurePolicy="Ignore")) == pod()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"mutations": []}, "spec.mutations: Required value"),
        ({"mutations": [{"patchType": "X"}]}, 'spec.mutations[0].patchType: Unsupported value: "X"'),
        ({"mutations": [{"patchType": "JSONPatch"}]}, "spec.mutations[0].jsonPatch: Required value"),
        ({"mutations": [configured("1")]}, "must evaluate to Object"),
        ({"mutations": [patched("Object{}")]}, "must evaluate to list(JSONPatch)"),
        ({"mutations": [configured("Objekt{}")]}, "undeclared reference to 'Objekt'"),
        ({"mutations": [patched("[JSONPatch{nope: 1}]")]}, "undefined field 'nope'"),
        ({"mutations": [patched("[JSONPatch{op: 1}]")]}, "expected type of field 'op' is 'string'"),
        (
            {"mutations": [{**configured("Object{}"), "jsonPatch": {}}]},
            "must not be specified when patchType",
        ),
        ({"reinvocationPolicy": "Often"}, 'spec.reinvocationPolicy: Unsupported value: "Often"'),
        ({"reinvocationPolicy": ""}, "spec.reinvocationPolicy: Required value"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(change: Json, fault: str) -> None:
    document = {**spec(configured("Object{}")), **change}
    found = [f"{cause.field}: {cause.message}" for cause in mutating_policy_faults(document)]
    assert any(fault in text for text in found), found


def test_a_policy_that_can_work_is_accepted() -> None:
    assert list(mutating_policy_faults(spec(configured("Object{}"), patched("[]")))) == []
