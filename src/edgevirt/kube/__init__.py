"""Talking to any Kubernetes API: client, informer, work queue, controller loop, leader election, events.

Nothing here knows which engine answers. Reads are typed by `edgevirt.api.meta.Resource`; writes are
patches. All waiting goes through `edgevirt.kube.clock`, so that every retry and expiry can be tested in
virtual time.
"""
