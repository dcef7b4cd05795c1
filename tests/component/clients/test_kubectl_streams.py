"""kubectl with what happens inside pods: exec, cp, attach, port-forward, proxies and top."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from busybox_pod import IMAGE, pod
from client_process import Kubectl

pytestmark = pytest.mark.component


@pytest.mark.client("kubectl", "exec: streams apart, standard input, exit codes, -c, what is refused")
def test_commands_run_in_pods(web: Kubectl) -> None:
    done = web.run("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 3\n"
    assert web("exec", "-i", "web", "-c", "main", "--", "cat", stdin="typed\n" * 20_000) == "typed\n" * 20_000
    assert "container none is not valid for pod web" in web.fails("exec", "web", "-c", "none", "--", "true")
    assert "not found" in web.fails("exec", "nobody", "--", "true")
    assert "no-such-program" in web.fails("exec", "web", "--", "no-such-program")


@pytest.mark.client("kubectl", "cp: files and directories, both ways")
def test_files_are_copied(web: Kubectl, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "below").mkdir(parents=True)
    (source / "below" / "data").write_bytes(os.urandom(500_000))
    web("cp", source, "web:/tmp/tree")
    web("cp", "web:/tmp/tree", tmp_path / "back")
    assert (tmp_path / "back/below/data").read_bytes() == (source / "below/data").read_bytes()


@pytest.mark.client("kubectl", "attach")
def test_a_running_container_can_be_attached_to(kubectl: Kubectl) -> None:
    script = "echo before; until test -e /tmp/go; do sleep 0.05; done; echo after; sleep 1"
    kubectl.create(pod("chatty", "sh", "-c", script, restartPolicy="Never"))
    kubectl("wait", "pod/chatty", "--for=condition=Ready", "--timeout=60s")
    with kubectl.started("attach", "chatty") as attached:
        if kubectl.modern:
            attached.until("If you don't see a command prompt")
        else:
            kubectl("exec", "chatty", "--", "sleep", "1")  # it says nothing when it is connected
        kubectl("exec", "chatty", "--", "touch", "/tmp/go")
        attached.until("after")
        assert attached.end() == 0
        assert "before" not in attached.seen


@pytest.mark.client("kubectl", "port-forward to a pod, again and again, and to a port nobody listens on")
def test_ports_are_forwarded(web: Kubectl) -> None:
    with web.started("port-forward", "pod/web", ":8080", ":8081") as forwarding:
        page, nothing = (
            int(forwarding.until("127.0.0.1:").partition(" -> ")[0].rpartition(":")[2]) for _ in range(2)
        )
        for _ in range(3):
            assert "hello" in _fetched(page)
        assert _fetched(nothing) == ""
        forwarding.until("error occurred forwarding")
        if not web.modern:  # younger ones give the whole connection up then
            assert "hello" in _fetched(page), "the other port goes on"


@pytest.mark.client("kubectl", "top pods, top nodes")
def test_usage_is_shown(web: Kubectl) -> None:
    (row,) = web("top", "pods", "--no-headers").splitlines()
    assert row.split()[0] == "web"
    assert row.split()[1].endswith("m")
    assert row.split()[2].endswith("Mi")
    header, *rows = web("top", "nodes").splitlines()
    assert header.startswith("NAME")
    assert len(rows) == 1


@pytest.mark.client("kubectl", "get --raw through the proxies of pods and nodes")
def test_proxies_are_reached(web: Kubectl) -> None:
    assert web("get", "--raw", f"/api/v1/namespaces/{web.namespace}/pods/web:8080/proxy/") == "hello\n"
    node = web("get", "pod", "web", "-o", "jsonpath={.spec.nodeName}")
    summary = json.loads(web("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    assert summary["node"]["nodeName"] == node


def _fetched(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        received = b""
        try:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while piece := connection.recv(4096):
                received += piece
        except ConnectionError:
            pass
        return received.decode()


@pytest.mark.client("kubectl", "run: detached; attached with -i and --rm; its exit code")
def test_run_makes_a_pod_and_talks_to_it(kubectl: Kubectl) -> None:
    run = ("run", "--restart=Never", f"--image={IMAGE}")
    assert kubectl(*run, "once", "--command", "--", "echo", "hello") == "pod/once created\n"
    with kubectl.started("get", "pod", "once", "-w", "-o", "jsonpath={.status.phase}{'\\n'}") as watch:
        watch.until("Succeeded")
    assert kubectl("logs", "once") == "hello\n"
    assert kubectl("get", "pod", "once").split()[5:8] == ["once", "0/1", "Completed"]
    talk = ("--rm", "-i", "--quiet", "--command", "--")
    talked = kubectl.run(*run, "inner", *talk, "sh", "-c", "cat; exit 3", stdin="typed\n")
    assert "typed" in talked.stdout, talked
    assert talked.returncode == 3, talked
    assert kubectl("get", "pod", "inner", "--ignore-not-found") == ""


@pytest.mark.client("kubectl", "debug: an ephemeral container with a target, and a copy of a pod")
def test_a_pod_can_be_debugged(web: Kubectl) -> None:
    if not web.modern:
        pytest.skip("Debian's has it as an experiment of another name")
    image = f"--image={IMAGE}"
    seen = ("--", "sh", "-c", "echo looking; ps | grep -c '[h]ttpd'")
    web("debug", "web", image, "--target=main", "--container=look", "--profile=general", *seen)
    states = "{.status.ephemeralContainerStatuses[0].state}{'\\n'}"
    with web.started("get", "pod", "web", "-w", "-o", f"jsonpath={states}") as watch:
        watch.until("terminated")
    assert web("logs", "web", "-c", "look") == "looking\n1\n"
    assert "Ephemeral Containers:" in web("describe", "pod", "web")
    assert web("get", "pod", "web").split()[6] == "1/1"
    web("debug", "web", "--copy-to=copy", "--container=main", "--profile=general", "--", "sleep", "1000")
    web("wait", "pod/copy", "--for=condition=Ready", "--timeout=60s")
    assert web("get", "pod", "copy", "-o", "jsonpath={.spec.containers[0].command}") == '["sleep","1000"]'
