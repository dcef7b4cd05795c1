"""What is looked after while a pod runs: volumes with API data, and limits that no control group enforces.

Secrets, config maps and tokens are brought up to date once a minute; at the same pace disk usage is compared
with the declared limits. `activeDeadlineSeconds` ends the pod at its moment.
"""

from __future__ import annotations

import logging

from edgevirt.engine.kubelet import usage
from edgevirt.engine.kubelet.fields import UnknownField
from edgevirt.engine.kubelet.references import MissingReference
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.engine.kubelet.volumes import prepare as volumes
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.kube.errors import KubeError

log = logging.getLogger("edgevirt.kubelet")

_REFRESH = 60.0


async def look_after(resident: Resident) -> None:
    """Until cancelled, or until the pod's deadline has made it fail."""
    deadline = resident.pod.spec.active_deadline_seconds if resident.pod.spec else None
    while True:
        interval = _REFRESH
        if deadline is not None:
            interval = min(interval, resident.record.started_at + deadline - resident.now())
        await resident.services.clock.sleep(interval)
        if deadline is not None and resident.now() - resident.record.started_at >= deadline:
            message = "Pod was active on the node longer than the specified deadline"
            resident.fail("DeadlineExceeded", message, normal=True)
            return
        if resident.prepared and not resident.deleting:
            await _check_sizes(resident)
            await _refresh(resident)


async def _check_sizes(resident: Resident) -> None:
    message = await resident.services.blocking(usage.excess, resident.pod, resident.directory)
    if message:
        resident.fail("Evicted", message)


async def _refresh(resident: Resident) -> None:
    context = resident.context()
    for volume in resident.pod.spec.volumes if resident.pod.spec else ():
        if not volumes.is_api_volume(volume):
            continue
        try:
            await volumes.refresh(context, volume)
        except (BadVolume, MissingReference, UnknownField, KubeError, OSError) as error:
            log.warning(
                "volume not refreshed",
                extra={"pod": resident.key, "volume": volume.name, "error": str(error)},
            )
