"""Which services a change of a pod concerns: those whose selector finds it, as it was or as it is now."""

from __future__ import annotations

from edgevirt.api.core import Pod, Service
from edgevirt.engine.controllers.services.backends import is_ours, matches
from edgevirt.engine.controllers.surroundings import Desk
from edgevirt.engine.controllers.workloads import pod_state
from edgevirt.kube.informer import Informer
from edgevirt.kube.objects import key_text


def follow_pods(desk: Desk, services: Informer[Service], pods: Informer[Pod]) -> None:
    """Reconcile a service when something changes about a pod that its endpoints show."""

    def changed(old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and view(old) == view(new):
            return
        one = new or old
        if one is None:
            return
        for service in desk.here(services, one.metadata.namespace):
            selector = service.spec.selector if service.spec else {}
            if is_ours(service) and any(each is not None and matches(selector, each) for each in (old, new)):
                desk.queue.enqueue(key_text(service))

    pods.add_handler(changed)


def view(pod: Pod) -> tuple[object, ...]:
    """All of a pod that endpoints depend on."""
    status, spec = pod.status, pod.spec
    return (
        pod.metadata.labels,
        status.pod_ip if status else "",
        pod_state.phase(pod) in pod_state.ENDED,
        pod_state.is_ready(pod),
        pod_state.is_terminating(pod),
        (spec.node_name, spec.hostname, spec.subdomain) if spec else (),
    )
