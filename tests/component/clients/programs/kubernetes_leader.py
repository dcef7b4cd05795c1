"""The official Python client's leader election: two candidates, one leader, and its end."""

import os
import sys
import threading

from kubernetes import client, config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

(namespace,) = sys.argv[1:]
config.load_kube_config()
for kind in (ConfigMapLock, LeaseLock):
    leads = threading.Event()
    elected = []

    def candidate(name, kind=kind, leads=leads, elected=elected):
        def lead():
            elected.append(name)
            leads.set()

        leaderelection.LeaderElection(
            electionconfig.Config(
                kind("election", namespace, name),
                lease_duration=4,
                renew_deadline=3,
                retry_period=1,
                onstarted_leading=lead,
                onstopped_leading=None,
            )
        ).run()

    for name in ("one", "two"):
        threading.Thread(target=candidate, args=(name,), daemon=True).start()
    assert leads.wait(20), kind
    assert len(elected) == 1, elected
lease = client.CoordinationV1Api().read_namespaced_lease("election", namespace)
assert lease.spec.holder_identity == elected[0]
assert lease.spec.renew_time.tzinfo
print("done", flush=True)
os._exit(0)  # the candidates go on in threads and print; nobody can end them
