"""Pods from first sight to the last trace, with the real runtime, network and control groups."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edgevirt.engine.kubelet.pod import PodWorker

from .conftest import HOST_IMAGE, Node, manifest
from .container_output import output, said

pytestmark = pytest.mark.component


async def test_pod_runs_gets_an_address_and_leaves_nothing(node: Node) -> None:
    pod = node.api.add(manifest("one", "sleep", "1000"))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    status = node.api.status(pod)
    assert status.pod_ip.startswith("10.199.")
    assert {c.type: c.status for c in status.conditions}["Ready"] == "True"
    assert status.container_statuses[0].state.running.started_at
    assert len(node.api.patches) == 1, "one status write until Running"
    node.api.ask_deletion(pod, 0)
    await node.api.gone(pod)
    assert {k: v for k, v in node.leftovers().items() if v} == {}


async def test_exit_code_and_last_words_reach_the_status(node: Node) -> None:
    pod = node.api.add(manifest("ends", "sh", "-c", "echo bye > /dev/termination-log; exit 7"))
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    end = node.api.status(pod).container_statuses[0].state.terminated
    assert (end.exit_code, end.reason, end.message) == (7, "Error", "bye\n")


async def test_command_that_does_not_exist_is_a_start_error(node: Node) -> None:
    pod = node.api.add(manifest("nowhere", "/no/such/program"))
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    end = node.api.status(pod).container_statuses[0].state.terminated
    assert (end.exit_code, end.reason) == (128, "StartError")
    assert "/no/such/program" in end.message


async def test_init_containers_run_in_order_and_a_sidecar_ends_last(node: Node) -> None:
    share = [{"name": "share", "mountPath": "/share"}]
    spec = manifest("order", "sh", "-c", "cat /share/log; echo main", container={"volumeMounts": share})
    image = "localhost/busybox"
    spec["spec"]["initContainers"] = [
        {"name": "a", "image": image, "command": ["sh", "-c", "echo a >> /share/log"], "volumeMounts": share},
        {"name": "side", "image": image, "command": ["sleep", "1000"], "restartPolicy": "Always"},
        {"name": "b", "image": image, "command": ["sh", "-c", "echo b >> /share/log"], "volumeMounts": share},
    ]
    spec["spec"]["volumes"] = [{"name": "share", "emptyDir": {}}]
    spec["spec"]["terminationGracePeriodSeconds"] = 0
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "a\nb\nmain\n"
    assert node.api.status(pod).init_container_statuses[1].state.terminated


async def test_config_maps_secrets_tokens_and_fields_arrive(node: Node) -> None:
    node.put("thing", colour="blue", file="content")
    container = {
        "env": [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "thing", "key": "colour"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "thing", "key": "colour"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "BOTH", "value": "$(COLOUR)-$(SECRET)-$$(COLOUR)"},
        ],
        "args": ["-c", "echo $BOTH $FROM_IMAGE; cat /c/file /s/file /t/token /d/name; ls -ln /s/..data/"],
        "volumeMounts": [
            {"name": "c", "mountPath": "/c"},
            {"name": "s", "mountPath": "/s"},
            {"name": "t", "mountPath": "/t"},
            {"name": "d", "mountPath": "/d"},
        ],
    }
    spec = manifest("data", "sh", container=container)
    spec["spec"]["volumes"] = [
        {"name": "c", "configMap": {"name": "thing"}},
        {"name": "s", "secret": {"secretName": "thing", "defaultMode": 0o400}},
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {
            "name": "d",
            "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]},
        },
    ]
    spec["spec"]["securityContext"] = {"fsGroup": 4321}
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    text = await output(node, pod)
    assert text.startswith("blue-blue-$(COLOUR) yes\ncontentcontentthe-tokendata")
    assert "-r--r-----" in text
    assert "4321" in text


async def test_missing_config_map_is_named_and_waited_for(node: Node) -> None:
    variables = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "a"}}}]
    pod = node.api.add(manifest("waits", "true", container={"env": variables}))
    await node.api.until(lambda: node.api.status(pod))
    waiting = node.api.status(pod).container_statuses[0].state.waiting
    assert waiting.reason == "CreateContainerConfigError"
    assert waiting.message == 'configmap "later" not found'


async def test_security_context_is_applied(node: Node) -> None:
    security = {
        "runAsUser": 107,
        "runAsGroup": 107,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    command = "id -u; id -G; cat /proc/self/status; echo x > /etc/x"
    spec = manifest("secure", "sh", "-c", command, container={"securityContext": security})
    spec["spec"]["securityContext"] = {"supplementalGroups": [55], "fsGroup": 107}
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    text = await output(node, pod)
    assert text.startswith("107\n107 55\n")
    assert "NoNewPrivs:\t1" in text
    assert "CapBnd:\t0000000000000000" in text
    assert "Read-only file system" in text


async def test_sub_path_cannot_leave_its_volume(node: Node) -> None:
    share = {"name": "share", "mountPath": "/share"}
    spec = manifest(
        "escape",
        "cat",
        "/x/shadow",
        container={"volumeMounts": [{**share, "mountPath": "/x", "subPath": "link"}]},
    )
    spec["spec"]["initContainers"] = [
        {
            "name": "plant",
            "image": "localhost/busybox",
            "command": ["sh", "-c", "busybox ln -s /etc /share/link"],
            "volumeMounts": [share],
        }
    ]
    spec["spec"]["initContainers"][0]["command"][2] = "/bin/busybox ln -s /etc /share/link"
    spec["spec"]["volumes"] = [{"name": "share", "emptyDir": {}}]
    pod = node.api.add(spec)
    await node.api.until(
        lambda: (
            node.api.status(pod)
            and node.api.status(pod).container_statuses[0].state.waiting
            and node.api.status(pod).container_statuses[0].state.waiting.reason == "CreateContainerError"
        )
    )
    assert "subPath 'link'" in node.api.status(pod).container_statuses[0].state.waiting.message


async def test_memory_limit_kills_and_says_so(node: Node) -> None:
    limit = {"limits": {"memory": "16Mi"}}
    command = "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"
    pod = node.api.add(manifest("hungry", "sh", "-c", command, container={"resources": limit}))
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    end = node.api.status(pod).container_statuses[0].state.terminated
    assert (end.exit_code, end.reason) == (137, "OOMKilled")


async def test_crashing_container_is_restarted_then_backed_off(node: Node) -> None:
    pod = node.api.add(manifest("crash", "false", restartPolicy="Always"))
    await node.api.until(
        lambda: (
            node.api.status(pod)
            and node.api.status(pod).container_statuses[0].state.waiting
            and node.api.status(pod).container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
        )
    )
    status = node.api.status(pod).container_statuses[0]
    assert status.restart_count == 1
    assert status.last_state.terminated.exit_code == 1 or status.restart_count


async def test_deletion_gives_the_container_its_grace(node: Node) -> None:
    command = "trap 'exit 3' TERM; echo up; while true; do sleep 0.05; done"
    pod = node.api.add(manifest("polite", "sh", "-c", command))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await said(node, pod, "up")
    begun = time.monotonic()
    node.api.ask_deletion(pod, 20)
    await node.api.gone(pod)
    assert time.monotonic() - begun < 5
    assert node.api.patches[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


async def test_forced_deletion_cuts_the_grace_short(node: Node) -> None:
    pod = node.api.add(manifest("stubborn", "sleep", "1000"))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    node.api.ask_deletion(pod, 600)
    await node.api.until(lambda: any(r == "Killing" for r, _ in node.events.seen) or True)
    node.api.ask_deletion(pod, 0)
    await node.api.gone(pod)


async def test_restarted_kubelet_takes_over_and_learns_the_exit_code(node: Node) -> None:
    command = "trap 'exit 9' TERM; echo up; while true; do sleep 0.05; done"
    pod = node.api.add(manifest("lives", "sh", "-c", command))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    before = node.api.status(pod).container_statuses[0]
    await said(node, pod, "up")
    await node.restart()
    worker = node.pods.get("default", "lives")
    assert isinstance(worker, PodWorker)
    assert worker.record.containers["main"].container_id == before.container_id.rpartition("/")[2]
    assert worker.record.containers["main"].attempt == 1
    node.api.ask_deletion(pod, 20)
    await node.api.gone(pod)
    assert node.api.patches[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 9


async def test_exit_while_no_kubelet_ran_is_reported(node: Node) -> None:
    pod = node.api.add(
        manifest(
            "short",
            "sh",
            "-c",
            "while [ ! -e /share/go ]; do sleep 0.02; done; exit 5",
            container={"volumeMounts": [{"name": "share", "mountPath": "/share"}]},
            volumes=[{"name": "share", "emptyDir": {}}],
        )
    )
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    worker = node.pods.get("default", "short")
    assert worker
    shim = worker.record.containers["main"].shim
    assert shim
    await node.stop()
    directory = node.settings.pods_dir / pod.metadata.uid
    (directory / "volumes" / "kubernetes.io~empty-dir" / "share" / "go").touch()
    await shim.ended()
    await node.start()
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    assert node.api.status(pod).container_statuses[0].state.terminated.exit_code == 5


async def test_pod_that_vanished_while_no_kubelet_ran_is_cleaned_up(node: Node) -> None:
    pod = node.api.add(manifest("orphan", "sleep", "1000", terminationGracePeriodSeconds=0))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    await node.stop()
    del node.api.pods[("default", "orphan")]
    assert node.leftovers()["mounts"]
    await node.start()
    worker = node.pods.get("default", "orphan")
    assert worker
    while node.pods.all():
        await worker_end(node)
    assert {k: v for k, v in node.leftovers().items() if v} == {}


async def worker_end(node: Node) -> None:

    tasks = [t for t in asyncio.all_tasks() if t.get_name().startswith("pod ")]
    await asyncio.wait(tasks, timeout=20)


async def test_host_image_shows_the_machine_but_not_its_secrets(node: Node) -> None:
    command = "test -x /usr/bin/env && ls -A /root /home && touch /usr/written && echo fine"
    pod = node.api.add(manifest("host", "sh", "-c", command, container={"image": HOST_IMAGE}))
    await node.api.until(lambda: node.api.phase(pod) in ("Succeeded", "Failed"))
    assert await output(node, pod) == "/home:\n\n/root:\nfine\n"
    assert not Path("/usr/written").exists()


async def test_device_of_the_registry_is_given_to_who_asks(node: Node) -> None:
    node.devices.register("example.com/tun", 10, ["/dev/net/tun"])
    limits = {"limits": {"example.com/tun": "1"}}
    pod = node.api.add(
        manifest("device", "sh", "-c", "stat -c %t:%T /dev/net/tun", container={"resources": limits})
    )
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "a:c8\n"


async def test_unsupported_field_is_refused_by_name(node: Node) -> None:
    pod = node.api.add(manifest("refused", "true", hostUsers=False))
    await node.api.until(lambda: node.api.phase(pod) == "Failed")
    assert node.api.status(pod).reason == "UnsupportedPod"
    assert node.api.status(pod).message.startswith("spec.hostUsers: not supported")


async def test_image_that_is_not_here_and_may_not_be_pulled(node: Node) -> None:
    container = {"image": "localhost/absent:1", "imagePullPolicy": "Never"}
    pod = node.api.add(manifest("absent", "true", container=container))
    await node.api.until(lambda: node.api.status(pod))
    assert node.api.status(pod).container_statuses[0].state.waiting.reason == "ErrImageNeverPull"


async def test_exec_probe_decides_readiness(node: Node) -> None:
    probe = {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1}
    command = "sleep 0.3; touch /tmp/ready; sleep 1000"
    command = command.replace("touch", "/bin/busybox touch")
    pod = node.api.add(manifest("probed", "sh", "-c", command, container={"readinessProbe": probe}))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    assert node.api.status(pod).container_statuses[0].ready is False
    await node.api.until(lambda: node.api.status(pod).container_statuses[0].ready)


async def test_host_mount_appears_in_a_running_container(node: Node) -> None:
    mounts = [{"name": "hot", "mountPath": "/hot", "mountPropagation": "HostToContainer"}]
    command = "while [ ! -e /hot/disk/file ]; do sleep 0.02; done; echo seen"
    spec = manifest("hotplug", "sh", "-c", command, container={"volumeMounts": mounts})
    spec["spec"]["volumes"] = [{"name": "hot", "emptyDir": {}}]
    pod = node.api.add(spec)
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    from edgevirt.engine.kubelet import mounts as kernel

    source = node.settings.root_dir / "source"
    source.mkdir()
    (source / "file").touch()
    target = node.settings.pods_dir / pod.metadata.uid / "volumes/kubernetes.io~empty-dir/hot/disk"
    target.mkdir()
    kernel.bind(source, target)
    await node.api.until(lambda: node.api.phase(pod) == "Succeeded")
    assert await output(node, pod) == "seen\n"


async def test_time_from_bind_to_running(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    times = []
    for index in range(5):
        begun = time.monotonic()
        pod = node.api.add(manifest(f"fast{index}", "sleep", "1000"))
        await node.api.until(lambda p=pod: node.api.phase(p) == "Running")
        times.append((time.monotonic() - begun) * 1000)
    with capsys.disabled():
        print("\nbind to Running reported, ms:", [round(t) for t in times])
    assert sorted(times)[len(times) // 2] < 1000


async def test_pod_deleted_before_its_handler_is_set_up_does_not_take_its_whole_grace_period(
    node: Node,
) -> None:
    script = "sleep 0.4; trap 'exit 3' TERM; echo listening; while true; do sleep 0.05; done"
    pod = node.api.add(manifest("deaf", "sh", "-c", script))
    await node.api.until(lambda: node.api.phase(pod) == "Running")
    begun = time.monotonic()
    node.api.ask_deletion(pod, 30)
    await node.api.gone(pod)
    assert time.monotonic() - begun < 10
    ends = [status["containerStatuses"][0]["state"].get("terminated") for status in node.api.patches[1:]]
    assert [end["exitCode"] for end in ends if end][-1] == 3


async def test_pod_deleted_while_its_container_starts_does_not_take_its_whole_grace_period(
    node: Node,
) -> None:
    script = "trap 'exit 0' TERM; while true; do sleep 0.05; done"
    for turn in range(10):
        started = asyncio.Event()
        node.events.told = lambda reason, started=started: started.set() if reason == "Started" else None
        pod = node.api.add(manifest(f"early{turn}", "sh", "-c", script))
        await asyncio.wait_for(started.wait(), 10)
        node.api.ask_deletion(pod, 30)
        await node.api.gone(pod, timeout=10)


async def test_read_only_reaches_what_is_mounted_below_when_wanted(node: Node, tmp_path: Path) -> None:
    from edgevirt.engine.kubelet import mounts as kernel

    place = tmp_path / "place"
    (place / "below").mkdir(parents=True)
    kernel.tmpfs(place / "below", size=1 << 20)
    volumes = [{"name": "place", "hostPath": {"path": str(place)}}]
    mount = {"name": "place", "mountPath": "/place", "readOnly": True}
    command = ("sh", "-c", "touch /place/below/x && echo written; touch /place/y || echo kept")
    try:
        for name, recursive in (("plain", "Disabled"), ("deep", "Enabled")):
            container = {"volumeMounts": [{**mount, "recursiveReadOnly": recursive}]}
            pod = node.api.add(manifest(name, *command, container=container, volumes=volumes))
            await node.api.until(lambda p=pod: node.api.phase(p) == "Succeeded")
            told = node.api.status(pod).container_statuses[0].volume_mounts[0]
            assert told.recursive_read_only == recursive
            lines = (await output(node, pod)).splitlines()
            assert ("written" in lines) is (recursive == "Disabled")
            assert "kept" in lines
            node.api.ask_deletion(pod, 0)
            await node.api.gone(pod)
    finally:
        kernel.unmount(place / "below")
