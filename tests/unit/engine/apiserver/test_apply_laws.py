"""Server-side apply against a model small enough to be seen right.

The model has fields without structure: who owns each, and what each manager stated last. Sequences of applies
(forced or not) and updates by several managers must leave the same object, the same owners and the same
conflicts in both; applying once more changes nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.schema import SCALAR, SchemaNode
from edgevirt.engine.apiserver.writing import managedfields
from edgevirt.engine.apiserver.writing.managedfields import Manager, Scope

pytestmark = pytest.mark.unit

ITEM = SchemaNode("map", fields={"name": SCALAR, "value": SCALAR})
NODE = SchemaNode(
    "map",
    fields={
        "apiVersion": SCALAR,
        "kind": SCALAR,
        "metadata": SchemaNode("map", fields={"name": SCALAR}),
        "spec": SchemaNode("map", elem=SCALAR, open=True),
        "items": SchemaNode("list", elem=ITEM, keys=("name",)),
    },
)
FIELDS = ("a", "b", "c")
KEPT = {"kept": 1}
Config = dict[str, int]


@dataclass
class Model:
    """`owners` of the values and `holders` of the places they are in, which in a list are the items.

    A field of a map is its place. An item goes when nobody holds it, with all that is below it; an item whose
    value nobody owns stays without one. `stated` is the last configuration of each applier.
    """

    listed: bool
    values: dict[str, int | None] = field(default_factory=dict)
    owners: dict[str, set[str]] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)
    stated: dict[str, Config] = field(default_factory=dict)

    def conflicts(self, manager: str, config: Config) -> set[str]:
        return {
            name
            for name, value in config.items()
            if self.values.get(name) not in (None, value) and self.owners[name] - {manager}
        }

    def apply(self, manager: str, config: Config) -> None:
        for name, value in config.items():
            if self.values.get(name, value) != value:
                self.owners[name] = set()
            self.values[name] = value
            self.owners.setdefault(name, set()).add(manager)
            self.holders.setdefault(name, set()).add(manager)
        for name in self.stated.get(manager, {}).keys() - config.keys():
            self._drop(manager, name)
        self.stated[manager] = config

    def _drop(self, manager: str, name: str) -> None:
        if name not in self.values:
            return
        owned = manager in self.owners[name]
        held = manager in self.holders[name]
        self.owners[name].discard(manager)
        self.holders[name].discard(manager)
        if not self.listed:
            self.holders[name] = self.owners[name]
        if (held and not self.holders[name]) or (owned and not self.owners[name] and not self.listed):
            del self.owners[name], self.holders[name], self.values[name]
        elif owned and not self.owners[name]:
            self.values[name] = None

    def update(self, manager: str, wanted: Config) -> None:
        for name in self.values.keys() - wanted.keys():
            del self.values[name], self.owners[name], self.holders[name]
        for name, value in wanted.items():
            if name not in self.values:
                self.holders[name] = {manager}
            if self.values.get(name) != value:
                self.values[name], self.owners[name] = value, {manager}


def scope(manager: str, operation: str) -> Scope:
    return Scope(NODE, Manager(manager, operation, "v1"), "2026-01-01T00:00:00Z", {}, frozenset())


def as_map(config: Config) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "spec": dict(config)}


def as_list(config: Config) -> dict[str, Any]:
    items = [{"name": name, "value": value} for name, value in config.items()]
    return {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "items": items}


def values_of(obj: dict[str, Any]) -> dict[str, int | None]:
    if "items" in obj:
        return {item["name"]: item.get("value") for item in obj["items"]}
    return dict(obj.get("spec") or {})


def owners_of(obj: dict[str, Any]) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = {}
    for entry in obj["metadata"].get("managedFields") or ():
        stated = entry["fieldsV1"]
        names = [name.removeprefix("f:") for name in stated.get("f:spec", {}) if name.startswith("f:")]
        for key, below in stated.get("f:items", {}).items():
            if key.startswith("k:") and "f:value" in below:
                names.append(key.removeprefix('k:{"name":"').removesuffix('"}'))
        for name in names:
            owners.setdefault(name, set()).add(entry["manager"])
    return owners


CONFIGS = st.dictionaries(st.sampled_from(FIELDS), st.integers(0, 2), max_size=3)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("apply", "apply", "force", "update")),
        st.sampled_from(("m1", "m2", "m3")),
        CONFIGS,
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("shape", [as_map, as_list])
@given(steps=STEPS)
def test_ownership_follows_the_model(shape: Any, steps: list[tuple[str, str, Config]]) -> None:
    # An object nobody tracks is another story: here somebody always owns something.
    model = Model(shape is as_list)
    live = managedfields.apply(scope("keeper", "Apply"), None, shape(KEPT), False)
    model.apply("keeper", KEPT)
    for kind, manager, config in steps:
        # One program applies, another one updates: managers of the two kinds have different names.
        name = f"{manager}-updates" if kind == "update" else manager
        if kind == "update":
            config = {**config, **KEPT}
            new = shape(config)
            new["metadata"]["managedFields"] = copy.deepcopy(live["metadata"]["managedFields"])
            managedfields.record_update(scope(name, "Update"), copy.deepcopy(live), new)
            live = new
            model.update(name, config)
        else:
            conflicts = model.conflicts(name, config)
            before = copy.deepcopy(live)
            if conflicts and kind == "apply":
                with pytest.raises(StatusError) as refused:
                    managedfields.apply(scope(name, "Apply"), copy.deepcopy(live), shape(config), False)
                assert refused.value.code == 409
                named = {cause.field for cause in refused.value.details.causes}  # type: ignore[union-attr]
                assert len(named) == len(conflicts)
                assert all(any(field in text for text in named) for field in conflicts)
                assert live == before
                continue
            live = managedfields.apply(scope(name, "Apply"), live, shape(config), kind == "force")
            model.apply(name, config)
            again = managedfields.apply(scope(name, "Apply"), copy.deepcopy(live), shape(config), False)
            assert again == live
        assert values_of(live) == model.values
        assert owners_of(live) == {name: owners for name, owners in model.owners.items() if owners}


@given(mine=CONFIGS, theirs=CONFIGS)
def test_dropped_field_goes_exactly_if_nobody_else_states_it(mine: Config, theirs: Config) -> None:
    live = managedfields.apply(scope("me", "Apply"), None, as_map(mine), False)
    live = managedfields.apply(scope("they", "Apply"), live, as_map(theirs), True)
    left = managedfields.apply(scope("me", "Apply"), live, as_map({}), False)
    assert values_of(left) == theirs
