"""Which webhooks are asked, what they are asked, and how their answers are read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from object_reader_fake import CONFIG_MAPS, NAMESPACES, PODS, FakeReader, config_map, namespace, served, write

from edgevirt.engine.apiserver.admission import review
from edgevirt.engine.apiserver.admission.caller import CallFailed, WebhookCaller
from edgevirt.engine.apiserver.admission.configuration import validate
from edgevirt.engine.apiserver.admission.matching import (
    Target,
    Webhook,
    WebhookTable,
    compile_webhook,
    selected,
)
from edgevirt.engine.apiserver.admission.webhooks import Webhooks
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import AllowAll

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def rule(
    resources: str, groups: str = "*", versions: str = "*", operations: str = "*", scope: str = "*"
) -> Json:
    return {
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "apiVersions": versions.split(),
        "operations": operations.split(),
        "resources": resources.split(),
        "scope": scope,
    }


def hook(name: str = "h.example.com", *rules: Json, **fields: Any) -> Json:
    return {
        "name": name,
        "rules": list(rules) or [rule("*")],
        "clientConfig": {"url": "https://hook.example.com/x"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


def table(*hooks: Json, versions: tuple[str, ...] = ("v1",)) -> WebhookTable:
    made = WebhookTable(lambda group, plural: versions)
    made.apply("ADDED", {"metadata": {"name": "c"}, "webhooks": list(hooks)})
    return made


def target(what: str, operation: str = "CREATE", namespaced: bool = True) -> Target:
    """ "group/version/plural[/subresource]", "core" for the core group."""
    group, version, plural, *rest = what.split("/")
    return Target("" if group == "core" else group, version, plural, "".join(rest), operation, namespaced)


@pytest.mark.parametrize(
    ("given", "asked", "matches"),
    [
        (rule("pods", "core", "v1", "CREATE"), target("core/v1/pods"), True),
        (rule("pods", "core", "v1", "CREATE"), target("core/v1/pods", "UPDATE"), False),
        (rule("pods", "core", "v1", "CREATE UPDATE"), target("core/v1/pods", "UPDATE"), True),
        (rule("pods", "apps"), target("core/v1/pods"), False),
        (rule("pods"), target("core/v1/pods/status"), False),
        (rule("pods/status"), target("core/v1/pods/status"), True),
        (rule("pods/*"), target("core/v1/pods/status"), True),
        (rule("pods/*"), target("core/v1/pods"), True),
        (rule("*"), target("core/v1/pods"), True),
        (rule("*"), target("core/v1/pods/status"), False),
        (rule("*/*"), target("core/v1/pods/status"), True),
        (rule("*/status"), target("core/v1/pods/status"), True),
        (rule("*/status"), target("core/v1/pods/log"), False),
        (rule("*", scope="Cluster"), target("core/v1/pods"), False),
        (rule("*", scope="Cluster"), target("core/v1/nodes", namespaced=False), True),
        (rule("*", scope="Namespaced"), target("core/v1/nodes", namespaced=False), False),
        (rule("*/*"), target("admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"), False),
        (rule("*/*"), target("authorization.k8s.io/v1/subjectaccessreviews"), False),
    ],
)
def test_rules_match_as_in_kubernetes(given: Json, asked: Target, matches: bool) -> None:
    assert bool(table(hook("h.example.com", given)).matching(asked)) is matches


@pytest.mark.parametrize(("policy", "version"), [("Equivalent", "v1alpha3"), ("Exact", None)])
def test_an_equivalent_version_matches_and_is_converted_to(policy: str, version: str | None) -> None:
    given = hook("h.example.com", rule("vms", "kubevirt.io", "v1alpha3"), matchPolicy=policy)
    found = table(given, versions=("v1", "v1alpha3")).matching(target("kubevirt.io/v1/vms"))
    assert [match.version for match in found] == ([version] if version else [])


def test_webhooks_are_ordered_by_configuration_and_then_as_written() -> None:
    made = WebhookTable(lambda group, plural: ("v1",))
    for configuration in ("b", "a"):
        hooks = [hook(f"{configuration}{index}.example.com") for index in (1, 0)]
        made.apply("ADDED", {"metadata": {"name": configuration}, "webhooks": hooks})
    names = [match.webhook.name for match in made.matching(target("core/v1/pods"))]
    assert names == ["a1.example.com", "a0.example.com", "b1.example.com", "b0.example.com"]
    made.apply("DELETED", {"metadata": {"name": "a"}})
    assert len(made.matching(target("core/v1/pods"))) == 2


LABELLED: Json = {"metadata": {"labels": {"app": "x"}}}


@pytest.mark.parametrize(
    ("fields", "labels", "objects", "taken"),
    [
        ({}, {}, [{}], True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {"a": "b"}, [{}], True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {}, [{}], False),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, None, [{}], True),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, [LABELLED, None], True),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, [{}, LABELLED], True),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, [{}, None], False),
    ],
)
def test_selectors_take_namespaces_and_either_state_of_the_object(
    fields: Json, labels: dict[str, str] | None, objects: list[Json | None], taken: bool
) -> None:
    assert selected(compile_webhook("c", hook(**fields)), labels, objects) is taken


def test_the_review_names_kind_resource_and_user() -> None:
    attributes = write(CONFIG_MAPS, config_map())
    request = review.request_document(attributes, "u", "v1", attributes.object, None)
    assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (request["operation"], request["name"], request["namespace"]) == ("CREATE", "a", "ns")
    assert request["userInfo"]["username"] == "system:admin"
    assert request["oldObject"] is None
    assert "subResource" not in request


def test_the_review_of_a_subresource_names_the_kind_that_was_posted() -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    attributes = write(PODS, eviction, subresource="eviction")
    request = review.request_document(attributes, "u", "v1", eviction, None)
    assert request["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert request["subResource"] == "eviction"


def test_an_equivalent_version_changes_the_documents_api_version_only() -> None:
    document = {"apiVersion": "kubevirt.io/v1", "kind": "VM", "spec": {}}
    shown = review.in_version(document, "kubevirt.io", "v1alpha3")
    assert shown == {**document, "apiVersion": "kubevirt.io/v1alpha3"}
    assert document["apiVersion"] == "kubevirt.io/v1"


def answer(uid: str = "u", **response: Any) -> bytes:
    body = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, **response},
    }
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"oops", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind="),
        (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "webhook response was absent"),
        (answer("wrong"), 'expected response.uid="u", got "wrong"'),
        (answer(allowed=True, patch="e30=", patchType="Merge"), "only JSONPatch is allowed"),
        (answer(allowed=True, patch="!", patchType="JSONPatch"), "not a base64 JSON patch"),
        (answer(allowed=True, patch="e30=", patchType="JSONPatch"), "not a base64 JSON patch"),
        (answer(allowed=True, patchType="JSONPatch"), "but not response.patch"),
    ],
)
def test_an_answer_that_is_none_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(review.InvalidAnswer, match=text.replace(".", r"\.")):
        review.read_answer(data, "u", mutating=True)


@pytest.mark.parametrize("allowed", [False, "true", 1, None])
def test_only_a_true_true_allows(allowed: object) -> None:
    assert not review.read_answer(answer(allowed=allowed), "u", mutating=False).allowed


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        ({"message": "no"}, 400, "", 'admission webhook "h" denied the request: no'),
        ({"reason": "Why"}, 400, "Why", 'admission webhook "h" denied the request: Why'),
        ({}, 400, "", 'admission webhook "h" denied the request without explanation'),
        (
            {"message": "no", "code": 418, "reason": "Teapot"},
            418,
            "Teapot",
            'admission webhook "h" denied the request: no',
        ),
        ({"message": "no", "code": 200}, 400, "", 'admission webhook "h" denied the request: no'),
    ],
)
def test_a_denial_keeps_code_and_reason(status: Json, code: int, reason: str, message: str) -> None:
    denial = review.denial("h", status)
    assert (denial.code, denial.reason, denial.message) == (code, reason, message)


def test_a_denial_keeps_the_causes() -> None:
    details = {"causes": [{"reason": "FieldValueInvalid", "message": "bad", "field": "spec.x"}]}
    status = review.denial("h", {"message": "no", "code": 422, "details": details}).to_status()
    assert status["details"]["causes"] == details["causes"]


class FakeCaller(WebhookCaller):
    """Answers by webhook name, from `script`: a function of the request, or an exception."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = script
        self.asked: list[tuple[str, Json]] = []

    async def call(self, webhook: Webhook, body: bytes) -> bytes:
        request = json.loads(body)["request"]
        self.asked.append((webhook.name, request))
        does = self.script[webhook.name]
        if isinstance(does, Exception):
            raise does
        response = does(request)
        if "patch" in response:
            encoded = base64.b64encode(json.dumps(response["patch"]).encode()).decode()
            response = {**response, "patch": encoded, "patchType": "JSONPatch"}
        return answer(**{"uid": request["uid"], "allowed": True, **response})


