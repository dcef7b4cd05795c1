"""The store: revisions of objects in SQLite, in memory for reading, in a log for watching.

`Store` is the whole interface; `errors` says what can go wrong. The store knows keys and bytes, nothing of
Kubernetes objects.
"""
