"""lightkube: typed objects, server-side apply, patches, waits, watches, pages, generic resources, logs."""

import asyncio
import sys
import threading

from lightkube import ApiError, AsyncClient, Client, codecs
from lightkube.generic_resource import create_namespaced_resource, load_in_cluster_generic_resources
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import CascadeType, PatchType

namespace, image = sys.argv[1:]
client = Client(namespace=namespace, field_manager="lightkube")


def config_map(name, **data):
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"app": "light"}), data=data)


assert client.create(config_map("a", x="1")).metadata.uid
try:
    client.create(config_map("a"))
except ApiError as error:
    assert (error.status.code, error.status.reason) == (409, "AlreadyExists")
else:
    raise AssertionError("made twice")
assert client.patch(ConfigMap, "a", {"data": {"y": "2"}}).data == {"x": "1", "y": "2"}
assert client.patch(ConfigMap, "a", {"data": {"x": None}}, patch_type=PatchType.MERGE).data == {"y": "2"}
assert client.apply(config_map("b", k="v")).data == {"k": "v"}
try:
    client.apply(config_map("b", k="w"), field_manager="other")
except ApiError as error:
    assert error.status.code == 409
    assert error.status.details.causes[0].field == ".data.k"
else:
    raise AssertionError("no conflict")
assert client.apply(config_map("b", k="w"), field_manager="other", force=True).data == {"k": "w"}
for number in range(6):
    client.create(config_map(f"page-{number}"))
assert len(list(client.list(ConfigMap, labels={"app": "light"}, chunk_size=3))) == 8
assert len(list(client.list(ConfigMap, namespace="*", labels={"app": "light"}))) >= 8
assert [m.metadata.name for m in client.list(ConfigMap, fields={"metadata.name": "b"})] == ["b"]

timer = threading.Timer(0.3, client.patch, (ConfigMap, "a", {"data": {"z": "3"}}))
timer.start()
for event, found in client.watch(ConfigMap, fields={"metadata.name": "a"}, server_timeout=30):
    if event == "MODIFIED" and (found.data or {}).get("z") == "3":
        break
client.deletecollection(ConfigMap)
assert list(client.list(ConfigMap, labels={"app": "light"})) == []

pod = Pod(
    metadata=ObjectMeta(name="p"),
    spec=PodSpec(
        containers=[Container(name="c", image=image, command=["sh", "-c", "echo hello; exec sleep 1000"])],
        terminationGracePeriodSeconds=0,
    ),
)
client.create(pod)
ready = client.wait(Pod, "p", for_conditions=["Ready"], raise_for_conditions=["Failed"])
assert ready.status.podIP
assert [line.strip() for line in client.log("p", tail_lines=1)] == ["hello"]


async def ran():
    """By the asynchronous client: the other one leaves a thread behind that reads on a closed socket."""
    return await AsyncClient(namespace=namespace).exec(
        "p", command=["sh", "-c", "cat; exit 3"], stdin="typed", stdout=True
    )


done = asyncio.run(ran())
assert (done.stdout, done.exit_code) == ("typed", 3), done
client.delete(Pod, "p", cascade=CascadeType.FOREGROUND, grace_period=0)
assert next(iter(client.list(Node))).status.nodeInfo.kubeletVersion

load_in_cluster_generic_resources(client)
machines = create_namespaced_resource("kubevirt.io", "v1", "VirtualMachine", "virtualmachines")
assert list(client.list(machines)) == []
documents = codecs.load_all_yaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {k: v}\n")
assert client.apply(documents[0]).data == {"k": "v"}
print("done")
