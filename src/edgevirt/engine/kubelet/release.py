"""The end of a pod: everything it has is given back, then it is forgotten.

A release that fails is repeated less and less often, as long as the kubelet runs: what a pod holds is never
given up on. The directory with the record goes before the API is told, so a kubelet killed in between only
repeats the telling.
"""

from __future__ import annotations

import logging
import shutil

from edgevirt.api import resources as api
from edgevirt.engine.kubelet import plan, sandbox
from edgevirt.engine.kubelet.cni import CniError
from edgevirt.engine.kubelet.resident import Resident
from edgevirt.kube.backoff import Backoff, BackoffPolicy
from edgevirt.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger("edgevirt.kubelet")

_RETRY = BackoffPolicy(base=1.0, cap=60.0, jitter=0.0)
_CONFIRM = BackoffPolicy(base=2.0, cap=60.0)


async def release(resident: Resident) -> bool:
    """Give back everything but the logs; False, and a moment for the next try, if something is left."""
    shims = [record.shim for record in resident.record.containers.values() if record.shim]
    resident.stop_watching()
    try:
        await sandbox.release(resident.services, resident.pod, shims)
    except (CniError, OSError) as error:
        delay = _RETRY.delay(resident.release_failures)
        resident.release_failures += 1
        resident.release_at = resident.services.clock.monotonic() + delay
        log.error(
            "pod not released, trying again",
            extra={"pod": resident.key, "seconds": delay, "error": str(error)},
        )
        return False
    resident.release_failures, resident.release_at = 0, 0.0
    resident.record.sandbox = resident.prepared = resident.adopted = False
    if _runs_again(resident):
        resident.record.addresses = ()
    resident.volumes = {}
    resident.save()
    return True


def _runs_again(resident: Resident) -> bool:
    return not resident.deleting and plan.outcome(resident.pod, resident.observe()) is None


async def forget(resident: Resident) -> None:
    """Remove the pod's directory, then confirm the deletion to the API, however long that takes."""
    resident.services.host_ports.unclaim(resident.uid)
    await resident.services.blocking(shutil.rmtree, resident.directory, True)
    metadata, backoff = resident.pod.metadata, Backoff(_CONFIRM)
    while not resident.vanished:
        try:
            await resident.services.api.delete(
                api.PODS,
                metadata.name,
                namespace=metadata.namespace,
                grace_period_seconds=0,
                uid=resident.uid,
            )
            break
        except (NotFound, Conflict):
            break
        except KubeError as error:
            log.warning(
                "deletion not confirmed, trying again", extra={"pod": resident.key, "error": str(error)}
            )
            await resident.services.clock.sleep(backoff.next())
    resident.forgotten = True
