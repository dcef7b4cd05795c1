"""Reading and writing kubeconfig files, and the configuration a pod finds in its cluster.

`load` resolves one context into a flat `KubeConfig`. What we cannot honour (auth-provider plug-ins, proxies
other than http) is refused by name instead of connecting in another way than the file says.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from edgevirt.kube.errors import ConfigError

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclasses.dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A command that prints credentials (client.authentication.k8s.io)."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    provide_cluster_info: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class KubeConfig:
    """One cluster and one identity. Of each pair `*_file` / `*_data` at most one is set; data is PEM."""

    server: str
    namespace: str = "default"
    ca_file: Path | None = None
    ca_data: bytes = b""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    client_cert_file: Path | None = None
    client_cert_data: bytes = dataclasses.field(default=b"", repr=False)
    client_key_file: Path | None = None
    client_key_data: bytes = dataclasses.field(default=b"", repr=False)
    token: str = dataclasses.field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    impersonate_user: str = ""
    impersonate_groups: tuple[str, ...] = ()
    exec: ExecPlugin | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files this identity depends on; when one changes, the identity has been renewed."""
        candidates = (self.ca_file, self.client_cert_file, self.client_key_file, self.token_file)
        return tuple(path for path in candidates if path is not None)


def load(path: Path, context: str = "") -> KubeConfig:
    """The cluster and user of `context` (default: the current context). Raises ConfigError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read kubeconfig {path}: {error.strerror}") from error
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)  # a safe loader: plain data only
    except yaml.YAMLError as error:
        raise ConfigError(f"kubeconfig {path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"kubeconfig {path} is empty or not a mapping")
    return _Reader(path, document).resolve(context)


def in_cluster(directory: Path = SERVICE_ACCOUNT_DIR, environ: Mapping[str, str] | None = None) -> KubeConfig:
    """The configuration every pod is given. Raises ConfigError outside a pod."""
    environment = os.environ if environ is None else environ
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError(
            "not running inside a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; "
            "pass a kubeconfig"
        )
    token_file = directory / "token"
    if not token_file.exists():
        raise ConfigError(f"no service account token at {token_file}; is automountServiceAccountToken off?")
    namespace_file = directory / "namespace"
    return KubeConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace_file.read_text().strip() if namespace_file.exists() else "default",
        ca_file=directory / "ca.crt",
        token_file=token_file,
    )


def write(
    path: Path,
    server: str,
    ca: bytes,
    client_cert: bytes,
    client_key: bytes,
    *,
    name: str = "edgevirt",
    user: str = "admin",
    namespace: str = "default",
) -> None:
    """Write a self-contained kubeconfig (PEM embedded), readable by its owner only.

    The file is complete under a temporary name and on disk before it gets its own, so a reader or a power
    loss never sees half of it.
    """

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": encoded(ca)}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": encoded(client_cert),
                    "client-key-data": encoded(client_key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}],
        "current-context": name,
    }
    text = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:  # mkstemp creates with mode 0600
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class _Reader:
    """One parsed file and the messages that point into it."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._document = document

    def resolve(self, context_name: str) -> KubeConfig:
        wanted = context_name or self._text(self._document, "current-context", "")
        if not wanted:
            raise self._error("current-context", "is not set; name a context or set one")
        context = self._named("contexts", "context", wanted)
        cluster_name = self._text(context, "cluster", f"contexts[{wanted}]")
        user_name = self._text(context, "user", f"contexts[{wanted}]")
        where = f"clusters[{cluster_name}]"
        cluster = self._named("clusters", "cluster", cluster_name)
        user = self._named("users", "user", user_name) if user_name else {}
        server = self._text(cluster, "server", where)
        if not server.startswith(("https://", "http://")):
            raise self._error(f"{where}.server", f"must be an http or https URL, not {server!r}")
        proxy = self._text(cluster, "proxy-url", where)
        if proxy and not proxy.startswith("http://"):
            raise self._error(f"{where}.proxy-url", f"only http:// proxies are supported, not {proxy!r}")
        ca_file, ca_data = self._pem(cluster, "certificate-authority", where)
        return self._with_user(
            KubeConfig(
                server=server.rstrip("/"),
                namespace=self._text(context, "namespace", "") or "default",
                ca_file=ca_file,
                ca_data=ca_data,
                insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
                tls_server_name=self._text(cluster, "tls-server-name", where),
                proxy_url=proxy,
            ),
            user,
            f"users[{user_name}]",
        )

    def _with_user(self, config: KubeConfig, user: Mapping[str, Any], where: str) -> KubeConfig:
        for unsupported in ("auth-provider", "as-uid", "as-user-extra"):
            if user.get(unsupported):
                raise self._error(
                    f"{where}.{unsupported}", "is not supported; use exec, a token or a client certificate"
                )
        cert_file, cert_data = self._pem(user, "client-certificate", where)
        key_file, key_data = self._pem(user, "client-key", where)
        if bool(cert_file or cert_data) != bool(key_file or key_data):
            raise self._error(where, "client-certificate and client-key must be given together")
        token_file = self._text(user, "tokenFile", where)
        groups = user.get("as-groups") or ()
        return dataclasses.replace(
            config,
            client_cert_file=cert_file,
            client_cert_data=cert_data,
            client_key_file=key_file,
            client_key_data=key_data,
            token=self._text(user, "token", where),
            token_file=self._path.parent / token_file if token_file else None,
            username=self._text(user, "username", where),
            password=self._text(user, "password", where),
            impersonate_user=self._text(user, "as", where),
            impersonate_groups=tuple(str(group) for group in groups),
            exec=self._exec(user.get("exec"), f"{where}.exec"),
        )

    def _exec(self, raw: object, where: str) -> ExecPlugin | None:
        if raw is None:
            return None
        if not isinstance(raw, dict):
            raise self._error(where, "must be a mapping")
        version = self._text(raw, "apiVersion", where)
        if version not in ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"):
            raise self._error(
                f"{where}.apiVersion", f"{version!r} is not supported; use .../v1 or .../v1beta1"
            )
        command = self._text(raw, "command", where)
        if not command:
            raise self._error(f"{where}.command", "is required")
        if "/" in command and not os.path.isabs(command):
            command = str(self._path.parent / command)
        return ExecPlugin(
            command=command,
            args=tuple(str(argument) for argument in raw.get("args") or ()),
            env=tuple((str(entry["name"]), str(entry["value"])) for entry in raw.get("env") or ()),
            api_version=version,
            install_hint=self._text(raw, "installHint", where),
            provide_cluster_info=bool(raw.get("provideClusterInfo")),
        )

    def _pem(self, section: Mapping[str, Any], name: str, where: str) -> tuple[Path | None, bytes]:
        data = self._text(section, f"{name}-data", where)
        if data:
            try:
                return None, base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise self._error(f"{where}.{name}-data", f"is not valid base64: {error}") from error
        file = self._text(section, name, where)
        return (self._path.parent / file if file else None), b""

    def _named(self, section: str, field: str, name: str) -> Mapping[str, Any]:
        entries = self._document.get(section) or ()
        if not isinstance(entries, Sequence):
            raise self._error(section, "must be a list")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("name") == name:
                found = entry.get(field) or {}
                if isinstance(found, dict):
                    return found
        raise self._error(section, f"has no entry named {name!r}")

    def _text(self, section: Mapping[str, Any], key: str, where: str) -> str:
        value = section.get(key)
        if value is None:
            return ""
        if not isinstance(value, str | int | float):
            raise self._error(f"{where}.{key}", "must be a string")
        return str(value)

    def _error(self, where: str, problem: str) -> ConfigError:
        return ConfigError(f"kubeconfig {self._path}: {where} {problem}")
