"""What is answered by a node or within a pod: logs, exec, attach, port-forward, proxies."""
