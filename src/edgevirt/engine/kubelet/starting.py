"""Starting a container of a prepared pod, and what is told and noted when that does not succeed.

The run is written down when its shim exists and before the container's process does, so a kubelet that is
killed in between finds it. A missing object or image is retried less and less often.
"""

from __future__ import annotations

import asyncio
import logging

from edgevirt.api.core import Container, LifecycleHandler
from edgevirt.engine.kubelet import attendance, hooks, refusal, sandbox, stopping, wording
from edgevirt.engine.kubelet import container as containers
from edgevirt.engine.kubelet.container import ConfigError, Launch
from edgevirt.engine.kubelet.fields import UnknownField
from edgevirt.engine.kubelet.oom import OomWatch
from edgevirt.engine.kubelet.processes import Process
from edgevirt.engine.kubelet.references import MissingReference, References
from edgevirt.engine.kubelet.resident import Live, Resident, restart_delay
from edgevirt.engine.kubelet.resources import of_container
from edgevirt.engine.kubelet.runtime import Attempt, StartFailed
from edgevirt.engine.kubelet.volumes.content import BadVolume
from edgevirt.engine.kubelet.volumes.prepare import prepare
from edgevirt.kube.errors import KubeError
from edgevirt.storage.images.errors import ImageError, InvalidImageName
from edgevirt.storage.images.store import Image, PullPolicy

log = logging.getLogger("edgevirt.kubelet")

_MOST_SECONDS = 15.0
"""The longest wait for what is likely to be repaired soon: an object that is missing."""
_PULL_SHOWN = 1.0
"""How long the state shows a failed pull before it shows that the next one is waited for."""


class NeverPulled(Exception):
    """The image is not here and the pod says not to fetch it."""


async def start(resident: Resident, container: Container) -> None:
    """Start the container's next run and attend it, or note why it did not start and when to try again."""
    services, name = resident.services, container.name
    begun = services.clock.monotonic()
    record, live = resident.record.container(name), resident.live(name)
    context = resident.context()
    try:
        if refused := refusal.ephemeral_refusals(resident.pod, name):
            raise ConfigError("; ".join(refused))
        processes = _processes_for(resident, name)
        if not resident.volumes and resident.pod.spec and resident.pod.spec.volumes:
            resident.volumes = dict(await prepare(context, services.images))
        image = await _image(resident, container, context.references)
        services.images.hold(image, resident.uid)
    except (ImageError, NeverPulled) as error:
        _pull_failed(resident, container, error)
        return
    except (ConfigError, BadVolume, MissingReference, UnknownField, KubeError, OSError) as error:
        _failed(resident, container, "CreateContainerConfigError", str(error))
        return
    if record.exit:
        record.last_exit = record.exit
    launch = Launch(
        resident.pod,
        container,
        context.references,
        resident.volumes,
        resident.record.addresses,
        processes,
    )
    number = record.attempt + 1
    attempt = resident.attempt(name, number)
    group = resident.cgroup

    def on_shim(shim: Process) -> None:
        group.adopt_shim(shim.pid)
        record.attempt, record.container_id, record.exit = number, attempt.id, None
        record.shim_pid, record.shim_start = shim.pid, shim.start
        record.started_at = resident.now()
        record.image, record.image_id = image.name, image.id
        wanted = container.lifecycle.stop_signal if container.lifecycle else ""
        record.stop_signal = wanted or image.config.stop_signal
        resident.save()

    limit = of_container(container.resources).memory
    await services.blocking(group.create_container, attempt.child, limit)
    oom = OomWatch(group, attempt.child)
    try:
        await containers.start(services, launch, image, number, on_shim)
    except asyncio.CancelledError:
        # The pod is to end. If its shim was told to go, it goes on: who stops it must see its end.
        if (shim := record.shim) and record.attempt == number and resident.tasks:
            attendance.attend(resident, container, attempt, shim, oom)
        else:
            oom.close()
        raise
    except BaseException as error:
        if _refused(resident, container, attempt, error):
            oom.close()
            return
        if record.attempt == number and record.shim:  # cancelled: it may run, or still begin to
            attendance.attend(resident, container, attempt, record.shim, oom)
        else:
            oom.close()
        raise
    live.failures = 0
    shim = record.shim
    assert shim
    resident.normal("Created", "Container created", name)
    resident.normal("Started", "Container started", name)
    hook = container.lifecycle.post_start if container.lifecycle else None
    attendance.attend(resident, container, attempt, shim, oom, hook=hook is not None)
    resident.spent[f"start {name}"] = services.clock.monotonic() - begun
    log.info(
        "container started",
        extra={"pod": resident.key, "container": name, "seconds": dict(resident.spent)},
    )
    if hook:
        await _post_start(resident, container, attempt, hook)