def allow(request: Json) -> Json:
    return {}


def count(request: Json) -> Json:
    annotations = request["object"]["metadata"].get("annotations")
    number = int((annotations or {}).get("count", 0)) + 1
    operations: list[Json] = []
    if annotations is None:
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append({"op": "add", "path": "/metadata/annotations/count", "value": str(number)})
    return {"patch": operations}


def mark(request: Json) -> Json:
    return {"patch": [{"op": "add", "path": "/metadata/annotations/mark", "value": "yes"}]}


def webhooks(script: dict[str, Any], kind: str, *hooks: Json) -> tuple[Webhooks, FakeCaller]:
    reader = FakeReader()
    reader.put("", "namespaces", namespace("ns", team="red"))
    reader.put(
        "admissionregistration.k8s.io",
        f"{kind}webhookconfigurations",
        {"metadata": {"name": "c"}, "webhooks": list(hooks)},
    )
    caller = FakeCaller(script)
    made = Webhooks(reader, caller, lambda group, plural: ("v1",), AllowAll())
    made.observe()
    return made, caller


@pytest.mark.parametrize(("policy", "count_annotation"), [("Never", "1"), ("IfNeeded", "2")])
async def test_mutations_add_up_and_reinvocation_happens_once(policy: str, count_annotation: str) -> None:
    first = hook("h0.example.com", reinvocationPolicy=policy)
    hooks, caller = webhooks(
        {"h0.example.com": count, "h1.example.com": mark}, "mutating", first, hook("h1.example.com")
    )
    attributes = write(CONFIG_MAPS, config_map())
    assert await hooks.mutate(attributes)
    assert attributes.object is not None
    assert attributes.object["metadata"]["annotations"] == {"count": count_annotation, "mark": "yes"}
    assert len(caller.asked) == int(count_annotation) + 1
    assert len({request["uid"] for _, request in caller.asked}) == len(caller.asked)


