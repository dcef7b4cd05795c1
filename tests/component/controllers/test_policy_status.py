"""A policy's status tells which expressions do not fit the kinds it names."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from small_cluster import SmallCluster

from edgevirt.api.admissionregistration import ValidatingAdmissionPolicy
from edgevirt.api.resources import VALIDATING_ADMISSION_POLICIES

pytestmark = [
    pytest.mark.component,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl"),
]


def policy(name: str, *expressions: str, resources: tuple[str, ...] = ("deployments",)) -> dict[str, Any]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": list(resources)}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "variables": [{"name": "size", "expression": "object.spec.replicas"}],
            "validations": [{"expression": text} for text in expressions],
        },
    }


def checked(generation: int) -> Any:
    def holds(one: ValidatingAdmissionPolicy | None) -> bool:
        return one is not None and one.status is not None and one.status.observed_generation == generation

    return holds


async def test_warnings_name_the_expression_the_kind_and_the_place(cluster: SmallCluster) -> None:
    document = policy("typed", "variables.size < 5", "object.replicas > 1", "variables.size == '1'")
    await cluster.kubectl("apply", "-f", "-", stdin=document)
    one = await cluster.until(VALIDATING_ADMISSION_POLICIES, "typed", checked(1))
    assert one is not None
    assert one.status is not None
    assert one.status.type_checking is not None
    warnings = {found.field_ref: found.warning for found in one.status.type_checking.expression_warnings}
    assert warnings == {
        "spec.validations[1].expression": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field "
        "'replicas'\n | object.replicas > 1\n | ......^",
        "spec.validations[2].expression": "apps/v1, Kind=Deployment: ERROR: <input>:1:16: found no matching "
        "overload for '_==_' applied to '(int, string)'\n | variables.size == '1'\n | ...............^",
    }


async def test_a_policy_that_fits_or_names_no_kind_has_no_warnings(cluster: SmallCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=policy("fits", "variables.size < 5"))
    await cluster.kubectl("apply", "-f", "-", stdin=policy("wild", "object.nope", resources=("*",)))
    for name in ("fits", "wild"):
        one = await cluster.until(VALIDATING_ADMISSION_POLICIES, name, checked(1))
        assert one is not None
        assert one.status is not None
        assert one.status.type_checking is not None
        assert one.status.type_checking.expression_warnings == ()
    await cluster.kubectl("apply", "-f", "-", stdin=policy("fits", "object.spec.nope < 5"))
    changed = await cluster.until(VALIDATING_ADMISSION_POLICIES, "fits", checked(2))
    assert changed is not None
    assert changed.status is not None
    assert changed.status.type_checking is not None
    assert len(changed.status.type_checking.expression_warnings) == 1
