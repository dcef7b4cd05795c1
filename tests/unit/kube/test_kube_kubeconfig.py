from __future__ import annotations

import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import web

from edgevirt.api.resources import NODES
from edgevirt.kube import errors, kubeconfig
from edgevirt.kube.client import Client
from edgevirt.kube.clock import FakeClock
from edgevirt.kube.credentials import Credentials

pytestmark = pytest.mark.unit


def config_file(
    tmp_path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> Path:
    path = tmp_path / "config"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.write_text(yaml.dump(document))
    return path


def test_what_is_written_is_read_back_and_private(tmp_path: Path) -> None:
    path = tmp_path / "config"
    kubeconfig.write(path, "https://h:6443", b"CA", b"CERT", b"KEY", namespace="ns")
    read = kubeconfig.load(path)
    assert (read.server, read.namespace) == ("https://h:6443", "ns")
    assert (read.ca_data, read.client_cert_data, read.client_key_data) == (b"CA", b"CERT", b"KEY")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path], "nothing temporary is left"
    assert "KEY" not in repr(read)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    read = kubeconfig.load(
        config_file(
            tmp_path, {"certificate-authority": "pki/ca.crt"}, {"tokenFile": "/abs/token", "token": "t"}
        )
    )
    assert read.ca_file == tmp_path / "pki/ca.crt"
    assert read.token_file == Path("/abs/token")
    assert read.namespace == "team"


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "ftp://x"}, {}, r"clusters\[k\].server must be an http or https URL"),
        ({"proxy-url": "socks5://x"}, {}, r"proxy-url only http:// proxies"),
        ({"certificate-authority-data": "%%"}, {}, r"certificate-authority-data is not valid base64"),
        ({}, {"auth-provider": {"name": "gcp"}}, r"users\[u\].auth-provider is not supported"),
        ({}, {"client-certificate": "x"}, r"must be given together"),
        (
            {},
            {"exec": {"apiVersion": "v1alpha1", "command": "x"}},
            r"exec.apiVersion 'v1alpha1' is not supported",
        ),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}, r"exec.command is required"),
        ({}, {"token": ["x"]}, r"token must be a string"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.ConfigError, match=message):
        kubeconfig.load(config_file(tmp_path, cluster, user))


@pytest.mark.parametrize(
    ("text", "message"), [("", "empty"), ("a: [", "not valid YAML"), ("a: 1", "current-context is not set")]
)
def test_a_file_that_is_no_kubeconfig_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(errors.ConfigError, match=message):
        kubeconfig.load(path)
    with pytest.raises(errors.ConfigError, match=r"cannot read kubeconfig .*No such file"):
        kubeconfig.load(tmp_path / "missing")
    with pytest.raises(errors.ConfigError, match="no entry named 'other'"):
        kubeconfig.load(config_file(tmp_path), context="other")


def test_a_pod_finds_its_cluster(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "namespace").write_text("kubevirt")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    read = kubeconfig.in_cluster(tmp_path, environment)
    assert (read.server, read.namespace) == ("https://[fd00::1]:443", "kubevirt")
    with pytest.raises(errors.ConfigError, match="not running inside a cluster"):
        kubeconfig.in_cluster(tmp_path, {})


async def headers_of(credentials: Credentials) -> dict[str, str]:
    return dict(await credentials.headers())


def credentials_for(path: Path, clock: FakeClock) -> Credentials:
    return Credentials(lambda: kubeconfig.load(path), path, clock)


async def test_a_rotated_token_file_is_followed(tmp_path: Path) -> None:
    token, clock = tmp_path / "token", FakeClock()
    token.write_text("one")
    credentials = credentials_for(config_file(tmp_path, {}, {"tokenFile": "token"}), clock)
    assert await headers_of(credentials) == {"Authorization": "Bearer one"}
    replacement = tmp_path / "new"
    replacement.write_text("two")
    replacement.replace(token)
    await clock.advance(1.1)
    assert await headers_of(credentials) == {"Authorization": "Bearer two"}


PLUGIN = """
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
count = int(open(sys.argv[1]).read() or 0) + 1
open(sys.argv[1], "w").write(str(count))
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status":
    {"token": f"t{count}", "expirationTimestamp": "2026-01-01T00:10:00Z"}}))
"""


