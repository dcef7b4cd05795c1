"""ResourceQuota: what objects use, which quotas that concerns, and what is left. All pure.

Admission charges objects before they are stored (`charge`); the quota controller counts what is there
(`usage`). Both must count alike, so the rules are here, once. Names of resources, scopes and messages are
Kubernetes' own.
"""
