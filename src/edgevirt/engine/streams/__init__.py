"""Connections that leave HTTP behind: taking a connection over from the HTTP server, and SPDY/3.1 on it.

SPDY is what Kubernetes clients speak for exec, attach and port-forward before they learned websockets; nobody
else speaks it any more, and no library for it is kept alive. Frames and session are pure (bytes in, bytes
out); only `connection` waits for anything.
"""
