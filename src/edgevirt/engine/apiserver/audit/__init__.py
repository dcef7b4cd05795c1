"""The audit log: who asked for what, when, and what came of it, as audit.k8s.io/v1 events.

A policy decides per request how much is written (`policy`), an event is made from the trail of the request
(`events`), and a thread writes lines of JSON and turns files over (`log`). Serving never waits for the disk:
what the thread cannot keep up with is dropped and counted. Without a policy nothing of this exists.
"""

from edgevirt.engine.apiserver.audit.audit import Audit
from edgevirt.engine.apiserver.audit.log import AuditLog, LogSettings
from edgevirt.engine.apiserver.audit.policy import WORDS, Level, Policy, PolicyError, Stage, load

__all__ = ["WORDS", "Audit", "AuditLog", "Level", "LogSettings", "Policy", "PolicyError", "Stage", "load"]
