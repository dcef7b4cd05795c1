"""Pods of the clients' tests; their image is busybox, imported into the instance under test."""

from __future__ import annotations

from typing import Any

from client_process import Object

IMAGE = "localhost/busybox"
SERVER = (
    "echo started; echo problem >&2; mkdir -p /tmp/www; echo hello >/tmp/www/index.html;"
    " exec httpd -f -p 8080 -h /tmp/www"
)
"""A script that prints to both streams and serves a page at 8080."""


def pod(name: str, *command: str, **spec: Any) -> Object:
    container = {"name": "main", "image": IMAGE, "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }
