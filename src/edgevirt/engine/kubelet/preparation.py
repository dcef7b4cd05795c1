"""Making what a pod's containers share: the sandbox with its network, the volumes, their images.

What was made halfway is released before the next try, and tries get rarer. Sandbox and volumes are made at
the same time, unless a volume tells the pod's address.
"""

from __future__ import annotations

import asyncio
import logging

from edgevirt.engine.kubelet import attendance, sandbox
from edgevirt.engine.kubelet.cni import CniError
from edgevirt.engine.kubelet.container import names_in_order
from edgevirt.engine.kubelet.fields import UnknownField
from edgevirt.engine.kubelet.references import MissingReference
from edgevirt.engine.kubelet.release import release
from edgevirt.engine.kubelet.resident import Resident, restart_delay
from edgevirt.engine.kubelet.runtime import StartFailed
from edgevirt.engine.kubelet.volumes import prepare as volumes
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.kube.backoff import BackoffPolicy
from edgevirt.kube.errors import KubeError
from edgevirt.storage.images.errors import ImageError

log = logging.getLogger("edgevirt.kubelet")

_RETRY = BackoffPolicy(base=1.0, cap=256.0, jitter=0.0)


async def prepare(resident: Resident) -> None:
    """Afterwards the pod is prepared, or it is noted why not and when to try again."""
    services, begun = resident.services, resident.services.clock.monotonic()
    resident.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    if resident.adopted and resident.record.sandbox:
        if not await release(resident):
            resident.prepare_at = resident.release_at
            return
        for name, record in resident.record.containers.items():
            if record.running:  # it was killed with the sandbox
                attendance.ended(resident, resident.container(name), resident.attempt(name))
    resident.record.sandbox = True
    resident.save()
    declared = resident.pod.spec.volumes if resident.pod.spec else ()
    try:
        if any(volumes.needs_addresses(volume) for volume in declared):
            resident.record.addresses = await sandbox.make(services, resident.pod)
            prepared = await volumes.prepare(resident.context(), services.images)
        else:
            resident.record.addresses, prepared = await asyncio.gather(
                sandbox.make(services, resident.pod),
                volumes.prepare(resident.context(), services.images),
            )
    except (CniError, StartFailed, sandbox.SandboxError, OSError) as error:
        _failed(resident, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        return
    except ImageError as error:
        _pull_failed(resident, error)
        return
    except (BadVolume, MissingReference, UnknownField, KubeError, ValueError) as error:
        _failed(resident, "FailedMount", str(error))
        return
    resident.volumes = dict(prepared)
    resident.prepared = True
    resident.prepare_failures = 0
    resident.save()
    resident.spent["prepare"] = services.clock.monotonic() - begun


def _failed(resident: Resident, reason: str, message: str, waiting: str = "ContainerCreating") -> None:
    resident.adopted = True
    resident.prepare_failures += 1
    delay = _RETRY.delay(resident.prepare_failures - 1)
    resident.prepare_at = resident.services.clock.monotonic() + delay
    resident.warning(reason, message)
    for container in names_in_order(resident.pod):
        resident.live(container.name).waiting = (waiting, message)
    log.warning("pod not prepared", extra={"pod": resident.key, "reason": reason, "error": message})


def _pull_failed(resident: Resident, error: ImageError) -> None:
    _failed(resident, "Failed", str(error), "ErrImagePull")
    resident.prepare_at = resident.services.clock.monotonic() + restart_delay(resident.prepare_failures)
    if resident.prepare_failures > 1:
        for live in resident.containers.values():
            live.waiting = ("ImagePullBackOff", live.waiting[1])