async def _post_start(
    resident: Resident, container: Container, attempt: Attempt, hook: LifecycleHandler
) -> None:
    """Run the hook; only then the container counts as running. One that fails ends the run."""
    live = resident.live(container.name)
    try:
        await hooks.run(resident, container, attempt, hook)
    except hooks.HookFailed as error:
        resident.hook_failed("PostStart", container, str(error))
        await stopping.give_up(resident, container)
        if live.waiting[0] != "CrashLoopBackOff":
            live.waiting = ("PostStartHookError", str(error))
        resident.noticed()
    else:
        if not live.ended.is_set():
            attendance.hook_done(resident, container, attempt)


def _processes_for(resident: Resident, name: str) -> str:
    """The pid namespace a container joins: the one of the container it is to look into, which must run."""
    target = containers.target_of(resident.pod, name)
    if not target:
        return ""
    record = resident.record.containers.get(target)
    init = resident.attempt(target).init() if record and record.running else None
    if init is None:
        raise ConfigError(f"target container {target!r} is not running")
    return f"/proc/{init.pid}/ns/pid"


async def _image(resident: Resident, container: Container, references: References) -> Image:
    images, name = resident.services.images, container.name
    policy = containers.pull_policy(container)
    present = images.resolve(container.image)
    if present is not None and (present.local or policy is not PullPolicy.ALWAYS):
        if present.host is None:
            told = f'Container image "{container.image}" already present on machine'
            resident.normal("Pulled", f"{told} and can be accessed by the pod", name)
        return present
    if policy is PullPolicy.NEVER:
        raise NeverPulled(f'Container image "{container.image}" is not present with pull policy of Never')
    resident.normal("Pulling", f'Pulling image "{container.image}"', name)
    begun = resident.services.clock.monotonic()
    image = await images.pull(container.image, await references.pull_secrets())
    took = wording.duration(resident.services.clock.monotonic() - begun)
    told = f'Successfully pulled image "{container.image}" in {took} ({took} including waiting).'
    resident.normal("Pulled", f"{told} Image size: {image.size} bytes.", name)
    return image


def _refused(resident: Resident, container: Container, attempt: Attempt, error: BaseException) -> bool:
    """Write down why a container could not be started; False for an error that is not about it."""
    if isinstance(error, StartFailed):
        record = resident.record.container(container.name)
        record.attempt, record.started_at = int(attempt.directory.name), resident.now()
        resident.warning("Failed", f"Error: failed to start container: {error}", container.name)
        attendance.ended(resident, container, attempt, failure=str(error))
        if not sandbox.complete(resident.services, resident.pod):
            resident.sandbox_changed()
        return True
    if isinstance(error, (ConfigError, MissingReference, UnknownField, KubeError, ValueError)):
        reason = "CreateContainerConfigError"
    elif isinstance(error, (BadVolume, OSError)):
        reason = "CreateContainerError"
    else:
        return False
    containers.finish(resident.services, resident.cgroup, attempt)
    _failed(resident, container, reason, str(error))
    return True


def _pull_failed(resident: Resident, container: Container, error: Exception) -> None:
    name, image, clock = container.name, container.image, resident.services.clock
    live = resident.live(name)
    live.failures += 1
    live.retry_at = clock.monotonic() + restart_delay(live.failures)
    if isinstance(error, InvalidImageName):
        text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {error}'
        live.waiting = ("InvalidImageName", text)
        resident.warning("InspectFailed", text, name)
    elif isinstance(error, NeverPulled):
        live.waiting = ("ErrImageNeverPull", str(error))
        resident.warning("ErrImageNeverPull", str(error), name)
    else:
        live.waiting = ("ErrImagePull", str(error))
        resident.warning("Failed", f'Failed to pull image "{image}": {error}', name)
        clock.call_later(_PULL_SHOWN, lambda: _back_off(resident, container, live, live.waiting[1]))
    resident.warning("Failed", f"Error: {live.waiting[0]}", name)
    resident.urgent.set()
    resident.report.set()


def _back_off(resident: Resident, container: Container, live: Live, error: str) -> None:
    """Say that the next pull is being waited for, if it still is."""
    if live.waiting != ("ErrImagePull", error) or live.retry_at <= resident.services.clock.monotonic():
        return
    told = f'Back-off pulling image "{container.image}"'
    live.waiting = ("ImagePullBackOff", f"{told}: ErrImagePull: {error}")
    resident.normal("BackOff", told, container.name)
    resident.warning("Failed", "Error: ImagePullBackOff", container.name)
    resident.report.set()


def _failed(resident: Resident, container: Container, reason: str, message: str) -> None:
    live = resident.live(container.name)
    live.failures += 1
    delay = min(restart_delay(live.failures), _MOST_SECONDS)
    live.retry_at = resident.services.clock.monotonic() + delay
    live.waiting = (reason, message)
    resident.warning("Failed", f"Error: {message}", container.name)
    log.warning(
        "container not started",
        extra={"pod": resident.key, "container": container.name, "error": message},
    )
    resident.urgent.set()
