"""The embedded API server: Kubernetes' REST API on a SQLite store, in one asyncio process."""
