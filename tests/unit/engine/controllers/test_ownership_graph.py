from __future__ import annotations

import dataclasses

import pytest

from edgevirt.api.meta import KubeObject, OwnerReference, Resource
from edgevirt.engine.controllers.ownership_graph import (
    FOREGROUND,
    ORPHAN,
    Delete,
    Graph,
    Item,
    Propagation,
    RemoveFinalizer,
    SetOwners,
    plan,
)

pytestmark = pytest.mark.unit

THINGS = Resource("", "v1", "things", "Thing", KubeObject)


def ref(uid: str, block: bool = False) -> OwnerReference:
    return OwnerReference(
        api_version="v1", kind="Thing", name=uid, uid=uid, block_owner_deletion=True if block else None
    )


def item(
    uid: str,
    *owners: OwnerReference,
    finalizers: tuple[str, ...] = (),
    deleting: bool = False,
    ns: str = "ns",
) -> Item:
    return Item(THINGS, ns, uid, uid, "1", owners, finalizers, deleting)


def graph_of(*items: Item) -> Graph:
    graph = Graph()
    for one in items:
        graph.put(one)
    return graph


OWNER = item("owner")
WAITING = item("owner", finalizers=(FOREGROUND,), deleting=True)


def test_an_object_without_owners_is_never_touched() -> None:
    assert plan(graph_of(OWNER), OWNER, {"anything"}) == ()


def test_an_object_whose_owner_lives_stays() -> None:
    child = item("child", ref("owner"))
    assert plan(graph_of(OWNER, child), child, set()) == ()


def test_an_owner_that_is_unknown_but_not_proven_absent_counts_as_living() -> None:
    child = item("child", ref("unknown"))
    assert plan(graph_of(child), child, set()) == ()


def test_an_object_whose_owners_are_all_gone_is_deleted() -> None:
    child = item("child", ref("a"), ref("b"))
    assert plan(graph_of(child), child, {"a", "b"}) == (Delete(child, Propagation.BACKGROUND),)


def test_an_object_with_one_living_owner_only_loses_the_others() -> None:
    child = item("child", ref("gone"), ref("owner"))
    assert plan(graph_of(OWNER, child), child, {"gone"}) == (SetOwners(child, (ref("owner"),)),)


def test_an_owner_in_another_namespace_is_no_owner_but_a_cluster_scoped_one_is() -> None:
    child = item("child", ref("owner"))
    elsewhere = item("owner", ns="other")
    assert plan(graph_of(elsewhere, child), child, set()) == (Delete(child, Propagation.BACKGROUND),)
    everywhere = item("owner", ns="")
    assert plan(graph_of(everywhere, child), child, set()) == ()


@pytest.mark.parametrize(
    ("finalizer", "propagation"), [(ORPHAN, Propagation.ORPHAN), (FOREGROUND, Propagation.FOREGROUND)]
)
def test_how_an_object_wants_to_be_deleted_is_respected(finalizer: str, propagation: Propagation) -> None:
    child = item("child", ref("gone"), finalizers=(finalizer,))
    assert plan(graph_of(child), child, {"gone"}) == (Delete(child, propagation),)


def test_a_foreground_deletion_waits_for_dependents_that_block_it() -> None:
    child = item("child", ref("owner", block=True))
    assert plan(graph_of(WAITING, child), WAITING, set()) == ()
    lax = item("child", ref("owner"))
    assert plan(graph_of(WAITING, lax), WAITING, set()) == (RemoveFinalizer(WAITING, FOREGROUND),)
    assert plan(graph_of(WAITING), WAITING, set()) == (RemoveFinalizer(WAITING, FOREGROUND),)


def test_dependents_of_a_foreground_deletion_are_deleted_and_in_the_foreground_if_they_have_some() -> None:
    child = item("child", ref("owner", block=True))
    grandchild = item("grandchild", ref("child", block=True))
    assert plan(graph_of(WAITING, child), child, set()) == (Delete(child, Propagation.BACKGROUND),)
    assert plan(graph_of(WAITING, child, grandchild), child, set()) == (
        Delete(child, Propagation.FOREGROUND),
    )


def test_a_dependent_with_another_living_owner_leaves_the_one_being_deleted() -> None:
    child = item("child", ref("owner", block=True), ref("second"))
    graph = graph_of(WAITING, item("second"), child)
    assert plan(graph, child, set()) == (SetOwners(child, (ref("second"),)),)


def test_two_that_own_each_other_can_both_be_deleted_in_the_foreground() -> None:
    one = item("one", ref("two", block=True))
    two = item("two", ref("one", block=True), finalizers=(FOREGROUND,), deleting=True)
    actions = plan(graph_of(one, two), one, set())
    unblocked = dataclasses.replace(two).owners[0]
    assert actions == (
        SetOwners(
            two,
            (
                OwnerReference(
                    api_version=unblocked.api_version,
                    kind=unblocked.kind,
                    name="one",
                    uid="one",
                    block_owner_deletion=False,
                ),
            ),
        ),
        Delete(one, Propagation.FOREGROUND),
    )


def test_orphaning_frees_every_dependent_before_the_owner_goes() -> None:
    owner = item("owner", finalizers=(ORPHAN, "mine"), deleting=True)
    one, two = item("one", ref("owner")), item("two", ref("owner"), ref("second"))
    assert plan(graph_of(owner, one, two), owner, set()) == (
        SetOwners(one, ()),
        SetOwners(two, (ref("second"),)),
        RemoveFinalizer(owner, ORPHAN),
    )


def test_changes_name_those_they_concern() -> None:
    graph = Graph()
    assert graph.put(OWNER) == ()
    assert graph.put(item("child", ref("owner"))) == ("child",)
    assert graph.put(WAITING) == ("owner", "child"), "its dependents are to go now"
    assert graph.put(item("child", ref("owner"), deleting=True)) == ("child", "owner")
    assert graph.remove("child") == ("owner",), "the owner may be waiting for this"
    assert graph.remove("owner") == ()


def test_dependents_are_found_again_when_an_owner_disappears_and_links_follow_changes() -> None:
    graph = graph_of(OWNER, item("child", ref("owner")), item("other", ref("owner")))
    graph.put(item("other", ref("elsewhere")))
    assert graph.remove("owner") == ("child",)
    assert [one.uid for one in graph.dependents("elsewhere")] == ["other"]
