"""The official Python client's streams: exec with input, output and exit codes, and a forwarded port."""

import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream

(namespace,) = sys.argv[1:]
config.load_kube_config()
core = client.CoreV1Api()


def run(*command, **options):
    options = {"stderr": True, "stdin": False, "stdout": True, "tty": False, **options}
    return stream(core.connect_get_namespaced_pod_exec, "web", namespace, command=list(command), **options)


assert run("cat", "/tmp/www/index.html") == "hello\n"
talk = run("sh", "-c", "read line; echo got $line; echo bad >&2; exit 3", stdin=True, _preload_content=False)
talk.write_stdin("text\n")
talk.run_forever(timeout=20)
assert talk.read_stdout() == "got text\n"
assert talk.read_stderr() == "bad\n"
assert talk.returncode == 3
talk.close()

forward = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="8080")
socket = forward.socket(8080)
socket.settimeout(20)
socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
answer = b""
while part := socket.recv(4096):
    answer += part
assert answer.endswith(b"hello\n"), answer
assert forward.error(8080) is None
print("done")
