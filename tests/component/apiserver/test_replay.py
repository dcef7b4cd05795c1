"""Recorded conversations with a real Kubernetes API server, replayed against ours.

Needs EDGEVIRT_REFERENCE, the folder that holds kubernetes/recordings. Every scenario is replayed in full.
What may differ is listed in DIFFERENCES, by step and place, each with its reason (docs/differences.md tells
users the same); anything else that differs fails, and so does an entry that is not needed any more.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from api_server_under_test import Running
from replay import Changes, Known, Replay, load, outdated, unexpected

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set"),
]

ANYWHERE = (
    Known((), "*columnDefinitions[*].description", "descriptions of columns are in our own words"),
    Known((), "*.parameters[*].description", "descriptions in OpenAPI are in our own words"),
    Known((), ".paths*.description", "descriptions in OpenAPI are in our own words"),
    Known((), ".components.schemas.*.description", "descriptions in OpenAPI are in our own words"),
)

_MAP_ORDER = "Go walks a map of labels in random order, we in the order of the keys"
_RULE_ORDER = "Go walks the properties of a schema in random order, we in the order of the schema"
_NOT_NORMALISED = "a random suffix that the recorder took for a part of the name"
_OTHER_NETWORK = "the recorded server had another service network and another port"
_NO_NULL_TIMES = "a time that is not set is left out; Go writes null, which every typed reader must undo"

_NO_RESIZE = "resources of a running pod cannot be changed"
_NO_PROTOBUF = "answers are never protobuf"
_FEWER_KINDS = "not every group and kind of Kubernetes is served here"
_NO_DOCUMENT = "documents describe group versions, not the discovery and the issuer around them"
_MEDIA = ".responses.20*.content.application/vnd.kubernetes.protobuf"
_NOT_SERVED = (
    *("autoscaling", "autoscaling/v1", "autoscaling/v2", "certificates.k8s.io", "certificates.k8s.io/v1"),
    *("networking.k8s.io", "networking.k8s.io/v1", "node.k8s.io"),
    *("flowcontrol.apiserver.k8s.io", "flowcontrol.apiserver.k8s.io/v1", "node.k8s.io/v1"),
    *("resource.k8s.io", "resource.k8s.io/v1", "disc.example.com/v1"),
)
_GROUPS_SERVED = (
    *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "batch"),
    *("authentication.k8s.io", "authorization.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "policy"),
    "events.k8s.io",
    *("rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io"),
)

DIFFERENCES: dict[str, tuple[Known, ...]] = {
    "02-discovery-aggregated": (
        Known((1,), ".items length", _FEWER_KINDS),
        Known((3, 4), ".message", _NO_PROTOBUF),
    ),
    "03-discovery-groupversion": (Known((0,), ".resources length", _FEWER_KINDS),),
    "05-discovery-openapi": (
        *(Known((0,), f".paths.apis/{name}", _FEWER_KINDS) for name in _NOT_SERVED),
        *(Known((0,), f".paths.apis/{name}", _NO_DOCUMENT) for name in _GROUPS_SERVED),
        Known((0,), ".paths..well-known/openid-configuration", _NO_DOCUMENT),
        Known((0,), ".paths.openid/v1/jwks", _NO_DOCUMENT),
        Known((0,), ".paths.api", _NO_DOCUMENT),
        Known((0,), ".paths.apis", _NO_DOCUMENT),
        Known((0,), ".paths.version", _NO_DOCUMENT),
        Known((1,), ".parameters", "parameters are written out where they are used"),
        *(Known((2,), f".paths.*.{method}{_MEDIA}", _NO_PROTOBUF) for method in ("get", "put", "patch")),
        Known((2,), f".paths.*.delete{_MEDIA}", _NO_PROTOBUF),
        Known(
            (2,),
            ".paths.*.delete.parameters length",
            "ignoreStoreReadErrorWithClusterBreakingPotential is not served",
        ),
        Known((2,), ".components.schemas.*.properties.metadata.default", "empty defaults are not published"),
    ),
    "06-crud-configmap": (),
    "07-crud-secret": (),
    "09-crud-missing-namespace": (),
    "13-crud-service": (),
    "14-crud-pvc": (),
    "16-crud-rbac": (),
    "17-names-generate-validate": (
        Known((2,), ".metadata.name", _NOT_NORMALISED),
        Known((5,), ".message", _MAP_ORDER),
        Known((5,), ".details.causes[0].message", _MAP_ORDER),
        Known((5,), ".details.causes[1].message", _MAP_ORDER),
    ),
    "18-conflict-update": (),
    "19-errors-http": (Known((21,), ".message", "answers are never protobuf"),),
    "20-query-parameters": (),
    "21-fieldvalidation-builtin": (),
    "24-patch-merge": (),
    "25-patch-strategic": (),
    "26-ssa-builtin": (),
    "27-ssa-deployment": (
        Known((6, 8), ".status.conditions[0].last*Time", _NO_NULL_TIMES),
        Known(
            (6, 8), ".metadata.managedFields[1].fieldsV1.f:status.f:conditions.*.f:last*Time", _NO_NULL_TIMES
        ),
    ),
    "30-list-label-selectors": (),
    "31-list-field-selectors": (),
    "32-list-paging": (),
    "34-table-builtin": (),
    "35-table-crd": (
        Known(
            (7,), ".metadata.resourceVersion", "the recorder's cache had not heard of a later write elsewhere"
        ),
    ),
    "37-watch-errors": (),
    "38-watch-list": (),
    "39-watch-selector-transition": (),
    "41-delete-propagation": (),
    "45-crd-validation": (
        Known((39,), ".message", _RULE_ORDER),
        Known((39,), ".details.causes[*].message", _RULE_ORDER),
        Known((39,), ".details.causes[*].field", _RULE_ORDER),
    ),
    "46-crd-pruning-defaulting": (),
    "47-crd-cel": (),
    "64-rbac-forbidden": (),
    "65-rbac-authn": (),
    "67-pod-subresources": (
        Known((31,), "status", _NO_RESIZE),
        Known((32,), ".metadata.managedFields length", _NO_RESIZE),
    ),
    "68-apiservice-down": (),
    "69-quota-limitrange": (),
    "70-authn-configmap": (
        Known((1,), ".kind", "the recorder kept the items of this list only"),
        Known((1,), ".apiVersion", "the recorder kept the items of this list only"),
        Known((1,), ".metadata", "the recorder kept the items of this list only"),
        Known((2,), ".spec.ports[0].targetPort", _OTHER_NETWORK),
        Known((2,), ".spec.clusterIP", _OTHER_NETWORK),
        Known((2,), ".spec.clusterIPs[0]", _OTHER_NETWORK),
    ),
}


async def replayed(api: Running, name: str, known: tuple[Known, ...]) -> Replay:
    replay = Replay(api.client, Changes(api.server.cluster), known)
    async with asyncio.timeout(90):
        await replay.run(load(Path(REFERENCE) / "kubernetes", name))
    return replay


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_scenario_is_answered_as_kubernetes_does(api: Running, name: str) -> None:
    replay = await replayed(api, name, (*DIFFERENCES[name], *ANYWHERE))
    differing = unexpected(replay.mismatches, replay.known)
    assert not differing, "\n".join(map(str, differing[:5]))
    assert not outdated(replay.mismatches, DIFFERENCES[name])


def test_every_recording_is_replayed_here_or_beside() -> None:
    recorded = {path.stem for path in (Path(REFERENCE) / "kubernetes/recordings").glob("*.json")}
    component = Path(__file__).parent.parent
    beside = "".join(
        path.read_text() for path in component.glob("*/test_*recordings.py") if path != Path(__file__)
    )
    assert sorted(name for name in recorded - DIFFERENCES.keys() if name not in beside) == []