async def test_an_exec_plugin_is_run_until_its_token_expires_or_is_rejected(tmp_path: Path) -> None:
    script, counter, clock = tmp_path / "plugin.py", tmp_path / "count", FakeClock()
    script.write_text(PLUGIN)
    counter.write_text("")
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-S", "-E", str(script), str(counter)],
    }
    credentials = credentials_for(config_file(tmp_path, {}, {"exec": plugin}), clock)
    assert await headers_of(credentials) == {"Authorization": "Bearer t1"}
    assert await headers_of(credentials) == {"Authorization": "Bearer t1"}
    assert credentials.reject()
    assert await headers_of(credentials) == {"Authorization": "Bearer t2"}
    await clock.advance(595)
    assert await headers_of(credentials) == {"Authorization": "Bearer t3"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/nonexistent/plugin"], "cannot run the credential plug-in .*; install it from there"),
        (["/bin/sh", "-c", "echo no luck >&2; exit 3"], "failed with exit code 3: no luck"),
        (["/bin/sh", "-c", "echo hello"], "did not print an ExecCredential"),
    ],
)
async def test_a_failing_exec_plugin_is_explained_in_its_own_words(
    tmp_path: Path, command: list[str], message: str
) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": command[1:],
        "installHint": "install it from there",
    }
    credentials = credentials_for(config_file(tmp_path, {}, {"exec": plugin}), FakeClock())
    with pytest.raises(errors.ConfigError, match=message):
        await credentials.headers()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def secure_server(authority: trustme.CA, host: str) -> tuple[web.AppRunner, str]:
    """Answers every GET with a Node named after the client certificate's organisational unit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        names = dict(pair for part in subject for pair in part)
        return web.json_response({"kind": "Node", "metadata": {"name": names["organizationalUnitName"]}})

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"


def pem(authority: trustme.CA, name: str) -> tuple[bytes, bytes]:
    cert = authority.issue_cert(f"{name}@test", organization_unit_name=name)
    return cert.cert_chain_pems[0].bytes(), cert.private_key_pem.bytes()


async def test_an_embedded_client_certificate_identifies_us_and_its_renewal_is_followed(
    tmp_path: Path, authority: trustme.CA
) -> None:
    runner, url = await secure_server(authority, "127.0.0.1")
    path = tmp_path / "config"
    ca = authority.cert_pem.bytes()
    kubeconfig.write(path, url, ca, *pem(authority, "first"))
    clock = FakeClock()
    try:
        async with Client(
            lambda: kubeconfig.load(path), user_agent="t", config_path=path, clock=clock
        ) as client:
            assert (await client.get(NODES, "me")).metadata.name == "first"
            kubeconfig.write(path, url, ca, *pem(authority, "second"))
            await clock.advance(2)
            assert (await client.get(NODES, "me")).metadata.name == "second"
            path.write_text("half a file: [")
            await clock.advance(2)
            assert (await client.get(NODES, "me")).metadata.name == "second", "the old identity stays in use"
    finally:
        await runner.cleanup()


async def test_a_server_with_another_name_is_not_trusted(tmp_path: Path, authority: trustme.CA) -> None:
    runner, url = await secure_server(authority, "example.test")
    path = tmp_path / "config"
    kubeconfig.write(path, url, authority.cert_pem.bytes(), *pem(authority, "me"))
    try:
        async with Client.from_kubeconfig(path, user_agent="t") as client:
            with pytest.raises(errors.ConnectionFailed, match="certificate verify failed"):
                await client.get(NODES, "me")
        document = yaml.safe_load(path.read_text())
        document["clusters"][0]["cluster"]["tls-server-name"] = "example.test"
        path.write_text(yaml.dump(document))
        async with Client.from_kubeconfig(path, user_agent="t") as client:
            assert (await client.get(NODES, "me")).metadata.name == "me"
    finally:
        await runner.cleanup()


def test_no_private_key_is_left_open(tmp_path: Path, authority: trustme.CA) -> None:
    path = tmp_path / "config"
    kubeconfig.write(path, "https://h", authority.cert_pem.bytes(), *pem(authority, "me"))
    before = os.listdir("/proc/self/fd")
    credentials_for(path, FakeClock())
    assert os.listdir("/proc/self/fd") == before
