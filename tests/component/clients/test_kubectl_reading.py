"""kubectl get in all its forms: what tables, selectors, pages and watches look like to a user."""

from __future__ import annotations

import pytest
from client_process import Kubectl, columns

pytestmark = pytest.mark.component


@pytest.fixture
def fruits(kubectl: Kubectl) -> Kubectl:
    """Three config maps with labels, made in another order than their names'."""
    for name, color in (("cherry", "red"), ("apple", "red"), ("banana", "yellow")):
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "labels": {"color": color, "length": str(len(name))}},
                "data": {"name": name},
            }
        )
    return kubectl


@pytest.mark.client("kubectl", "get: table, wide, yaml, json, name, jsonpath, go-template, custom-columns")
def test_get_shows_objects_in_every_output(fruits: Kubectl) -> None:
    table = columns(fruits("get", "configmaps"))
    assert table[0] == ["NAME", "DATA", "AGE"]
    assert [row[:2] for row in table[1:]] == [
        ["apple", "1"],
        ["banana", "1"],
        ["cherry", "1"],
        ["kube-root-ca.crt", "1"],
    ]
    assert columns(fruits("get", "cm/apple", "-o", "wide"))[0] == ["NAME", "DATA", "AGE"]
    assert fruits("get", "cm", "apple", "-o", "name") == "configmap/apple\n"
    assert "kind: ConfigMap" in fruits("get", "cm", "apple", "-o", "yaml").splitlines()
    assert fruits.json("cm", "apple")["data"] == {"name": "apple"}
    assert fruits("get", "cm", "-o", "jsonpath={.items[*].data.name}", "-l", "color") == "apple banana cherry"
    template = "{{range .items}}{{.metadata.name}},{{end}}"
    assert fruits("get", "cm", "-o", f"go-template={template}", "-l", "color=red") == "apple,cherry,"
    shown = fruits(
        "get", "cm", "-l", "color", "-o", "custom-columns=FRUIT:.data.name,COLOR:.metadata.labels.color"
    )
    assert columns(shown) == [["FRUIT", "COLOR"], ["apple", "red"], ["banana", "yellow"], ["cherry", "red"]]
    assert fruits("get", "cm", "-l", "color=yellow", "--no-headers").split()[:2] == ["banana", "1"]