async def test_a_mutating_webhook_cannot_change_a_deletion() -> None:
    hooks, _ = webhooks(
        {"h.example.com": lambda request: {"patch": [{"op": "remove", "path": "/x"}]}}, "mutating", hook()
    )
    with pytest.raises(StatusError) as caught:
        await hooks.mutate(write(CONFIG_MAPS, None, config_map()))
    assert caught.value.message == (
        'Internal error occurred: admission webhook "h.example.com" attempted to modify the object, which is '
        "not supported for this operation"
    )


@pytest.mark.parametrize("path", ["/metadata/name", "/metadata/namespace", "/kind", "/apiVersion"])
async def test_a_mutating_webhook_cannot_move_an_object(path: str) -> None:
    operation = {"op": "add", "path": path, "value": "other"}
    hooks, _ = webhooks({"h.example.com": lambda request: {"patch": [operation]}}, "mutating", hook())
    with pytest.raises(StatusError, match="attempted to change apiVersion, kind, name or namespace"):
        await hooks.mutate(write(CONFIG_MAPS, config_map()))


async def test_a_patch_that_does_not_fit_is_an_internal_error() -> None:
    hooks, _ = webhooks(
        {"h.example.com": lambda request: {"patch": [{"op": "remove", "path": "/none"}]}}, "mutating", hook()
    )
    with pytest.raises(StatusError) as caught:
        await hooks.mutate(write(CONFIG_MAPS, config_map()))
    assert caught.value.code == 500


@pytest.mark.parametrize(("policy", "refused"), [("Fail", True), ("Ignore", False)])
@pytest.mark.parametrize(
    "failure", [CallFailed("failed to call webhook: x"), lambda request: {"uid": "wrong"}]
)
async def test_the_failure_policy_decides_about_failures(policy: str, refused: bool, failure: Any) -> None:
    hooks, _ = webhooks({"h.example.com": failure}, "validating", hook(failurePolicy=policy))
    attributes = write(CONFIG_MAPS, config_map())
    if not refused:
        await hooks.validate(attributes)
        return
    with pytest.raises(StatusError) as caught:
        await hooks.validate(attributes)
    assert caught.value.code == 500
    assert caught.value.message.startswith(
        'Internal error occurred: failed calling webhook "h.example.com": '
    )


async def test_failure_policy_ignore_does_not_ignore_a_denial() -> None:
    hooks, _ = webhooks(
        {"h.example.com": lambda request: {"allowed": False}}, "validating", hook(failurePolicy="Ignore")
    )
    with pytest.raises(StatusError, match="denied the request"):
        await hooks.validate(write(CONFIG_MAPS, config_map()))


async def test_the_first_refusal_in_order_counts_and_all_warnings_arrive() -> None:
    script = {
        "a.example.com": lambda request: {"warnings": ["one"]},
        "b.example.com": lambda request: {"allowed": False, "status": {"message": "b"}, "warnings": ["two"]},
        "c.example.com": lambda request: {"allowed": False, "status": {"message": "c"}},
    }
    hooks, _ = webhooks(script, "validating", *(hook(name) for name in script))
    attributes = write(CONFIG_MAPS, config_map())
    with pytest.raises(StatusError, match="denied the request: b"):
        await hooks.validate(attributes)
    assert sorted(attributes.warnings) == ["one", "two"]


