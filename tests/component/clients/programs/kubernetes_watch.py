"""The official Python client's watch: from a list on, resumed from a revision, and one that is too old."""

import sys
import threading

from kubernetes import client, config, watch

(namespace,) = sys.argv[1:]
config.load_kube_config()
core = client.CoreV1Api()


def create(name):
    meta = client.V1ObjectMeta(name=name, labels={"app": "watched"})
    return core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=meta))


def stream(version, count):
    """The next `count` events after `version`, and the revision to go on from."""
    found, watching = [], watch.Watch()
    for event in watching.stream(
        core.list_namespaced_config_map,
        namespace,
        label_selector="app=watched",
        resource_version=version,
        timeout_seconds=30,
    ):
        found.append((event["type"], event["object"].metadata.name))
        if len(found) == count:
            watching.stop()
    return found, watching.resource_version


create("a")
listed = core.list_namespaced_config_map(namespace, label_selector="app=watched")
assert [item.metadata.name for item in listed.items] == ["a"]
create("b")
core.patch_namespaced_config_map("a", namespace, {"data": {"x": "1"}})
core.patch_namespaced_config_map("b", namespace, {"metadata": {"labels": {"app": "other"}}})
events, version = stream(listed.metadata.resource_version, 3)
assert events == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")], events
threading.Timer(0.2, create, ("c",)).start()
events, version = stream(version, 1)
assert events == [("ADDED", "c")], events
core.delete_namespaced_config_map("c", namespace)
events, _ = stream(version, 1)
assert events == [("DELETED", "c")], events
every, _ = stream("0", 1)
assert every == [("ADDED", "a")], every
# One that nobody tells anything ends by itself when its time is over, and is no error.
quiet = watch.Watch().stream(
    core.list_namespaced_config_map, namespace, label_selector="app=none", timeout_seconds=1
)
assert list(quiet) == []
print("done")
