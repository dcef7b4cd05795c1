"""Exec, attach and port-forward: what the kubelet answers on upgraded connections, SPDY and websockets.

A client's connection becomes a `Remote` (remote command) or pairs of streams (port-forward), whatever
protocol it speaks; the rest does not know which one it was. Each request's processes, sockets and buffers end
with it.
"""
