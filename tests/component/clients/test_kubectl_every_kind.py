"""One object of every kind: shown in a table, described, labelled, replaced and deleted."""

from __future__ import annotations

import secrets

import pytest
from client_process import Kubectl, documents
from manifests import CLUSTER_KINDS, OF_THE_SERVER, every_kind

pytestmark = pytest.mark.component

NOT_DESCRIBED_BY_DEBIANS = frozenset(
    {"cronjob.batch", "poddisruptionbudget.policy", "endpointslice.discovery.k8s.io"}
)
"""It asks for versions of them that Kubernetes has dropped."""


@pytest.mark.client("kubectl", "create, get, describe, label, replace and delete an object of every kind")
def test_every_kind_goes_through_every_command(kubectl: Kubectl) -> None:
    if kubectl.version == (1, 36):
        pytest.skip("takes its time, and 1.37 does the same")
    made = every_kind(f"every-{secrets.token_hex(3)}")
    everything = documents(*made)
    cluster = [obj for obj in made if obj["kind"] in CLUSTER_KINDS]
    kubectl.create(*made)
    try:
        names = kubectl("get", "-f", "-", "-o", "name", stdin=everything).split()
        assert len(names) == len(made)
        kinds = {kind: called for kind, _, called in (name.partition("/") for name in names)}
        for kind, called in kinds.items():
            table = kubectl("get", kind, called).splitlines()
            assert len(table) == 2, kind
            assert table[1].startswith(called), kind
            if kubectl.modern or kind not in NOT_DESCRIBED_BY_DEBIANS:
                described = kubectl("describe", kind, called).splitlines()
                assert described[0].split() == ["Name:", called], kind
        served = set(kubectl("api-resources", "-o", "name", "--verbs=list,create,delete").split())
        untried = served - OF_THE_SERVER - {_plural(kind) for kind in kinds}
        assert {kind for kind in untried if not kind.endswith(".example.com")} == set()
        labelled = kubectl("label", "-f", "-", "tried=yes", stdin=everything)
        assert labelled.count("labeled") == len(made)
        current = kubectl("get", "-f", "-", "-o", "json", stdin=everything)
        assert kubectl("replace", "-f", "-", stdin=current).count("replaced") == len(made)
    finally:
        kubectl("delete", "-f", "-", "--wait=false", stdin=documents(*cluster))
    rest = [obj for obj in made if obj not in cluster]
    gone = kubectl("delete", "-f", "-", "--timeout=60s", stdin=documents(*rest))
    assert gone.count("deleted") == len(rest)


def _plural(kind: str) -> str:
    """As discovery names it; `kind` is the singular and the group, as `-o name` writes them."""
    name, dot, group = kind.partition(".")
    if name.endswith("y"):
        name = f"{name[:-1]}ies"
    elif name.endswith("ss"):
        name = f"{name}es"
    elif not name.endswith("s"):
        name = f"{name}s"
    return f"{name}{dot}{group}"
