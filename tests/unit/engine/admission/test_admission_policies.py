"""ValidatingAdmissionPolicy: which writes a policy judges, with what, and what comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from object_reader_fake import (
    CONFIG_MAPS,
    NAMESPACES,
    PODS,
    FakeReader,
    config_map,
    namespace,
    served,
    write,
)

from edgevirt.engine.apiserver.admission.matching import Target
from edgevirt.engine.apiserver.admission.policies import AUDIT_FAILURE, GROUP, Policies
from edgevirt.engine.apiserver.admission.policy_access import PolicyAccess
from edgevirt.engine.apiserver.admission.policy_rules import binding_faults, policy_faults
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import AllowAll
from edgevirt.engine.apiserver.registry import ServedResource
from edgevirt.engine.apiserver.request import AdmissionAttributes, Attributes, Decision, UserInfo

pytestmark = pytest.mark.unit

Json = dict[str, Any]
RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["configmaps"],
}


def spec(*validations: Json | str, **more: Any) -> Json:
    listed = [{"expression": entry} if isinstance(entry, str) else entry for entry in validations]
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": listed,
        **more,
    }


def policies(policy: Json, *, reader: FakeReader | None = None, **binding: Any) -> Policies:
    reader = reader or FakeReader()
    reader.put("", "namespaces", namespace("ns", env="prod"))

    def kinds(api_version: str, kind: str) -> ServedResource | None:
        return CONFIG_MAPS if (api_version, kind) == ("v1", "ConfigMap") else None

    made = Policies(reader, AllowAll(), lambda group, plural: ("v1",), kinds)
    made.observe()
    reader.put(GROUP, "validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": policy})
    bound = {"policyName": "p", "validationActions": ["Deny"], **binding}
    reader.put(GROUP, "validatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": bound})
    return made


def refusal(made: Policies, attributes: AdmissionAttributes) -> StatusError | None:
    try:
        asyncio.run(made.validate(attributes))
    except StatusError as error:
        return error
    return None


def message(made: Policies, document: Json | None = None) -> str:
    error = refusal(made, write(CONFIG_MAPS, document or config_map("a", k="v")))
    return "" if error is None else error.message.partition("denied request: ")[2]


def test_a_denial_names_policy_binding_and_expression() -> None:
    error = refusal(policies(spec("object.metadata.name != 'a'")), write(CONFIG_MAPS, config_map("a")))
    assert error is not None
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == (
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
        "failed expression: object.metadata.name != 'a'"
    )


@pytest.mark.parametrize(
    ("reason", "code"), [("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413)]
)
def test_the_reason_of_a_validation_decides_the_code(reason: str, code: int) -> None:
    error = refusal(
        policies(spec({"expression": "false", "reason": reason})), write(CONFIG_MAPS, config_map())
    )
    assert error is not None
    assert (error.code, error.reason) == (code, reason)


def test_messages_come_from_the_message_or_its_expression() -> None:
    assert message(policies(spec({"expression": "false", "message": "no"}))) == "no"
    told = {"expression": "false", "messageExpression": "'got ' + object.data.k", "message": "no"}
    assert message(policies(spec(told))) == "got v"
    failing = {"expression": "false", "messageExpression": "object.data.nope", "message": "no"}
    assert message(policies(spec(failing))) == "no"


def test_variables_are_computed_when_they_are_used() -> None:
    variables = [
        {"name": "bad", "expression": "object.nope.deeper"},
        {"name": "n", "expression": "size(object.data)"},
        {"name": "twice", "expression": "variables.n * 2"},
    ]
    assert message(policies(spec("variables.twice == 2", variables=variables))) == ""
    assert "no such key: nope" in message(policies(spec("variables.bad == 2", variables=variables)))


def test_an_evaluation_that_fails_follows_the_failure_policy() -> None:
    assert message(policies(spec("object.nope == 1"))) == (
        "expression 'object.nope == 1' resulted in error: no such key: nope"
    )
    assert message(policies(spec("object.nope == 1", failurePolicy="Ignore"))) == ""
    assert message(policies(spec("object.nope == 1", "false", failurePolicy="Ignore"))) != ""


def test_expressions_see_request_old_object_namespace_and_authorizer() -> None:
    made = policies(
        spec(
            "request.operation == 'UPDATE' && request.userInfo.username == 'eve'",
            "oldObject.data.k == 'old' && object.data.k == 'v'",
            "namespaceObject.metadata.labels.env == 'prod'",
            "authorizer.group('').resource('pods').namespace('ns').check('get').allowed()",
            "authorizer.requestResource.check('delete').allowed()",
            "request.kind.kind == 'ConfigMap' && request.name == 'a' && !request.dryRun",
        )
    )
    attributes = write(CONFIG_MAPS, config_map("a", k="v"), config_map("a", k="old"), user=UserInfo("eve"))
    assert refusal(made, attributes) is None


def test_conditions_take_writes_out() -> None:
    conditions = [{"name": "c", "expression": "object.metadata.name.startsWith('hit')"}]
    made = policies(spec("false", matchConditions=conditions))
    assert message(made) == ""
    assert message(made, config_map("hit-1")) != ""


@pytest.mark.parametrize(
    ("resources", "judged"),
    [
        ({}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "prod"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "dev"}}}, False),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"resourceRules": [{**RULE, "operations": ["DELETE"]}]}, False),
        ({"resourceRules": [{**RULE, "resourceNames": ["a"]}]}, True),
        ({"resourceRules": [{**RULE, "resourceNames": ["z"]}]}, False),
        ({"excludeResourceRules": [{**RULE, "resourceNames": ["a"]}]}, False),
        ({"excludeResourceRules": [{**RULE, "resources": ["pods"]}]}, True),
    ],
)
def test_a_binding_narrows_what_its_policy_judges(resources: Json, judged: bool) -> None:
    assert bool(message(policies(spec("false"), matchResources=resources))) is judged


def test_other_resources_and_the_policies_themselves_are_not_judged() -> None:
    everything = {"resourceRules": [{**RULE, "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}
    made = policies(spec("false", matchConstraints=everything))
    assert made.concerns(Target("", "v1", "pods", "", "CREATE", True))
    assert not made.concerns(Target(GROUP, "v1", "validatingadmissionpolicies", "", "CREATE", False))
    assert refusal(made, write(PODS, {"metadata": {"name": "x"}})) is not None
    only = policies(spec("false"))
    assert refusal(only, write(PODS, {"metadata": {"name": "x"}})) is None


def test_a_namespace_is_judged_by_its_own_labels() -> None:
    rules = {"resourceRules": [{**RULE, "resources": ["namespaces"]}]}
    selector = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    made = policies(spec("false", matchConstraints=rules), matchResources=selector)
    assert refusal(made, write(NAMESPACES, namespace("new", env="prod"))) is not None
    assert refusal(made, write(NAMESPACES, namespace("new", env="dev"))) is None


def test_warn_and_audit_let_the_write_pass() -> None:
    made = policies(spec("false"), validationActions=["Warn", "Audit"])
    attributes = write(CONFIG_MAPS, config_map())
    assert refusal(made, attributes) is None
    assert attributes.warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: false"
    ]
    assert '"policy":"p","binding":"b"' in attributes.audit_annotations[AUDIT_FAILURE]


def test_audit_annotations_are_written_with_the_policy_as_prefix() -> None:
    annotations = [
        {"key": "who", "valueExpression": "request.userInfo.username"},
        {"key": "none", "valueExpression": "null"},
    ]
    made = policies(spec("true", auditAnnotations=annotations))
    attributes = write(CONFIG_MAPS, config_map(), user=UserInfo("eve"))
    assert refusal(made, attributes) is None
    assert attributes.audit_annotations == {"p/who": "eve"}


class TestParameters:
    KIND: Json = {"apiVersion": "v1", "kind": "ConfigMap"}  # noqa: RUF012

    def reader(self) -> FakeReader:
        reader = FakeReader()
        for name, most in (("small", "1"), ("large", "5")):
            document = config_map(name, most=most)
            document["metadata"]["labels"] = {"role": "param"}
            reader.put("", "configmaps", document)
        return reader

    def made(self, **reference: Any) -> Policies:
        policy = spec("size(object.data) <= int(params.data.most)", paramKind=self.KIND)
        bound = {"parameterNotFoundAction": "Deny", **reference}
        return policies(policy, reader=self.reader(), paramRef=bound)

    def test_a_named_parameter_is_used(self) -> None:
        two = config_map("a", x="1", y="2")
        assert message(self.made(name="large"), two) == ""
        assert message(self.made(name="small", namespace="ns"), two) != ""

    def test_every_selected_parameter_must_be_satisfied(self) -> None:
        made = self.made(selector={"matchLabels": {"role": "param"}})
        assert message(made, config_map("a", x="1")) == ""
        assert message(made, config_map("a", x="1", y="2")) != ""

    def test_a_missing_parameter_denies_or_allows(self) -> None:
        assert message(self.made(name="nope")) == (
            "failed to configure binding: no params found for policy binding with `Deny` "
            "parameterNotFoundAction"
        )
        assert message(self.made(name="nope", parameterNotFoundAction="Allow")) == ""

    def test_an_unknown_kind_is_a_mistake_of_the_policy(self) -> None:
        policy = spec("params.x == 1", paramKind={"apiVersion": "x/v1", "kind": "Nope"})
        made = policies(policy, paramRef={"name": "a", "parameterNotFoundAction": "Allow"})
        assert "failed to find resource referenced by paramKind: 'x/v1, Kind=Nope'" in message(made)


def faults(document: Json) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in policy_faults(document)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"validations": []},
            "spec.validations: Required value: validations or auditAnnotations must contain",
        ),
        ({"validations": [{"expression": "object."}]}, "spec.validations[0].expression: Invalid value"),
        ({"validations": [{"expression": "1"}]}, "must evaluate to bool"),
        ({"validations": [{"expression": "params.x"}]}, "undeclared reference to 'params'"),
        ({"validations": [{"expression": "variables.x == 1"}]}, "undefined field 'x'"),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]}, "must evaluate to string"),
        ({"validations": [{"expression": "true", "reason": "Nope"}]}, 'Unsupported value: "Nope"'),
        ({"validations": [{"expression": "request.nope == 1"}]}, "undefined field 'nope'"),
        ({"variables": [{"name": "a-b", "expression": "1"}]}, "name is not a valid CEL identifier"),
        ({"variables": [{"name": "a", "expression": "1 +"}]}, "spec.variables[0].expression"),
        ({"failurePolicy": "Maybe"}, 'spec.failurePolicy: Unsupported value: "Maybe"'),
        ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules: Required value"),
        ({"matchConditions": [{"name": "", "expression": "true"}]}, "spec.matchConditions[0].name: Required"),
        ({"auditAnnotations": [{"key": "a/b", "valueExpression": "'x'"}]}, "spec.auditAnnotations[0].key"),
        ({"paramKind": {"apiVersion": "", "kind": ""}}, "spec.paramKind.apiVersion: Required value"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(change: Json, fault: str) -> None:
    assert any(fault in found for found in faults({**spec("true"), **change})), faults(
        {**spec("true"), **change}
    )


def test_a_policy_that_can_work_is_accepted() -> None:
    variables = [{"name": "n", "expression": "object.metadata.name"}]
    assert (
        faults(
            spec(
                "variables.n.startsWith('a')",
                "params.x == 1",
                variables=variables,
                paramKind=TestParameters.KIND,
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"validationActions": ["Deny", "Warn"]}, "must not contain both Deny and Warn"),
        ({"validationActions": []}, "spec.validationActions: Required value"),
        ({"validationActions": ["Deny", "Deny"]}, 'Duplicate value: "Deny"'),
        ({"policyName": ""}, "spec.policyName: Required value"),
        ({"paramRef": {"name": "x"}}, "spec.paramRef.parameterNotFoundAction: Required value"),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "one of name or selector must be specified"),
    ],
)
def test_a_binding_that_cannot_work_is_refused(change: Json, fault: str) -> None:
    document = {"policyName": "p", "validationActions": ["Deny"], **change}
    assert any(fault in f"{cause.field}: {cause.message}" for cause in binding_faults(document))


class TestAccessToParameters:
    """Nobody reads with a policy what he may not read himself."""

    SECRETS = served("", "v1", "secrets", "Secret")
    POLICIES = served(
        GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
    )
    BINDINGS = served(
        GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
    )
    PARAMS: Json = {"apiVersion": "v1", "kind": "Secret"}  # noqa: RUF012

    def refused(self, attributes: AdmissionAttributes, allowed: set[tuple[str, str, str]]) -> str:
        class Some:
            def authorize(self, asked: Attributes) -> Decision:
                return Decision((asked.verb, asked.namespace, asked.name) in allowed)

        reader = FakeReader()
        stored = {"metadata": {"name": "p"}, "spec": spec("true", paramKind=self.PARAMS)}
        reader.put(GROUP, "validatingadmissionpolicies", stored)
        plugin = PolicyAccess(reader, Some(), lambda api_version, kind: self.SECRETS)
        assert plugin.concerns(GROUP, attributes.resource.plural, "", attributes.operation)
        try:
            plugin.admit(attributes)
        except StatusError as error:
            return error.message
        return ""

    def test_a_policy_needs_the_right_to_read_every_parameter(self) -> None:
        document = {"metadata": {"name": "p"}, "spec": spec("true", paramKind=self.PARAMS)}
        attributes = write(self.POLICIES, document, user=UserInfo("eve"))
        assert self.refused(attributes, {("get", "", "")}) == ""
        assert (
            'user eve must have "get" permission on all objects of the referenced paramKind '
            "(kind=Secret, apiVersion=v1)" in self.refused(attributes, set())
        )
        plain = write(self.POLICIES, {"metadata": {"name": "p"}, "spec": spec("true")})
        assert self.refused(plain, set()) == ""

    @pytest.mark.parametrize(
        ("reference", "right"),
        [
            ({"name": "a", "namespace": "n"}, ("get", "n", "a")),
            ({"name": "a"}, ("get", "", "a")),
            ({"selector": {}}, ("list", "", "")),
        ],
    )
    def test_a_binding_needs_the_right_to_read_its_own(
        self, reference: Json, right: tuple[str, str, str]
    ) -> None:
        bound = {"policyName": "p", "paramRef": reference}
        attributes = write(self.BINDINGS, {"metadata": {"name": "b"}, "spec": bound}, user=UserInfo("eve"))
        assert self.refused(attributes, {right}) == ""
        assert "on the object referenced by paramRef" in self.refused(attributes, set())

    def test_what_is_only_labelled_anew_is_not_asked_about(self) -> None:
        document = {"metadata": {"name": "p"}, "spec": spec("true", paramKind=self.PARAMS)}
        labelled = {**document, "metadata": {"name": "p", "labels": {"a": "b"}}}
        assert self.refused(write(self.POLICIES, labelled, document, user=UserInfo("eve")), set()) == ""
