"""Controllers of the workload kinds: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob.

None of this is imported before the first object of one of these kinds appears (`engine.controllers.dormant`),
so a box that runs only machines does not pay for it. Every controller is a pure plan of what is to be done
about one object, given what is there, and a thin part that reads the caches and carries the plan out.
"""
