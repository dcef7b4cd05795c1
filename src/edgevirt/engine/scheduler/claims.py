"""What a pod's persistent volume claims say about its node.

Claims have to exist and be bound before the pod can be placed; then the volume's node affinity decides,
which is how a disk on one machine keeps its VM there. Choosing a node first and a volume after
(WaitForFirstConsumer) is not done here: the embedded engine has one machine, so its volumes are bound when
they are claimed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edgevirt.api.core import NodeSelector, PersistentVolume, PersistentVolumeClaim, Pod


@dataclasses.dataclass(frozen=True, slots=True)
class Claims:
    """`problem` says why the pod fits nowhere yet; "" if it does, on nodes that match all `affinities`."""

    problem: str = ""
    affinities: tuple[NodeSelector, ...] = ()


def examine(
    pod: Pod,
    claim_named: Callable[[str], PersistentVolumeClaim | None],
    volume_named: Callable[[str], PersistentVolume | None],
) -> Claims:
    """Look at every claim the pod mounts; `claim_named` looks in the pod's namespace."""
    affinities = []
    for name in _claim_names(pod):
        claim = claim_named(name)
        if claim is None:
            return Claims(f'persistentvolumeclaim "{name}" not found')
        if claim.metadata.deletion_timestamp:
            return Claims(f'persistentvolumeclaim "{name}" is being deleted')
        volume_name = claim.spec.volume_name if claim.spec else ""
        bound = claim.status is not None and claim.status.phase == "Bound"
        if not bound or not volume_name:
            return Claims("pod has unbound immediate PersistentVolumeClaims")
        volume = volume_named(volume_name)
        if volume is None:
            return Claims(f'persistentvolume "{volume_name}" of claim "{name}" not found')
        affinity = volume.spec.node_affinity if volume.spec else None
        if affinity is not None and affinity.required is not None:
            affinities.append(affinity.required)
    return Claims(affinities=tuple(affinities))


def _claim_names(pod: Pod) -> list[str]:
    if pod.spec is None:
        return []
    names = []
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            names.append(volume.persistent_volume_claim.claim_name)
        elif volume.ephemeral is not None:
            names.append(f"{pod.metadata.name}-{volume.name}")
    return names
