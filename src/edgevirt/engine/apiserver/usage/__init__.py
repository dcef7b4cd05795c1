"""The resource metrics API (metrics.k8s.io), as a metrics server answers it, without a metrics server.

Kubelets publish counters; a rate needs two readings. They are taken when somebody asks, and the latest is
kept for the next question, so that nothing is measured, stored or awake while nobody looks.
"""
