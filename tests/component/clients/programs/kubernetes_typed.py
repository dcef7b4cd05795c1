"""The official Python client, its typed classes: objects' life, pages, patches, errors, logs, reviews."""

import datetime
import os
import sys

import yaml
from kubernetes import client, config, utils, watch

namespace, image = sys.argv[1:]
config.load_kube_config()
api = client.ApiClient()
core = client.CoreV1Api(api)


def refused(status, reason, call, *arguments, **options):
    """The server's answer to a call that must fail."""
    try:
        call(*arguments, **options)
    except client.ApiException as error:
        assert error.status == status, (error.status, error.body)
        body = yaml.safe_load(error.body)
        assert body["reason"] == reason, body
        return body
    raise AssertionError(f"{call.__name__} was not refused")


def config_map(name, **data):
    meta = client.V1ObjectMeta(name=name, labels={"app": "typed"})
    return client.V1ConfigMap(metadata=meta, data=data)


version = client.VersionApi(api).get_code()
assert int(version.minor) >= 20, version
assert any(group.name == "kubevirt.io" for group in client.ApisApi(api).get_api_versions().groups)

made = core.create_namespaced_config_map(namespace, config_map("a", x="1"))
assert made.metadata.uid
assert made.metadata.creation_timestamp.tzinfo
refused(409, "AlreadyExists", core.create_namespaced_config_map, namespace, config_map("a"))
invalid = refused(422, "Invalid", core.create_namespaced_config_map, namespace, config_map("A_B"))
assert invalid["details"]["causes"][0]["field"] == "metadata.name"
refused(404, "NotFound", core.read_namespaced_config_map, "none", namespace)
patched = core.patch_namespaced_config_map("a", namespace, {"data": {"y": "2"}})
assert patched.data == {"x": "1", "y": "2"}
by_json = [{"op": "remove", "path": "/data/x"}]
assert core.patch_namespaced_config_map("a", namespace, by_json).data == {"y": "2"}
made.data = {"x": "stale"}
refused(409, "Conflict", core.replace_namespaced_config_map, "a", namespace, made)
current = core.read_namespaced_config_map("a", namespace)
current.data = {"x": "fresh"}
assert core.replace_namespaced_config_map("a", namespace, current).data == {"x": "fresh"}
dry = core.create_namespaced_config_map(namespace, config_map("dry"), dry_run="All")
assert dry.metadata.uid
refused(404, "NotFound", core.read_namespaced_config_map, "dry", namespace)

for number in range(5):
    core.create_namespaced_config_map(namespace, config_map(f"page-{number}"))
seen, token, pages = [], None, 0
while True:
    page = core.list_namespaced_config_map(namespace, limit=2, _continue=token, label_selector="app=typed")
    seen += [item.metadata.name for item in page.items]
    pages, token = pages + 1, page.metadata._continue
    if not token:
        break
assert seen == ["a", *(f"page-{number}" for number in range(5))], seen
assert pages == 3
core.delete_collection_namespaced_config_map(namespace, label_selector="app=typed")
assert core.list_namespaced_config_map(namespace, label_selector="app=typed").items == []

secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"}, type="Opaque")
assert core.create_namespaced_secret(namespace, secret).data == {"k": "dg=="}

pod = client.V1Pod(
    metadata=client.V1ObjectMeta(name="p"),
    spec=client.V1PodSpec(
        restart_policy="Never",
        containers=[client.V1Container(name="c", image=image, command=["echo", "hello"])],
    ),
)
core.create_namespaced_pod(namespace, pod)
for event in watch.Watch().stream(
    core.list_namespaced_pod, namespace, field_selector="metadata.name=p", timeout_seconds=60
):
    if event["object"].status.phase == "Succeeded":
        break
else:
    raise AssertionError("the pod did not succeed")
assert core.read_namespaced_pod_log("p", namespace) == "hello\n"
core.delete_namespaced_pod("p", namespace, grace_period_seconds=0)
nodes = core.list_node().items
assert nodes[0].status.node_info.kubelet_version
assert {condition.type for condition in nodes[0].status.conditions} >= {"Ready"}

account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot"))
core.create_namespaced_service_account(namespace, account)
request = client.AuthenticationV1TokenRequest(
    spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
)
token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
other = client.Configuration.get_default_copy()
other.cert_file = other.key_file = None
other.api_key = {"authorization": token}
other.api_key_prefix = {"authorization": "Bearer"}
robot = client.CoreV1Api(client.ApiClient(other))
forbidden = refused(403, "Forbidden", robot.list_namespaced_secret, namespace)
assert f"system:serviceaccount:{namespace}:robot" in forbidden["message"]
review = client.V1SelfSubjectAccessReview(
    spec=client.V1SelfSubjectAccessReviewSpec(
        resource_attributes=client.V1ResourceAttributes(namespace=namespace, verb="list", resource="pods")
    )
)
assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed

documents = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "yaml"}, "data": {"k": "v"}},
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
]
utils.create_from_yaml(api, yaml_objects=documents, namespace=namespace)
rules = client.RbacAuthorizationV1Api(api).read_namespaced_role("r", namespace).rules
assert rules[0].resources == ["pods"]

newer = client.EventsV1Api(api)
moment = datetime.datetime.now(datetime.UTC)
happened = client.EventsV1Event(
    metadata=client.V1ObjectMeta(name="happened"),
    event_time=moment,
    regarding=client.V1ObjectReference(kind="ConfigMap", namespace=namespace, name="yaml"),
    reporting_controller="example.com/test",
    reporting_instance="one",
    action="Test",
    reason="Happened",
    note="it did",
    type="Normal",
)
assert newer.create_namespaced_event(namespace, happened).note == "it did"
seen = core.list_namespaced_event(namespace, field_selector="involvedObject.name=yaml").items
assert [(e.message, e.reporting_component, e.event_time) for e in seen] == [
    ("it did", "example.com/test", moment)
]
by_new_name = newer.list_namespaced_event(namespace, field_selector="regarding.name=yaml").items
assert [e.metadata.name for e in by_new_name] == ["happened"]
for event in watch.Watch().stream(newer.list_namespaced_event, namespace, timeout_seconds=20):
    if event["object"].metadata.name == "happened":
        assert event["object"].regarding.name == "yaml"
        break
again = {"series": {"count": 2, "lastObservedTime": moment.isoformat(timespec="microseconds")}}
assert newer.patch_namespaced_event("happened", namespace, again).series.count == 2
lacking = client.EventsV1Event(metadata=client.V1ObjectMeta(name="lacking"), event_time=moment, type="Normal")
causes = refused(422, "Invalid", newer.create_namespaced_event, namespace, lacking)["details"]["causes"]
assert {cause["field"] for cause in causes} >= {"action", "reason", "reportingController"}, causes
newer.delete_namespaced_event("happened", namespace)
refused(404, "NotFound", core.read_namespaced_event, "happened", namespace)

custom = client.CustomObjectsApi(api)
machines = custom.list_namespaced_custom_object("kubevirt.io", "v1", namespace, "virtualmachines")
assert machines["kind"] == "VirtualMachineList"
definition = client.ApiextensionsV1Api(api).read_custom_resource_definition("virtualmachines.kubevirt.io")
assert definition.spec.names.kind == "VirtualMachine"
assert {c.type for c in definition.status.conditions} >= {"Established", "NamesAccepted"}
os.write(1, b"done\n")
