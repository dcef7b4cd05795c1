"""Making pods for a controller: a few first, then twice as many, so that a refusal costs little.

A namespace without quota left, or a template that is refused, is found out by one request instead of by as
many as there are replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgevirt.api.core import Pod
from edgevirt.api.meta import KubeObject
from edgevirt.api.resources import PODS
from edgevirt.engine.controllers.surroundings import Desk
from edgevirt.kube import errors
from edgevirt.kube.informer import Informer


async def make_pods(desk: Desk, informer: Informer[Pod], owner: KubeObject, pods: Sequence[Pod]) -> None:
    """Make all of `pods`, or raise the first KubeError and say so in an event of the owner."""
    done, batch = 0, 1
    while done < len(pods):
        chunk = pods[done : done + batch]
        answers = await asyncio.gather(
            *(_make(desk, informer, owner, pod) for pod in chunk), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        done += len(chunk)
        batch *= 2


async def _make(desk: Desk, informer: Informer[Pod], owner: KubeObject, pod: Pod) -> None:
    try:
        created = await desk.create(PODS, informer, pod)
    except errors.KubeError as error:
        if not is_ending_namespace(error):
            desk.recorder.warning(owner, "FailedCreate", f"Error creating: {error}")
        raise
    desk.recorder.normal(owner, "SuccessfulCreate", f"Created pod: {created.metadata.name}")


def is_ending_namespace(error: errors.KubeError) -> bool:
    """Refused because the namespace is being deleted: nothing anybody has to know about."""
    return isinstance(error, errors.Forbidden) and "because it is being terminated" in str(error)
