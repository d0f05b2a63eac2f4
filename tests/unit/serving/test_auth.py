"""Whom the service lets in: every way to forge a token that we know of is refused."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.domain.ids import canonical_id
from app.errors import InvalidInput, NotFound, Unavailable
from app.serving.access import ACCESS, PUBLIC, Caller, Role, may_enter
from app.serving.auth import MAX_TOKEN_LENGTH, TokenVerifier
from app.serving.key_source import FILE_CHECKED_EVERY_S, FileKeys
from app.serving.keys import make_development_keys, sign_token
from app.serving.problems import Problem

WHO: Any = {"issuer": "learnrec", "audience": "learnrec"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_development_keys(folder / "jwt.pem", folder / "jwks.json")
    return folder


@pytest.fixture
def verifier(keys: Path) -> TokenVerifier:
    return TokenVerifier(FileKeys(keys / "jwks.json"), **WHO)


def private_key(keys: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key((keys / "jwt.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def kid(keys: Path) -> str:
    return json.loads((keys / "jwks.json").read_text())["keys"][0]["kid"]


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    good = {"sub": "ada", "role": "learner", "iss": "learnrec", "aud": "learnrec"}
    good |= {"iat": now, "nbf": now, "exp": now + timedelta(minutes=5)}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(keys: Path, *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), private_key(keys), "RS256", headers={"kid": kid(keys), **(headers or {})})


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Problem) as caught:
        verifier.caller(f"Bearer {token}")
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    return caught.value.detail


def test_a_signed_token_says_who_is_calling(keys: Path, verifier: TokenVerifier) -> None:
    token = sign_token(keys / "jwt.pem", user="ada", role=Role.SERVICE, **WHO, ttl_s=60)
    caller = verifier.caller(f"Bearer {token}")
    assert (caller.subject, caller.role) == (canonical_id("ada"), Role.SERVICE)
    assert 50 < caller.expires_at - time.time() <= 60
    assert verifier.caller(f"bearer {token}") is caller  # remembered, and the scheme's case does not matter


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
def test_no_token_is_no_entry(verifier: TokenVerifier, header: str | None) -> None:
    with pytest.raises(Problem, match="no token"):
        verifier.caller(header)


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "é" * 10, "\x00", "e30.e30.", "a" * MAX_TOKEN_LENGTH])
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    refused(verifier, token)


def test_an_oversized_token_is_not_even_read(keys: Path, verifier: TokenVerifier) -> None:
    assert "characters" in refused(verifier, signed(keys, padding="x" * MAX_TOKEN_LENGTH))


def test_algorithm_none_is_refused(keys: Path, verifier: TokenVerifier) -> None:
    token = jwt.encode(claims(), "", "none", headers={"kid": kid(keys)})
    assert "RS256" in refused(verifier, token)


def test_a_signature_that_was_cut_off_is_refused(keys: Path, verifier: TokenVerifier) -> None:
    head, body, _ = signed(keys).split(".")
    refused(verifier, f"{head}.{body}.")


def test_the_public_key_is_no_shared_secret(keys: Path, verifier: TokenVerifier) -> None:
    public = private_key(keys).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head, body, _ = jwt.encode(claims(), "x" * 64, "HS256", headers={"kid": kid(keys)}).split(".")
    mac = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(mac.sign(f"{head}.{body}".encode(), pem)).rstrip(b"=").decode()
    assert "RS256" in refused(verifier, f"{head}.{body}.{signature}")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_other_algorithms_with_the_right_key_are_refused(keys: Path, verifier: TokenVerifier, algorithm: str) -> None:
    token = jwt.encode(claims(), private_key(keys), algorithm, headers={"kid": kid(keys)})
    assert "RS256" in refused(verifier, token)


def test_a_key_that_is_not_ours_is_refused_even_under_our_kid(keys: Path, verifier: TokenVerifier) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "Signature" in refused(verifier, jwt.encode(claims(), stranger, "RS256", headers={"kid": kid(keys)}))
    assert "kid" in refused(verifier, jwt.encode(claims(), stranger, "RS256", headers={"kid": "other"}))
    assert "kid" in refused(verifier, jwt.encode(claims(), private_key(keys), "RS256"))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit"])
def test_a_token_may_not_bring_its_own_key(keys: Path, verifier: TokenVerifier, name: str) -> None:
    assert name in refused(verifier, signed(keys, headers={name: ["https://example.org/keys"]}))


@pytest.mark.parametrize("name", ["sub", "role", "iss", "aud", "exp", "nbf", "iat"])
def test_every_claim_is_needed(keys: Path, verifier: TokenVerifier, name: str) -> None:
    assert name in refused(verifier, signed(keys, **{name: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "someone"},
        {"aud": "another-service"},
        {"role": "root"},
        {"role": ["admin"]},
        {"sub": ""},
        {"sub": "x" * 65},
        {"sub": 7},
    ],
    ids=str,
)
def test_wrong_claims_are_refused(keys: Path, verifier: TokenVerifier, changes: dict[str, Any]) -> None:
    refused(verifier, signed(keys, **changes))


def test_a_token_is_good_from_nbf_to_exp_give_or_take_thirty_seconds(keys: Path, verifier: TokenVerifier) -> None:
    for token in (signed(keys, exp=ago(20)), signed(keys, nbf=ago(-20), iat=ago(-20))):
        assert verifier.caller(f"Bearer {token}").role is Role.LEARNER
    for token in (signed(keys, exp=ago(40)), signed(keys, nbf=ago(-60)), signed(keys, iat=ago(-60))):
        refused(verifier, token)


def test_a_remembered_token_is_forgotten_when_it_ends(keys: Path) -> None:
    clock = Clock(time.time())
    verifier = TokenVerifier(FileKeys(keys / "jwks.json"), **WHO, clock=clock)
    token = signed(keys, exp=ago(25))  # within the leeway: verified, but never remembered
    first = verifier.caller(f"Bearer {token}")
    assert verifier.caller(f"Bearer {token}") is not first
    lasting = signed(keys)
    remembered = verifier.caller(f"Bearer {lasting}")
    clock.now += 301
    assert verifier.caller(f"Bearer {lasting}") is not remembered


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_rotated_key_is_taken_up_and_the_withdrawn_one_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        make_development_keys(folder / "jwt.pem", folder / "jwks.json")
    served = tmp_path / "jwks.json"
    served.write_bytes((old / "jwks.json").read_bytes())
    clock = Clock(time.time())
    verifier, token = TokenVerifier(FileKeys(served, clock=clock), **WHO, clock=clock), signed(old)
    verifier.caller(f"Bearer {token}")
    served.write_bytes((new / "jwks.json").read_bytes() + b"\n")
    assert verifier.caller(f"Bearer {token}")  # not looked at yet
    clock.now += FILE_CHECKED_EVERY_S + 0.1
    refused(verifier, token)
    assert verifier.caller(f"Bearer {signed(new)}")
    served.write_text("{ not JSON")
    clock.now += FILE_CHECKED_EVERY_S + 0.1
    assert verifier.caller(f"Bearer {signed(new)}")  # the last good keys hold


@pytest.mark.parametrize("content", [None, "", "[]", '{"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}'])
def test_without_keys_nobody_comes_in_and_the_service_says_why(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "jwks.json").write_text(content)
    with pytest.raises(Unavailable, match="jwks"):
        TokenVerifier(FileKeys(tmp_path / "jwks.json"), **WHO).caller("Bearer x.y.z")


def test_keys_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    pem, jwks = tmp_path / "keys" / "jwt.pem", tmp_path / "keys" / "jwks.json"
    make_development_keys(pem, jwks)
    before = pem.read_bytes(), jwks.read_bytes()
    make_development_keys(pem, jwks)
    assert (pem.read_bytes(), jwks.read_bytes()) == before
    assert [path.stat().st_mode & 0o777 for path in (pem, jwks)] == [0o600, 0o600]
    assert not {"d", "p", "q", "dp", "dq", "qi"} & json.loads(before[1])["keys"][0].keys()
    jwks.unlink()
    make_development_keys(pem, jwks)
    assert jwks.read_bytes() == before[1]


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (NotFound, lambda folder: sign_token(folder / "none.pem", user="a", role=Role.ADMIN, **WHO)),
        (InvalidInput, lambda folder: sign_token(folder / "jwt.pem", user=" ", role=Role.ADMIN, **WHO)),
        (InvalidInput, lambda folder: sign_token(folder / "jwt.pem", user="a", role=Role.ADMIN, **WHO, ttl_s=0)),
    ],
)
def test_a_token_that_cannot_be_signed_says_why(
    keys: Path, error: type[Exception], make: Callable[[Path], str]
) -> None:
    with pytest.raises(error):
        make(keys)


def test_a_learner_acts_for_themselves_only() -> None:
    ada, ben = canonical_id("ada"), canonical_id("ben")
    assert Caller(ada, Role.LEARNER, 0).may_act_for(ada)
    assert not Caller(ada, Role.LEARNER, 0).may_act_for(ben)
    assert Caller(ada, Role.SERVICE, 0).may_act_for(ben)


def test_what_is_not_in_the_table_is_open_to_nobody() -> None:
    assert not any(may_enter(role, "GET", "/secret") for role in Role)
    assert not any(may_enter(role, "DELETE", "/events") for role in Role)
    assert not PUBLIC & ACCESS.keys()
