from __future__ import annotations

import pytest

from edgevirt.api.core import Pod
from edgevirt.api.meta import ObjectMeta, OwnerReference
from edgevirt.api.resources import PODS
from edgevirt.kube import objects
from edgevirt.kube.ownership import controller_of, is_controlled_by, owner_reference

pytestmark = pytest.mark.unit

OWNER = Pod(metadata=ObjectMeta(name="o", namespace="ns", uid="u1"))


def test_an_owner_is_found_again_by_its_uid_whether_typed_or_not() -> None:
    reference = owner_reference(OWNER, PODS)
    assert reference == OwnerReference(
        api_version="v1", kind="Pod", name="o", uid="u1", controller=True, block_owner_deletion=True
    )
    typed = Pod(metadata=ObjectMeta(name="c", owner_references=(OwnerReference(uid="x"), reference)))
    plain = {"metadata": {"ownerReferences": [{"uid": "u1", "controller": True, "kind": "Pod", "name": "o"}]}}
    assert controller_of(typed) == reference
    assert is_controlled_by(typed, OWNER)
    assert is_controlled_by(plain, OWNER)
    assert not is_controlled_by(typed, Pod(metadata=ObjectMeta(name="o", namespace="ns", uid="namesake")))
    assert controller_of(OWNER) is None


def test_an_object_that_was_never_stored_cannot_own() -> None:
    with pytest.raises(ValueError, match="has no uid"):
        owner_reference(Pod(metadata=ObjectMeta(name="o")), PODS)


@pytest.mark.parametrize("key", ["ns/name", "name"])
def test_keys_are_split_as_they_were_joined(key: str) -> None:
    namespace, name = objects.split_key(key)
    assert objects.key_text(Pod(metadata=ObjectMeta(name=name, namespace=namespace))) == key
