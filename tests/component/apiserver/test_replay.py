"""Recorded conversations with a real Kubernetes API server, replayed against ours.

Needs EDGEVIRT_REFERENCE, the folder that holds kubernetes/recordings. PASSING is what is equal in every
step; PARTLY is how many steps of a scenario are equal at least, with the reason for the rest.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from api_server_under_test import Running
from replay import Replay, load

REFERENCE = os.environ.get("EDGEVIRT_REFERENCE", "")

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(not REFERENCE, reason="EDGEVIRT_REFERENCE is not set"),
]

PASSING: tuple[str, ...] = (
    "06-crud-configmap",
    "09-crud-missing-namespace",
    "16-crud-rbac",
    "18-conflict-update",
    "21-fieldvalidation-builtin",
    "26-ssa-builtin",
    "30-list-label-selectors",
    "37-watch-errors",
    "39-watch-selector-transition",
    "46-crd-pruning-defaulting",
    "47-crd-cel",
    "65-rbac-authn",
)

PARTLY: dict[str, tuple[int, str]] = {
    "02-discovery-aggregated": (2, "fewer groups, no protobuf"),
    "03-discovery-groupversion": (3, "fewer kinds are served"),
    "05-discovery-openapi": (1, "fewer kinds are served"),
    "07-crud-secret": (8, "wording of Go's JSON and base64 decoders"),
    "13-crud-service": (3, "no cluster addresses are handed out"),
    "14-crud-pvc": (2, "no protection finalizer, no diff in the message"),
    "17-names-generate-validate": (12, "order of causes, a name that was not normalised"),
    "19-errors-http": (30, "answers are never protobuf; quoting of YAML"),
    "20-query-parameters": (30, "wording of Go's JSON decoder"),
    "24-patch-merge": (17, "wording of Go's JSON decoder"),
    "25-patch-strategic": (6, "deployments are not served"),
    "31-list-field-selectors": (17, "no OpenShift service CA, no podIPs"),
    "32-list-paging": (21, "a symbol that is never bound"),
    "34-table-builtin": (5, "own column descriptions"),
    "35-table-crd": (9, "own column descriptions"),
    "38-watch-list": (7, "own column descriptions"),
    "41-delete-propagation": (16, "deployments are not served"),
    "45-crd-validation": (45, "order of causes"),
    "64-rbac-forbidden": (47, "no managedFields in token requests"),
    "67-pod-subresources": (24, "no OpenShift service CA, no proxy, resize and ephemeral containers"),
    "68-apiservice-down": (8, "own column descriptions, status of local services"),
}


async def replayed(api: Running, name: str) -> Replay:
    replay = Replay(api.client)
    async with asyncio.timeout(90):
        await replay.run(load(Path(REFERENCE) / "kubernetes", name))
    return replay


@pytest.mark.parametrize("name", PASSING)
async def test_scenario_is_answered_as_kubernetes_does(api: Running, name: str) -> None:
    replay = await replayed(api, name)
    assert not replay.mismatches, "\n".join(map(str, replay.mismatches[:5]))


@pytest.mark.parametrize("name", PARTLY)
async def test_known_part_of_a_scenario_stays_equal(api: Running, name: str) -> None:
    replay = await replayed(api, name)
    equal = replay.steps - len(replay.failed_steps)
    least, reason = PARTLY[name]
    assert equal >= least, f"{equal} of {replay.steps} steps ({reason})\n" + "\n".join(
        map(str, replay.mismatches[:5])
    )
