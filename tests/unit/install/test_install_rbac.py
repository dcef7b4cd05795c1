"""The roles: minimal, complete in form, and none of a viewer's that can touch a guest."""

from __future__ import annotations

import pytest

from edgevirt.install import rbac

pytestmark = pytest.mark.unit

READING = {"get", "list", "watch"}


def test_every_account_has_its_role_and_binding_in_an_order_that_can_be_created() -> None:
    manifests = rbac.objects()
    for account in rbac.COMPONENT_RULES:
        kinds = [m["kind"] for m in manifests if m["metadata"]["name"] == account]
        assert kinds == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]


@pytest.mark.parametrize("account", rbac.COMPONENT_RULES)
def test_component_has_no_wildcard_and_reads_no_secrets(account: str) -> None:
    for rule in rbac.COMPONENT_RULES[account]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "secrets" not in rule["resources"]


def test_viewer_reads_objects_and_opens_no_console() -> None:
    for rule in rbac.USER_RULES["view"]:
        assert set(rule["verbs"]) <= READING
        assert "subresources.kubevirt.io" not in rule["apiGroups"]


def test_user_roles_are_aggregated_into_those_of_kubernetes() -> None:
    labels = {m["metadata"]["name"]: m["metadata"]["labels"] for m in rbac.objects()}
    for role in ("admin", "edit", "view"):
        label = f"rbac.authorization.k8s.io/aggregate-to-{role}"
        assert labels[f"kubevirt.io:{role}"][label] == "true"
