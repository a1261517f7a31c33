"""The local cloud: its tokens have Google's claims, its keys verify them, and nobody else can reach it."""

import base64
import json
import subprocess
import time

import pytest

from evidence import canary
from suite import call, person, remember_token


def part(token, index):
    text = token.split(".")[index]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(token):
    return json.loads(part(token, 1))


def verified_by_openssl(token, jwks, directory):
    """An independent judge: the openssl program, with a key made from the published modulus."""
    kid = json.loads(part(token, 0))["kid"]
    key = next(key for key in jwks["keys"] if key["kid"] == kid)
    modulus, exponent = (base64.urlsafe_b64decode(key[name] + "==").hex() for name in ("n", "e"))
    asn1 = ("asn1=SEQUENCE:pubkeyinfo\n[pubkeyinfo]\nalgorithm=SEQUENCE:rsa_alg\npubkey=BITWRAP,SEQUENCE:rsapubkey\n"
            "[rsa_alg]\nalgorithm=OID:rsaEncryption\nparameter=NULL\n"
            f"[rsapubkey]\nn=INTEGER:0x{modulus}\ne=INTEGER:0x{exponent}\n")
    (directory / "asn1").write_text(asn1)
    (directory / "signature").write_bytes(part(token, 2))
    (directory / "signed").write_text(token.rpartition(".")[0])
    subprocess.run(["openssl", "asn1parse", "-genconf", "asn1", "-out", "key.der", "-noout"], cwd=directory, check=True)
    verdict = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.der", "-keyform", "DER", "-signature", "signature", "signed"],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    return verdict.returncode == 0


def test_token_person_has_googles_claims_and_theirs(stack):
    who = person(roles=("member", "admin"), email="anna@example.is")
    canary(who["email"])
    got = claims(stack.cloud.token(**who))

    assert got["iss"] == "https://securetoken.google.com/demo-ekklesia" and got["aud"] == "demo-ekklesia"
    assert got["sub"] == got["user_id"] == who["uid"]
    assert got["exp"] == got["iat"] + 3600 and abs(got["iat"] - time.time()) < 60 and got["auth_time"] == got["iat"]
    assert got["firebase"]["sign_in_provider"] == "custom"
    assert {name: got[name] for name in ("kennitala", "roles", "isMember", "email")} == {
        name: who[name] for name in ("kennitala", "roles", "isMember", "email")}
    assert "uid" not in got


def test_jwks_published_key_verifies_tokens_and_is_cacheable(stack, tmp_path):
    reply = call(stack.cloud.url + "/jwks")
    assert "max-age=3600" in reply.headers["Cache-Control"]
    token = stack.cloud.token(**person())
    assert verified_by_openssl(token, reply.json, tmp_path)
    other = stack.cloud.token(**person())
    forged = token.rpartition(".")[0] + "." + other.rpartition(".")[2]
    assert not verified_by_openssl(forged, reply.json, tmp_path)


def test_app_check_token_has_its_own_key_and_an_audience_array(stack, tmp_path):
    token = stack.cloud.app_check("1:1:web:portal")
    got = claims(token)
    assert got["sub"] == "1:1:web:portal" and "projects/demo-ekklesia" in got["aud"]
    assert got["iss"].startswith("https://firebaseappcheck.googleapis.com/")
    assert verified_by_openssl(token, call(stack.cloud.url + "/app-check/jwks").json, tmp_path)
    assert json.loads(part(token, 0))["kid"] not in [key["kid"] for key in call(stack.cloud.url + "/jwks").json["keys"]]


def test_token_asked_to_be_wrong_is_wrong_in_that_point_only(stack):
    who = person()
    got = claims(stack.cloud.token(**who, iss="https://example.is", ttl_s=-60, auth_time=None, project="other"))
    assert got["iss"] == "https://example.is" and got["aud"] == "other" and got["exp"] == got["iat"] - 60
    assert "auth_time" not in got and got["sub"] == who["uid"]


@pytest.mark.parametrize("body", [
    {}, {"uid": ""}, {"uid": 7}, [], {"uid": "a", "ttl_s": 2**60}, {"uid": "a", "ttl_s": 1.5}, {"uid": "a", "x": "y" * 5000},
])
def test_token_bad_call_is_refused(stack, body):
    assert call(stack.cloud.url + "/token", "POST", body).status == 400


@pytest.mark.parametrize("body", [
    {"count": 0}, {"count": 5001}, {"count": "3"}, {"tokens": [{"uid": "a"}, {}]}, {"tokens": [7]},
    {"tokens": [{"uid": "a"}] * 5001}, {"count": 2, "prefix": "p" * 100000}, {},
])
def test_tokens_bad_call_is_refused(stack, body):
    assert call(stack.cloud.url + "/tokens", "POST", body).status == 400


def test_tokens_three_thousand_in_one_call_are_all_different_people(stack):
    reply = call(stack.cloud.url + "/tokens", "POST", {"count": 3000, "prefix": "hall-", "isMember": True}, timeout_s=60)
    tokens = reply.json["idTokens"]
    people = [claims(token) for token in tokens]
    assert len(tokens) == 3000
    assert [got["sub"] for got in people] == [f"hall-{n}" for n in range(3000)]
    assert len({got["kennitala"] for got in people}) == 3000 and all(got["isMember"] is True for got in people)


def test_tokens_list_gives_one_each_in_order(stack):
    asked = [person(), person(member=None)]
    got = [claims(token) for token in stack.cloud.tokens(asked)]
    assert [one["sub"] for one in got] == [one["uid"] for one in asked]
    assert got[0]["isMember"] is True and "isMember" not in got[1]


def test_start_restart_keeps_its_keys(own_stack):
    before = call(own_stack.cloud.url + "/jwks").json
    own_stack.service("local-cloud").process.stop()
    own_stack.stack.up(say=lambda _: None)
    assert call(own_stack.cloud.url + "/jwks").json == before


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_start_address_others_can_reach_is_refused(stack, address):
    service = stack.start("local-cloud", healthy=False, LISTEN_ADDRESS=address)
    assert service.wait() == 1
    assert "loopback" in service.log_text()


def test_events_token_of_another_issuer_is_refused(stack):
    """The services trust this issuer's keys, and nobody else's."""
    with_own_keys = stack.start("local-cloud", KEY_DIR="")
    token = remember_token(call(with_own_keys.url + "/token", "POST", person()).json["idToken"])
    good = stack.cloud.token(**person())
    events = stack.service("events")
    assert events.get("/api/my-status", token=good).status != 401
    assert events.get("/api/my-status", token=token).status == 401
