"""The embedded API server: Kubernetes' REST API on a SQLite store, in one asyncio process.

A request comes in by `http`, which asks `auth` who and whether, and runs the verb: `reading` or `writing`, or
`nodes` for what happens in a pod, or `aggregation` for what another server answers. `writing` asks the kind's
`schema`, its strategy in `kinds`, and `admission`, and commits to `edgevirt.engine.store`. The modules at the
top are what all of them share: the registry of resources, errors, names, and the seams in `extension`, by
which authentication, admission and aggregation can be absent or replaced in tests. `server` puts it together.
"""
