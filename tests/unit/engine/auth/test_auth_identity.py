"""Certificates, tokens, impersonation, reviews and kubelets: who somebody is and may pretend to be."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from multidict import CIMultiDict
from object_reader_fake import FakeReader

from edgevirt.engine.apiserver.auth import Auth, build
from edgevirt.engine.apiserver.auth.authenticator import ANONYMOUS, NODE_NAME, ROLE, WEBSOCKET_BEARER
from edgevirt.engine.apiserver.auth.impersonation import impersonate
from edgevirt.engine.apiserver.auth.nodes import references_of
from edgevirt.engine.apiserver.auth.rbac import RBAC_GROUP
from edgevirt.engine.apiserver.auth.tokens import DEFAULT_AUDIENCE, InvalidToken
from edgevirt.engine.apiserver.errors import StatusError
from edgevirt.engine.apiserver.extension import AllowAll
from edgevirt.engine.apiserver.request import Attributes, Decision, UserInfo

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader() -> FakeReader:
    reader = FakeReader()
    reader.put("", "serviceaccounts", account())
    return reader


@pytest.fixture
def auth(reader: FakeReader, tmp_path: Path, clock: Clock) -> Auth:
    return build(reader, tmp_path, clock=clock)


def account(uid: str = "sa-uid") -> dict[str, Any]:
    return {"metadata": {"name": "sa", "namespace": "ns", "uid": uid}}


def pod(name: str = "p", node: str = "n1", uid: str = "pod-uid", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": uid},
        "spec": {"nodeName": node, "serviceAccountName": "sa", **spec},
    }


def certificate(cn: str, *groups: str, uri: str = "", issuer: str = "ca") -> dict[str, Any]:
    made: dict[str, Any] = {
        "subject": (*((("organizationName", group),) for group in groups), (("commonName", cn),)),
        "issuer": ((("commonName", issuer),),),
    }
    if uri:
        made["subjectAltName"] = (("URI", uri),)
    return made


async def issued(auth: Auth, **spec: Any) -> str:
    answer = await auth.tokens.issue(account(), {"spec": spec})
    return str(answer["status"]["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_certificate_gives_name_and_groups(auth: Auth) -> None:
    user = auth.authenticator.authenticate({}, certificate("alice", "dev", "ops"))
    assert user == UserInfo("alice", "", ("dev", "ops", "system:authenticated"))


def test_a_node_agents_certificate_gives_its_role_and_node(auth: Auth) -> None:
    user = auth.authenticator.authenticate({}, certificate("x", uri="edgevirt://virt-handler/n1"))
    assert user.extra == {ROLE: ("virt-handler",), NODE_NAME: ("n1",)}


@pytest.mark.parametrize("uri", ["edgevirt:///n", "edgevirt://a/b/c"])
def test_a_certificate_with_a_malformed_role_is_refused(auth: Auth, uri: str) -> None:
    with pytest.raises(StatusError) as caught:
        auth.authenticator.authenticate({}, certificate("x", uri=uri))
    assert caught.value.code == 401


def test_a_certificate_of_another_authority_is_refused(reader: FakeReader, tmp_path: Path) -> None:
    from edgevirt.engine.pki.authority import Authority

    ca = Authority.load_or_create(tmp_path, common_name="client-ca")
    auth = build(reader, tmp_path, client_ca_pem=ca.cert_pem)
    assert auth.authenticator.authenticate({}, certificate("alice", issuer="client-ca")).name == "alice"
    with pytest.raises(StatusError) as caught:
        auth.authenticator.authenticate({}, certificate("front-proxy-client", issuer="front-proxy-ca"))
    assert caught.value.code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
def test_without_credentials_one_is_anonymous(auth: Auth, headers: dict[str, str]) -> None:
    assert auth.authenticator.authenticate(headers, None) == ANONYMOUS


@pytest.mark.parametrize("token", ["wrong-token-xyz", "a.b.c", "\u00e4", "x" * 40_000])
def test_a_wrong_token_is_unauthorized(auth: Auth, token: str) -> None:
    with pytest.raises(StatusError) as caught:
        auth.authenticator.authenticate(bearer(token), None)
    assert caught.value.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


async def test_a_token_is_issued_as_kubernetes_answers(auth: Auth) -> None:
    answer = await auth.tokens.issue(account(), {"spec": {}})
    assert answer["spec"] == {
        "audiences": [DEFAULT_AUDIENCE],
        "expirationSeconds": 3600,
        "boundObjectRef": None,
    }
    assert answer["metadata"] == {
        "name": "sa",
        "namespace": "ns",
        "uid": "sa-uid",
        "creationTimestamp": "2026-11-01T00:00:00Z",
    }
    assert answer["status"]["expirationTimestamp"] == "2026-11-01T01:00:00Z"


async def test_a_token_identifies_its_service_account(auth: Auth) -> None:
    user = auth.authenticator.authenticate(bearer(await issued(auth)), None)
    assert user.name == "system:serviceaccount:ns:sa"
    assert user.uid == "sa-uid"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")


async def test_a_browser_may_send_its_token_as_a_subprotocol(auth: Auth) -> None:
    encoded = base64.urlsafe_b64encode((await issued(auth)).encode()).decode().rstrip("=")
    headers = CIMultiDict({"Sec-WebSocket-Protocol": f"v4.channel.k8s.io, {WEBSOCKET_BEARER}{encoded}"})
    assert auth.authenticator.authenticate(headers, None).name == "system:serviceaccount:ns:sa"


async def test_a_token_expires(auth: Auth, clock: Clock) -> None:
    token = await issued(auth, expirationSeconds=600)
    clock.now = START + timedelta(seconds=599)
    auth.tokens.verify(token)
    clock.now = START + timedelta(seconds=600)
    with pytest.raises(InvalidToken, match="expired"):
        auth.tokens.verify(token)


async def test_a_token_stays_valid_when_the_clock_is_set_back(auth: Auth, clock: Clock) -> None:
    token = await issued(auth)
    clock.now = datetime(1970, 1, 2, tzinfo=UTC)
    auth.tokens.verify(token)


async def test_a_token_is_good_for_its_audience_only(auth: Auth) -> None:
    token = await issued(auth, audiences=["vault"])
    with pytest.raises(InvalidToken):
        auth.tokens.verify(token)
    assert auth.tokens.verify(token, ["vault", "x"]).audiences == ("vault",)


async def test_a_token_dies_with_its_service_account(auth: Auth, reader: FakeReader) -> None:
    token = await issued(auth)
    auth.tokens.verify(token)
    reader.put("", "serviceaccounts", account("another-uid"))
    with pytest.raises(InvalidToken):
        auth.tokens.verify(token)
    reader.drop("", "serviceaccounts", "ns", "sa")
    with pytest.raises(InvalidToken):
        auth.tokens.verify(token)


async def test_a_bound_token_names_its_pod_and_node_and_dies_with_the_pod(
    auth: Auth, reader: FakeReader
) -> None:
    reader.put("", "pods", pod())
    reader.put("", "nodes", {"metadata": {"name": "n1", "uid": "node-uid"}})
    token = await issued(auth, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})
    extra = auth.tokens.verify(token).user.extra
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/pod-uid"] == ("pod-uid",)
    assert extra[NODE_NAME] == ("n1",)
    reader.put("", "pods", pod(uid="a-new-pod-of-that-name"))
    with pytest.raises(InvalidToken):
        auth.tokens.verify(token)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"expirationSeconds": 599}, 422),
        ({"expirationSeconds": 2**32 + 1}, 422),
        ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, 404),
        ({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "old"}}, 409),
        ({"boundObjectRef": {"kind": "Pod", "name": "foreign"}}, 400),
        ({"boundObjectRef": {"kind": "Deployment", "name": "x"}}, 400),
    ],
)
async def test_a_token_request_that_makes_no_sense_is_refused(
    auth: Auth, reader: FakeReader, spec: dict[str, Any], code: int
) -> None:
    reader.put("", "pods", pod())
    reader.put("", "pods", pod("foreign", serviceAccountName="other"))
    with pytest.raises(StatusError) as caught:
        await auth.tokens.issue(account(), {"spec": spec})
    assert caught.value.code == code


async def test_a_token_of_another_key_or_algorithm_is_refused(auth: Auth, tmp_path: Path) -> None:
    claims = jwt.decode(await issued(auth), options={"verify_signature": False})
    public = auth.tokens.keys.current.public_key()
    forged = [
        jwt.encode(claims, "secret" * 8, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(
            {**claims, "sub": "system:admin"},
            build(FakeReader(), tmp_path / "b").tokens.keys.current,
            "ES256",
        ),
    ]
    head, body, _signature = (await issued(auth)).split(".")
    changed = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed["sub"] = "system:serviceaccount:kube-system:admin"
    body = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    forged.append(f"{head}.{body}.{_signature}")
    assert public is not None
    for token in forged:
        with pytest.raises(InvalidToken):
            auth.tokens.verify(token)


def test_the_token_key_survives_a_restart(reader: FakeReader, tmp_path: Path) -> None:
    one, two = build(reader, tmp_path), build(reader, tmp_path)
    assert one.tokens.keys.current_id == two.tokens.keys.current_id
    assert (tmp_path / "service-account.key").stat().st_mode & 0o777 == 0o600


# Impersonation

TARGET = Attributes(
    UserInfo("admin", groups=("system:masters",)),
    "create",
    "authentication.k8s.io",
    "v1",
    "selfsubjectreviews",
)


class Only:
    """Allows exactly the listed (verb, resource, name)."""

    def __init__(self, *allowed: tuple[str, str, str]) -> None:
        self.allowed = allowed

    def authorize(self, attributes: Attributes) -> Decision:
        return Decision((attributes.verb, attributes.resource, attributes.name) in self.allowed)


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ([], TARGET.user),
        ([("Impersonate-User", "carol")], UserInfo("carol", "", ("system:authenticated",))),
        (
            [
                ("Impersonate-User", "carol"),
                ("Impersonate-Group", "g1"),
                ("Impersonate-Group", "g2"),
                ("Impersonate-Extra-Scope", "s"),
                ("Impersonate-Uid", "u-1"),
            ],
            UserInfo("carol", "u-1", ("g1", "g2", "system:authenticated"), {"scope": ("s",)}),
        ),
        (
            [("Impersonate-User", "system:serviceaccount:n:x")],
            UserInfo(
                "system:serviceaccount:n:x",
                "",
                ("system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"),
            ),
        ),
        (
            [("Impersonate-User", "system:anonymous")],
            UserInfo("system:anonymous", "", ("system:unauthenticated",)),
        ),
    ],
)
def test_impersonation_becomes_the_user_asked_for(headers: list[tuple[str, str]], user: UserInfo) -> None:
    assert impersonate(CIMultiDict(headers), TARGET, AllowAll()) == user


def test_impersonation_without_a_user_is_a_bad_request() -> None:
    with pytest.raises(StatusError) as caught:
        impersonate(CIMultiDict({"Impersonate-Group": "g"}), TARGET, AllowAll())
    assert (caught.value.code, caught.value.message) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name",
    )


CAROL = CIMultiDict([("Impersonate-User", "carol"), ("Impersonate-Group", "system:masters")])


@pytest.mark.parametrize(
    ("allowed", "succeeds"),
    [
        ((), False),
        ((("impersonate", "users", "carol"),), False),
        ((("impersonate", "users", "carol"), ("impersonate", "groups", "system:masters")), True),
        ((("impersonate-on:user-info:create", "selfsubjectreviews", ""),), False),
        (
            (
                ("impersonate-on:user-info:create", "selfsubjectreviews", ""),
                ("impersonate:user-info", "users", "carol"),
            ),
            False,
        ),
        (
            (
                ("impersonate-on:user-info:create", "selfsubjectreviews", ""),
                ("impersonate:user-info", "users", "carol"),
                ("impersonate:user-info", "groups", "system:masters"),
            ),
            True,
        ),
    ],
)
def test_impersonation_needs_every_right(allowed: tuple[tuple[str, str, str], ...], succeeds: bool) -> None:
    if succeeds:
        assert impersonate(CAROL, TARGET, Only(*allowed)).name == "carol"
        return
    with pytest.raises(StatusError) as caught:
        impersonate(CAROL, TARGET, Only(*allowed))
    assert caught.value.code == 403


def test_refused_impersonation_is_worded_as_recorded() -> None:
    asked = Attributes(UserInfo("alice"), "create", "authentication.k8s.io", "v1", "selfsubjectreviews")
    with pytest.raises(StatusError) as caught:
        impersonate(CAROL, asked, Only())
    assert caught.value.message == (
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "alice" cannot '
        'impersonate-on:user-info:create resource "selfsubjectreviews" in API group "authentication.k8s.io" '
        "at the cluster scope"
    )


# Reviews


async def ask(
    auth: Auth, group: str, plural: str, document: dict[str, Any], user: UserInfo = ANONYMOUS
) -> Any:
    return (await auth.reviews[(group, plural)](document, user))["status"]


def grant(reader: FakeReader) -> None:
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    reader.put(RBAC_GROUP, "roles", {"metadata": {"name": "r", "namespace": "ns"}, "rules": rules})
    subject = {"kind": "Group", "name": "dev"}
    reader.put(
        RBAC_GROUP,
        "rolebindings",
        {
            "metadata": {"name": "b", "namespace": "ns"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [subject],
        },
    )


async def test_access_reviews_answer_for_the_subject_or_the_caller(auth: Auth, reader: FakeReader) -> None:
    grant(reader)
    resource = {"verb": "get", "resource": "pods", "namespace": "ns"}
    spec = {"user": "x", "groups": ["dev"], "resourceAttributes": resource}
    group = "authorization.k8s.io"
    assert (await ask(auth, group, "subjectaccessreviews", {"spec": spec}))["allowed"] is True
    local = {"metadata": {"namespace": "ns"}, "spec": spec}
    assert (await ask(auth, group, "localsubjectaccessreviews", local))["allowed"] is True
    own = {"spec": {"resourceAttributes": resource}}
    assert (await ask(auth, group, "selfsubjectaccessreviews", own))["allowed"] is False
    dev = UserInfo("y", groups=("dev",))
    assert (await ask(auth, group, "selfsubjectaccessreviews", own, dev))["allowed"] is True
    rules = await ask(auth, group, "selfsubjectrulesreviews", {"spec": {"namespace": "ns"}}, dev)
    assert rules["resourceRules"] == [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]


@pytest.mark.parametrize(
    ("plural", "document"),
    [
        ("subjectaccessreviews", {"spec": {"resourceAttributes": {"verb": "get"}}}),
        ("subjectaccessreviews", {"spec": {"user": "x"}}),
        (
            "subjectaccessreviews",
            {"spec": {"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {}}},
        ),
        (
            "localsubjectaccessreviews",
            {"metadata": {"namespace": "a"}, "spec": {"user": "x", "resourceAttributes": {"namespace": "b"}}},
        ),
    ],
)
async def test_a_review_that_makes_no_sense_is_invalid(
    auth: Auth, plural: str, document: dict[str, Any]
) -> None:
    with pytest.raises(StatusError) as caught:
        await ask(auth, "authorization.k8s.io", plural, document)
    assert caught.value.code == 422


async def test_token_reviews_tell_good_from_bad(auth: Auth) -> None:
    group = "authentication.k8s.io"
    good = await ask(auth, group, "tokenreviews", {"spec": {"token": await issued(auth)}})
    assert (good["authenticated"], good["user"]["username"]) == (True, "system:serviceaccount:ns:sa")
    bad = await ask(auth, group, "tokenreviews", {"spec": {"token": "x"}})
    assert bad == {"user": {}, "error": "invalid bearer token"}


async def test_whoami_echoes_the_caller(auth: Auth) -> None:
    status = await ask(auth, "authentication.k8s.io", "selfsubjectreviews", {}, UserInfo("a", "u", ("g",)))
    assert status == {"userInfo": {"username": "a", "uid": "u", "groups": ["g"]}}


# Kubelets

KUBELET = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))


@pytest.mark.parametrize(
    ("verb", "resource", "subresource", "name", "allowed"),
    [
        ("list", "pods", "", "", False),
        ("get", "pods", "", "p", True),
        ("get", "pods", "", "q", False),
        ("patch", "pods", "status", "p", True),
        ("patch", "pods", "", "p", False),
        ("create", "pods", "binding", "p", False),
        ("patch", "nodes", "status", "n1", True),
        ("delete", "nodes", "", "n1", False),
        ("get", "secrets", "", "mine", True),
        ("get", "secrets", "", "pull", True),
        ("get", "secrets", "", "env", True),
        ("get", "secrets", "", "theirs", False),
        ("list", "secrets", "", "", False),
        ("update", "secrets", "", "mine", False),
        ("get", "configmaps", "", "cm", True),
        ("get", "configmaps", "", "projected", True),
        ("get", "persistentvolumeclaims", "", "claim", True),
        ("get", "persistentvolumes", "", "volume", True),
        ("get", "persistentvolumes", "", "other", False),
        ("create", "serviceaccounts", "token", "sa", True),
        ("create", "serviceaccounts", "token", "other", False),
    ],
)
def test_a_kubelet_reads_only_what_its_pods_name(
    auth: Auth, reader: FakeReader, verb: str, resource: str, subresource: str, name: str, allowed: bool
) -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "mine"}},
        {"name": "b", "configMap": {"name": "cm"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "d", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
    ]
    containers = [{"name": "c", "envFrom": [{"secretRef": {"name": "env"}}]}]
    reader.put("", "pods", pod(volumes=volumes, containers=containers, imagePullSecrets=[{"name": "pull"}]))
    theirs = [{"name": "a", "secret": {"secretName": "theirs"}}]
    reader.put("", "pods", pod("q", node="n2", volumes=theirs, serviceAccountName="other"))
    claim = {"metadata": {"name": "claim", "namespace": "ns"}, "spec": {"volumeName": "volume"}}
    reader.put("", "persistentvolumeclaims", claim)
    namespace = "" if resource in ("nodes", "persistentvolumes") else "ns"
    asked = Attributes(KUBELET, verb, "", "v1", resource, subresource, namespace, name)
    assert auth.authorizer.authorize(asked).allowed is allowed


@pytest.mark.parametrize(
    ("resource", "name", "selector", "reason"),
    [
        ("pods", "", "spec.nodeName=n1", ""),
        ("pods", "", "status.phase=Running,spec.nodeName==n1", ""),
        ("pods", "", "spec.nodeName!=n1", "can only list/watch pods with spec.nodeName field selector"),
        ("pods", "", "spec.nodeName=n2", "can only list/watch pods with spec.nodeName field selector"),
        ("nodes", "n1", "metadata.name=n1", ""),
        ("nodes", "", "", "node 'n1' cannot read all nodes, only its own Node object"),
        ("nodes", "n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
    ],
)
def test_a_kubelet_lists_and_watches_its_own_node_and_pods_only(
    auth: Auth, resource: str, name: str, selector: str, reason: str
) -> None:
    for verb in ("list", "watch"):
        asked = Attributes(KUBELET, verb, "", "v1", resource, name=name, field_selector=selector)
        decision = auth.authorizer.authorize(asked)
        assert (decision.allowed, decision.reason) == (not reason, reason)


def test_a_kubelet_loses_sight_of_a_secret_with_the_last_pod_that_names_it(
    auth: Auth, reader: FakeReader
) -> None:
    volumes = [{"name": "a", "secret": {"secretName": "s"}}]
    asked = Attributes(KUBELET, "get", "", "v1", "secrets", "", "ns", "s")
    reader.put("", "pods", pod("one", volumes=volumes))
    reader.put("", "pods", pod("two", volumes=volumes))
    reader.drop("", "pods", "ns", "one")
    assert auth.authorizer.authorize(asked).allowed
    reader.put("", "pods", pod("two"))
    assert not auth.authorizer.authorize(asked).allowed


def test_only_members_of_the_nodes_group_are_kubelets(auth: Auth) -> None:
    asked = Attributes(UserInfo("system:node:n1"), "list", "", "v1", "pods", "", "ns")
    assert not auth.authorizer.authorize(asked).allowed


def test_references_of_an_empty_pod_are_none() -> None:
    assert list(references_of({"metadata": {"name": "x"}})) == []
