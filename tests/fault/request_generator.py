"""Requests no sane client sends: what a seed makes of valid objects, paths, parameters and headers.

Everything follows from a `random.Random`, so a seed printed by a test is a failure had again. Mutations keep
most of a document valid: what is refused at the first byte never reaches the code behind.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = Any

JSON = "application/json"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
MEDIA = (
    JSON,
    JSON,
    JSON,
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "",
    "a/b;c=d;;",
)
META = {"name": "fuzz", "labels": {"a": "b"}, "annotations": {"c": "d"}}
POD = {
    "containers": [
        {
            "name": "c",
            "image": "i",
            "ports": [{"containerPort": 80}],
            "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
    ],
    "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
    "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 3}],
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "default": 3},
                "s": {"type": "string", "pattern": "^a+$"},
            },
            "x-kubernetes-validations": [{"rule": "self.n > 0", "message": "m"}],
        }
    },
}
HOOK = {
    "name": "h.example.org",
    "clientConfig": {"url": "https://127.0.0.1:1/"},
    "rules": [{"apiGroups": ["none"], "apiVersions": ["*"], "resources": ["*"], "operations": ["CREATE"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "failurePolicy": "Ignore",
    "matchConditions": [{"name": "x", "expression": "request.operation == 'CREATE'"}],
}
_CRD = {
    "group": "fuzz.org",
    "scope": "Namespaced",
    "names": {"plural": "things", "kind": "Thing"},
    "versions": [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": SCHEMA},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}],
            "selectableFields": [{"jsonPath": ".spec.s"}],
        }
    ],
}
COLLECTIONS: tuple[tuple[str, Json], ...] = (
    (
        "/api/v1/namespaces/default/configmaps",
        {"data": {"k": "v"}, "binaryData": {"b": "AAAA"}, "immutable": False},
    ),
    (
        "/api/v1/namespaces/default/secrets",
        {"data": {"k": "AAAA"}, "stringData": {"s": "t"}, "type": "Opaque"},
    ),
    ("/api/v1/namespaces/default/pods", {"spec": POD, "status": {"phase": "Pending"}}),
    ("/api/v1/namespaces/default/services", {"spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
    ("/api/v1/namespaces/default/serviceaccounts", {"secrets": [{"name": "s"}]}),
    ("/api/v1/namespaces/default/events", {"involvedObject": {"kind": "Pod"}, "reason": "R", "count": 1}),
    (
        "/api/v1/namespaces/default/persistentvolumeclaims",
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    ("/api/v1/namespaces/default/resourcequotas", {"spec": {"hard": {"pods": "3"}}}),
    ("/api/v1/namespaces", {"spec": {"finalizers": ["kubernetes"]}}),
    ("/api/v1/nodes", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    ("/apis/coordination.k8s.io/v1/namespaces/default/leases", {"spec": {"leaseDurationSeconds": 3}}),
    (
        "/apis/apps/v1/namespaces/default/deployments",
        {
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD},
            }
        },
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}],
        },
    ),
    (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {"metadata": {"name": "things.fuzz.org"}, "spec": _CRD},
    ),
    (
        "/apis/fuzz.org/v1/namespaces/default/things",
        {"apiVersion": "fuzz.org/v1", "kind": "Thing", "spec": {"n": 1, "s": "aa"}},
    ),
    ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", {"webhooks": [HOOK]}),
    ("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {"webhooks": [HOOK]}),
    (
        "/apis/apiregistration.k8s.io/v1/apiservices",
        {
            "metadata": {"name": "v1.g.org"},
            "spec": {"group": "g.org", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1},
        },
    ),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 5}),
    ("/apis/storage.k8s.io/v1/storageclasses", {"provisioner": "p"}),
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"spec": {"minAvailable": "50%"}}),
    (
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}},
    ),
    ("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}),
    ("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "t"}}),
)
SUBRESOURCES = (
    "status",
    "scale",
    "binding",
    "eviction",
    "token",
    "finalize",
    "log",
    "exec",
    "attach",
    "nothing",
)
SUBRESOURCE_BODIES: tuple[Json, ...] = (
    {"target": {"kind": "Node", "name": "n"}},
    {"metadata": {"name": "fuzz"}, "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "x"}}},
    {"spec": {"audiences": ["a"], "expirationSeconds": 600}},
    {"metadata": {"name": "fuzz"}, "spec": {"replicas": 3}},
    {"metadata": {"name": "fuzz"}, "spec": {"finalizers": []}},
)
NAMES = (
    "fuzz",
    "fuzz",
    "fuzz",
    "other",
    "a%2Fb",
    "%00",
    "..",
    ".",
    "%F0%9F%98%80",
    "%ff",
    "a" * 300,
    "A_B",
    "x%20y",
)
OTHER_PATHS = (
    "/",
    "/api",
    "/apis",
    "/api/v1",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/api/v1",
    "/healthz",
    "/readyz",
    "/version",
    "//",
    "/api//v1",
    "/apis/apps",
    "/apis/apps/v1/",
    "/api/v1/namespaces/default",
    "/metrics",
    "/apis/%00/v1/x",
    "/api/v1/namespaces//pods",
    "/api/v1/watch/pods",
    "/api/v1/componentstatuses",
    "/api/v1/namespaces/default/pods/fuzz/proxy/a/b",
    "/apis/g.org/v1/things",
    "/%2e%2e/etc/passwd",
)
PARAMETERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "labelSelector",
        ("a=b", "a in (b,c)", "!a", "a,,b", "a=b=c", "in", "(", "a in (", "\\", "ä=ö", "a>1", "a>x"),
    ),
    (
        "fieldSelector",
        ("metadata.name=fuzz", "metadata.name!=x", "status.phase=Running", "x=", "=", "a\\", ",,"),
    ),
    ("resourceVersion", ("0", "1", "-1", "abc", "99999999999", "9" * 40, "", "1.5", " 1", "٣")),
    ("resourceVersionMatch", ("Exact", "NotOlderThan", "x", "")),
    ("limit", ("0", "1", "-1", "99999999999999999999", "x", "1e3", "٣")),
    ("continue", ("x", "", "e30", "eyJ2IjoiMSJ9", "eyJydiI6MSwic3RhcnQiOiJhIn0", "%00", "=" * 50, "ü")),
    ("watch", ("1", "true", "0", "x", "")),
    ("timeoutSeconds", ("1", "0", "-1", "x", "9" * 30, "1.5")),
    ("allowWatchBookmarks", ("true", "x", "")),
    ("sendInitialEvents", ("true", "false", "x")),
    ("dryRun", ("All", "None", "", "all")),
    ("fieldManager", ("m", "x" * 200, "\n", "ü", "")),
    ("fieldValidation", ("Strict", "Warn", "Ignore", "x")),
    ("force", ("true", "x", "")),
    ("gracePeriodSeconds", ("0", "-1", "x", "9" * 30)),
    ("propagationPolicy", ("Foreground", "Orphan", "x")),
    ("orphanDependents", ("true", "x")),
    ("pretty", ("true", "x")),
    ("includeObject", ("None", "Object", "x")),
    ("container", ("c", "")),
    ("tailLines", ("1", "x")),
    ("command", ("ls", "")),
)
ACCEPTS = (
    "",
    "*/*",
    JSON,
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/html",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=X;v=v9;g=y",
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    ";;;",
    "a/b;q=x",
    "application/json;q=0",
)
HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Impersonate-User", ("bob", "system:node:x", "")),
    ("Impersonate-Group", ("g", "system:masters")),
    ("Impersonate-Extra-a%2fb", ("x",)),
    ("Impersonate-Uid", ("u",)),
    (
        "Authorization",
        ("Bearer x", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30."),
    ),
    ("Content-Encoding", ("gzip", "deflate", "x")),
    ("Upgrade", ("websocket", "SPDY/3.1")),
    ("X-Remote-User", ("root",)),
    ("Range", ("bytes=0-1",)),
    ("If-Match", ("x",)),
)
STRINGS = (
    "",
    "x",
    "a" * 300,
    "-1",
    "0",
    "1e9",
    "ünïcödé",
    "\u0000",
    "\n",
    "😀",
    "a/b/c",
    "..",
    "1Gi",
    "100m",
    "1.5.2.3",
    "2020-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "not a time",
    "$(x)",
    "{{",
    "^(",
    "self.n",
    "[",
    "metadata.uid",
)
VALUES: tuple[Json, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    2**31,
    2**53 + 1,
    2**63,
    10**30,
    -(10**30),
    1e300,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"a": None},
    ["a", 1, None],
    [{}],
    {"name": "fuzz"},
    [{"name": "x"}, {"name": "x"}],
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Encoded, with the query."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Generator:
    """Makes one request after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def next(self) -> Request:
        chance = self._chance
        kind = chance.random()
        if kind < 0.1:
            return Request(
                chance.choice(("GET", "GET", "POST", "PUT", "OPTIONS", "X")),
                self._other_path(),
                self._headers(),
            )
        collection, parts = chance.choice(COLLECTIONS)
        document = {"metadata": dict(META), **parts}
        if kind < 0.2:
            # As it should be, so that the other requests meet something.
            body = json.dumps(document).encode()
            return Request("POST", collection, {"Content-Type": JSON, "Accept": JSON}, body)
        if kind < 0.4:
            return self._with_body("POST", collection, document, chance.choice(MEDIA))
        own = document["metadata"]["name"]
        path = f"{collection}/{own if chance.random() < 0.5 else chance.choice(NAMES)}"
        if kind < 0.5:
            return Request("GET", self._query(chance.choice((collection, path))), self._headers())
        if kind < 0.6:
            options = {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "preconditions": {"uid": "x"}}
            return self._with_body("DELETE", path, chance.choice((options, {})), JSON)
        if kind < 0.7:
            sub, body = chance.choice(SUBRESOURCES), chance.choice(SUBRESOURCE_BODIES)
            method = chance.choice(("GET", "POST", "PUT", "PATCH", "DELETE"))
            media = chance.choice(PATCHES) if method == "PATCH" else JSON
            return self._with_body(method, f"{path}/{sub}", body, media)
        if kind < 0.8:
            return self._with_body("PUT", path, document, chance.choice(MEDIA))
        return self._patch(path, document)

    def _patch(self, path: str, document: Json) -> Request:
        chance = self._chance
        media = chance.choice(PATCHES)
        patch: Json = document
        if media == PATCHES[0]:
            patch = [self._operation() for _ in range(chance.randrange(1, 4))]
        elif media == PATCHES[3]:
            path += chance.choice(("?fieldManager=m", "?fieldManager=m&force=true", ""))
        return self._with_body("PATCH", path, patch, media)

    def _operation(self) -> Json:
        chance = self._chance
        paths = (
            "/data/k",
            "/metadata/labels/a",
            "/metadata",
            "",
            "/",
            "/a~1b",
            "/~2",
            "/spec/containers/0",
            "/x/-/y",
            "/metadata/name",
            "/spec/containers/-",
            "/metadata/labels/x~0",
            "/spec/containers/99",
            "nope",
        )
        operation = {
            "op": chance.choice(("add", "remove", "replace", "move", "copy", "test", "x")),
            "path": chance.choice(paths),
            "from": chance.choice(paths),
            "value": chance.choice(VALUES),
        }
        if chance.random() < 0.2:
            operation.pop(chance.choice(list(operation)))
        return operation

    def _with_body(self, method: str, path: str, document: Json, media: str) -> Request:
        headers = self._headers()
        if media:
            headers["Content-Type"] = media
        return Request(method, self._query(path), headers, self._body(document))

    def _body(self, document: Json) -> bytes:
        chance = self._chance
        if chance.random() < 0.9:
            document = self._mutated(document)
        body = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode()
        kind = chance.random()
        if kind < 0.75:
            return body
        mutations: tuple[Callable[[bytes], bytes], ...] = (
            lambda data: data[: chance.randrange(len(data) + 1)],
            lambda data: bytes(byte ^ (chance.random() < 0.01) << chance.randrange(8) for byte in data),
            lambda data: data + b"}",
            lambda data: data.replace(b'"', b"'"),
            lambda data: b"[" * 50_000,
            lambda data: b'{"a":' * 20_000,
            lambda data: data.replace(b"fuzz", b"\xff\xfe"),
            lambda data: data.replace(b"fuzz", b"\\ud800"),
            lambda data: data.replace(b":", b": !!binary ", 1),
            lambda data: b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n---\n" + data,
            lambda data: b"k8s\x00" + data,
            lambda data: b"\xef\xbb\xbf" + data,
            lambda data: b"",
            lambda data: b"null",
            lambda data: data[:1] + b'"metadata":{"name":"dup"},' + data[1:],
            lambda data: data.replace(b"1", b"1" * 5000),
        )
        return chance.choice(mutations)(body)

    def _mutated(self, document: Json) -> Json:
        """A copy with one to three places changed."""
        changed = copy.deepcopy(document)
        for _ in range(self._chance.randrange(1, 4)):
            changed = self._changed(changed)
        return changed

    def _changed(self, node: Json) -> Json:
        chance = self._chance
        if isinstance(node, dict) and node and chance.random() < 0.85:
            key = chance.choice(list(node))
            what = chance.random()
            if what < 0.08:
                del node[key]
            elif what < 0.15:
                node[chance.choice(STRINGS)] = self._value()
            else:
                node[key] = self._changed(node[key])
            return node
        if isinstance(node, list) and node and chance.random() < 0.7:
            index = chance.randrange(len(node))
            if chance.random() < 0.2:
                node.append(copy.deepcopy(node[index]))
            else:
                node[index] = self._changed(node[index])
            return node
        return chance.choice(STRINGS) if chance.random() < 0.5 else self._value()

    def _value(self) -> Json:
        return copy.deepcopy(self._chance.choice(VALUES))

    def _other_path(self) -> str:
        path = self._chance.choice(OTHER_PATHS)
        return self._query(path) if self._chance.random() < 0.5 else path

    def _query(self, path: str) -> str:
        chance = self._chance
        chosen = [chance.choice(PARAMETERS) for _ in range(chance.choice((0, 0, 1, 1, 2, 3)))]
        # A watch without an end would never answer.
        parts = [f"{name}={_quoted(chance.choice(values))}" for name, values in chosen]
        if any(part.startswith("watch") for part in parts):
            parts.append("timeoutSeconds=1")
            parts = [part for part in parts if not part.startswith("timeoutSeconds") or part.endswith("=1")]
        if chance.random() < 0.03:
            parts.append(chance.choice(("%", "%zz", "&&&", "a", "=b", "%ff=%fe", ";", "?x?y")))
        joint = "&" if "?" in path else "?"
        return path + joint + "&".join(parts) if parts else path

    def _headers(self) -> dict[str, str]:
        chance = self._chance
        headers = {"Accept": chance.choice(ACCEPTS)}
        if chance.random() < 0.1:
            name, values = chance.choice(HEADERS)
            headers[name] = chance.choice(values)
        return headers


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="%")
