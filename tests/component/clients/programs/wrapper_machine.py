"""openshift-python-wrapper: a VirtualMachine made, waited for, edited and deleted by its own classes."""

import os
import sys

from ocp_resources.config_map import ConfigMap
from ocp_resources.namespace import Namespace
from ocp_resources.pod import Pod
from ocp_resources.resource import ResourceEditor, get_client
from ocp_resources.virtual_machine import VirtualMachine
from timeout_sampler import TimeoutSampler

(namespace,) = sys.argv[1:]
client = get_client(config_file=os.environ["KUBECONFIG"])
assert Namespace(name=namespace, client=client).exists

with ConfigMap(name="a", namespace=namespace, data={"x": "1"}, client=client) as settings:
    assert settings.instance.data.x == "1"
    with ResourceEditor({settings: {"data": {"x": "2"}}}):
        assert settings.instance.data.x == "2"
    assert settings.instance.data.x == "1"
assert not settings.exists

body = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "vm", "namespace": namespace},
    "spec": {
        "runStrategy": "Halted",
        "template": {
            "spec": {
                # No node has this label: the machine is scheduled, but no guest is started.
                "nodeSelector": {"nowhere": "yes"},
                "domain": {"devices": {}, "resources": {"requests": {"memory": "128Mi"}}},
            }
        },
    },
}
machine = VirtualMachine(name="vm", namespace=namespace, client=client, body=body)
machine.deploy()


def until(status):
    for shown in TimeoutSampler(wait_timeout=30, sleep=0.2, func=lambda: machine.printable_status):
        if shown == status:
            return


until(VirtualMachine.Status.STOPPED)
assert not machine.ready
assert [found.name for found in VirtualMachine.get(client=client, namespace=namespace)] == ["vm"]
ResourceEditor({machine: {"metadata": {"labels": {"color": "red"}}}}).update()
assert machine.labels.color == "red"
machine.start()
until(VirtualMachine.Status.ERROR_UNSCHEDULABLE)
assert machine.vmi.exists
assert [pod.name.startswith("virt-launcher-vm-") for pod in Pod.get(client=client, namespace=namespace)] == [
    True
]
machine.stop(vmi_delete_timeout=30)
until(VirtualMachine.Status.STOPPED)
assert machine.clean_up(timeout=30)
assert not machine.exists
print("done")
