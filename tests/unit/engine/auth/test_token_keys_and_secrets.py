"""Keys that sign tokens and keys that did, tokens held by secrets, and what others need to verify both."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from object_reader_fake import FakeReader

from edgevirt.engine.apiserver.auth import Auth, build
from edgevirt.engine.apiserver.auth.issuer_discovery import configuration, key_set
from edgevirt.engine.apiserver.auth.signing_keys import SigningKeys
from edgevirt.engine.apiserver.auth.token_secrets import NAME, TYPE, UID, filled, is_orphan
from edgevirt.engine.apiserver.auth.tokens import DEFAULT_AUDIENCE, InvalidToken
from edgevirt.engine.pki.authority import PkiError

pytestmark = pytest.mark.unit

ACCOUNT: dict[str, Any] = {"metadata": {"name": "sa", "namespace": "ns", "uid": "sa-uid"}}


@pytest.fixture
def reader() -> FakeReader:
    reader = FakeReader()
    reader.put("", "serviceaccounts", ACCOUNT)
    return reader


@pytest.fixture
def auth(reader: FakeReader, tmp_path: Path) -> Auth:
    return build(reader, tmp_path)


async def issued(auth: Auth) -> str:
    return str((await auth.tokens.issue(ACCOUNT, {"spec": {}}))["status"]["token"])


async def test_token_of_a_retired_key_stays_valid(auth: Auth, reader: FakeReader, tmp_path: Path) -> None:
    old = await issued(auth)
    auth.tokens.keys.rotate()
    new = await issued(auth)
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    for server in (auth, build(reader, tmp_path)):  # and after a restart
        for token in (old, new):
            assert server.tokens.verify(token).user.name == "system:serviceaccount:ns:sa"


async def test_token_of_a_key_that_was_removed_is_refused(
    auth: Auth, reader: FakeReader, tmp_path: Path
) -> None:
    old = await issued(auth)
    auth.tokens.keys.rotate()
    for path in tmp_path.glob("*.pub"):
        path.unlink()
    with pytest.raises(InvalidToken, match="not one of ours"):
        build(reader, tmp_path).tokens.verify(old)


def test_key_is_retired_after_a_year_and_not_before(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    now = datetime.now(UTC)
    assert not keys.rotate_if_due(now)
    year_ago = (now - timedelta(days=366)).timestamp()
    os.utime(tmp_path / "service-account.key", (year_ago, year_ago))
    first = keys.current_id
    assert keys.rotate_if_due(now)
    assert list(keys.public) == [keys.current_id, first]
    assert not keys.rotate_if_due(now)


def test_clock_that_starts_in_1970_retires_nothing(tmp_path: Path) -> None:
    assert not SigningKeys(tmp_path).rotate_if_due(datetime.fromtimestamp(0, UTC))


def test_damaged_retired_key_is_named(tmp_path: Path) -> None:
    SigningKeys(tmp_path)
    (tmp_path / "service-account.abc.pub").write_text("nonsense")
    with pytest.raises(PkiError, match=r"service-account\.abc\.pub is not a readable public key"):
        SigningKeys(tmp_path)


async def test_published_keys_verify_tokens(auth: Auth) -> None:
    auth.tokens.keys.rotate()
    token = await issued(auth)
    published = key_set(auth.tokens.keys.public)
    assert len(published["keys"]) == 2
    identifier = jwt.get_unverified_header(token)["kid"]
    key = next(one for one in published["keys"] if one["kid"] == identifier)
    decoded = jwt.decode(
        token, jwt.PyJWK.from_json(json.dumps(key)), algorithms=["ES256"], audience=DEFAULT_AUDIENCE
    )
    document = configuration(auth.tokens.issuer, "192.0.2.1:6443")
    assert decoded["iss"] == document["issuer"]
    assert document["jwks_uri"] == "https://192.0.2.1:6443/openid/v1/jwks"


def secret(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "namespace": "ns", "uid": "u", "annotations": {NAME: "sa", **annotations}},
        "type": TYPE,
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_token_secret_is_filled_once() -> None:
    full = filled(secret(), ACCOUNT, b"PEM", lambda: "token")
    assert full is not None
    assert full["data"] == {"ca.crt": encoded("PEM"), "namespace": encoded("ns"), "token": encoded("token")}
    assert full["metadata"]["annotations"] == {NAME: "sa", UID: "sa-uid"}
    assert filled(full, ACCOUNT, b"PEM", lambda: "another") is None
    renewed = filled(full, ACCOUNT, b"NEW", lambda: "another")
    assert renewed is not None
    assert renewed["data"]["token"] == encoded("token")


@pytest.mark.parametrize(
    ("annotations", "account", "orphan"),
    [
        ({}, ACCOUNT, False),
        ({UID: "sa-uid"}, ACCOUNT, False),
        ({UID: "older"}, ACCOUNT, True),
        ({}, None, True),
    ],
)
def test_token_secret_belongs_to_one_account(
    annotations: dict[str, str], account: dict[str, Any] | None, orphan: bool
) -> None:
    assert is_orphan(secret(**annotations), account) is orphan


def test_token_of_a_secret_is_valid_while_the_secret_holds_it(auth: Auth, reader: FakeReader) -> None:
    token = auth.tokens.issue_for_secret(ACCOUNT, "s")
    held = {**secret(), "data": {"token": encoded(token)}}
    reader.put("", "secrets", held)
    user = auth.tokens.verify(token).user
    assert (user.name, user.uid) == ("system:serviceaccount:ns:sa", "sa-uid")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns")
    with pytest.raises(InvalidToken, match="another audience"):
        auth.tokens.verify(token, ("elsewhere",))
    reader.put("", "secrets", {**held, "data": {"token": encoded("another")}})
    with pytest.raises(InvalidToken, match="not the one its secret holds"):
        auth.tokens.verify(token)
    reader.put("", "secrets", held)
    assert auth.tokens.verify(token)
    reader.put("", "serviceaccounts", {"metadata": {**ACCOUNT["metadata"], "uid": "newer"}})
    with pytest.raises(InvalidToken, match="does not exist any more"):
        auth.tokens.verify(token)