@pytest.mark.parametrize(("name", "asked"), [("skip", 0), ("hit-1", 1)])
async def test_match_conditions_decide_whether_to_ask(name: str, asked: int) -> None:
    condition = {"name": "hit", "expression": "object.metadata.name.startsWith('hit')"}
    hooks, caller = webhooks({"h.example.com": allow}, "validating", hook(matchConditions=[condition]))
    await hooks.validate(write(CONFIG_MAPS, config_map(name)))
    assert len(caller.asked) == asked


@pytest.mark.parametrize(
    ("expressions", "policy", "refused"),
    [
        (["object.nope.deeper == 1"], "Fail", True),
        (["object.nope.deeper == 1"], "Ignore", False),
        (["object.nope.deeper == 1", "false"], "Fail", False),
        (["object.metadata.name"], "Fail", True),
        (["authorizer.path('/x').check('get').allowed()"], "Fail", False),
        (["authorizer.requestResource.check('create').allowed()"], "Fail", False),
        (["authorizer.nope"], "Fail", True),
        (["oldObject == null && request.operation == 'CREATE'"], "Fail", False),
    ],
)
async def test_a_condition_that_fails_counts_as_a_failed_call(
    expressions: list[str], policy: str, refused: bool
) -> None:
    conditions = [{"name": f"c{index}", "expression": text} for index, text in enumerate(expressions)]
    hooks, _ = webhooks(
        {"h.example.com": allow}, "validating", hook(matchConditions=conditions, failurePolicy=policy)
    )
    attributes = write(CONFIG_MAPS, config_map())
    if refused:
        with pytest.raises(StatusError):
            await hooks.validate(attributes)
    else:
        await hooks.validate(attributes)


@pytest.mark.parametrize(("effects", "refused"), [("None", False), ("NoneOnDryRun", False), ("Some", True)])
async def test_a_webhook_with_side_effects_refuses_a_dry_run(effects: str, refused: bool) -> None:
    hooks, _ = webhooks({"h.example.com": allow}, "validating", hook(sideEffects=effects))
    attributes = write(CONFIG_MAPS, config_map(), dry_run=True)
    if refused:
        with pytest.raises(StatusError, match="does not support dry run"):
            await hooks.validate(attributes)
    else:
        await hooks.validate(attributes)


async def test_a_namespace_is_selected_by_its_own_labels() -> None:
    selector = {"matchLabels": {"team": "blue"}}
    hooks, caller = webhooks({"h.example.com": allow}, "validating", hook(namespaceSelector=selector))
    await hooks.validate(write(NAMESPACES, namespace("new", team="blue")))
    await hooks.validate(write(NAMESPACES, namespace("new", team="red")))
    await hooks.validate(write(CONFIG_MAPS, config_map()))
    await hooks.validate(
        write(served("", "v1", "nodes", "Node", namespaced=False), {"metadata": {"name": "n"}})
    )
    assert [request.get("name") for _, request in caller.asked] == ["new", "n"]


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, []),
        (
            {"sideEffects": None, "admissionReviewVersions": None},
            [
                ("webhooks[0].sideEffects", "Required value: must specify one of None, NoneOnDryRun"),
                ("webhooks[0].admissionReviewVersions", "Required value: must specify one of v1, v1beta1"),
            ],
        ),
        (
            {"name": "short", "failurePolicy": "Maybe", "timeoutSeconds": 31},
            [
                (
                    "webhooks[0].name",
                    'Invalid value: "short": should be a domain with at least three segments '
                    "separated by dots",
                ),
                (
                    "webhooks[0].failurePolicy",
                    'Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
                ),
                (
                    "webhooks[0].timeoutSeconds",
                    "Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                ),
            ],
        ),
        (
            {"clientConfig": {"url": "http://x"}},
            [
                (
                    "webhooks[0].clientConfig.url",
                    "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                    "https://host[/path]",
                )
            ],
        ),
        (
            {"matchConditions": [{"name": "x", "expression": "nope +"}]},
            [
                (
                    "webhooks[0].matchConditions[0].expression",
                    'Invalid value: "nope +": compilation failed: ERROR: <input>:1:7: Syntax error: '
                    "mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', "
                    "'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | nope +\n | ......^",
                )
            ],
        ),
        (
            {"admissionReviewVersions": ["v1beta1"]},
            [("webhooks[0].admissionReviewVersions", 'Invalid value: ["v1beta1"]: must include v1')],
        ),
        (
            {"clientConfig": {}},
            [("webhooks[0].clientConfig", "Required value: exactly one of url or service is required")],
        ),
    ],
)
def test_a_configurations_faults_are_found_with_their_paths(
    change: Json, faults: list[tuple[str, str]]
) -> None:
    made = {**hook(), **change}
    made = {key: value for key, value in made.items() if value is not None}
    found = validate({"webhooks": [made]})
    assert [(cause.field, cause.message) for cause in found] == faults
