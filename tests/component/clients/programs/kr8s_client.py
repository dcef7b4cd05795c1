"""kr8s: objects, patches, scale, waits, watches, logs, port-free tools and custom kinds."""

import sys

import kr8s
from kr8s.objects import ConfigMap, Namespace, Pod, new_class

namespace, image = sys.argv[1:]
api = kr8s.api(namespace=namespace)
assert api.version()["major"] == "1"
assert api.whoami()
assert any(resource["name"] == "virtualmachines" for resource in api.api_resources())
assert Namespace.get(namespace).status.phase == "Active"

made = ConfigMap(
    {"metadata": {"name": "a", "namespace": namespace, "labels": {"app": "kr8s"}}, "data": {"x": "1"}}
)
made.create()
assert made.exists()
made.patch({"data": {"y": "2"}})
assert made.data == {"x": "1", "y": "2"}
made.label(color="red")
made.annotate({"note": "text"})
assert [m.name for m in kr8s.get("configmaps", namespace=namespace, label_selector={"color": "red"})] == ["a"]
assert [m.name for m in kr8s.get("cm", namespace=namespace, field_selector={"metadata.name": "a"})] == ["a"]
assert [m.name for m in kr8s.get("configmaps", "a", namespace=namespace, allow_unknown_type=False)] == ["a"]
made.patch([{"op": "remove", "path": "/data/x"}], type="json")
made.refresh()
assert made.data == {"y": "2"}
try:
    ConfigMap.get("none", namespace=namespace, timeout=1)
except kr8s.NotFoundError:
    pass
else:
    raise AssertionError("found")

pod = Pod(
    {
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "c", "image": image, "command": ["sh", "-c", "echo hello; exec sleep 1000"]}
            ],
        },
    }
)
pod.create()
pod.wait("condition=Ready", timeout=60)
assert pod.ready()
assert list(pod.logs()) == ["hello"]
ran = pod.exec(["sh", "-c", "echo out; echo err >&2"])
assert (ran.stdout, ran.stderr, ran.returncode) == (b"out\n", b"err\n", 0)
for event, found in kr8s.watch("pods", namespace=namespace, field_selector={"metadata.name": "p"}):
    assert (event, found.name) == ("ADDED", "p")
    break
pod.delete()
pod.wait("delete", timeout=60)
machine = new_class("VirtualMachine", "kubevirt.io/v1", namespaced=True)
assert list(kr8s.get(machine, namespace=namespace)) == []
made.delete()
assert not made.exists()
print("done")
