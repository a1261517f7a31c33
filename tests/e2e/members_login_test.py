"""The whole login with other people's programs on both sides: a certified OpenID provider, Google's own clients.

Needs tests/peers (see its README); skipped with a reason where it is not installed. The Auth service is Google's emulator
or the local stand-in.
"""

import json
import os
import shutil
import subprocess

import pytest

import services
from cryptography.hazmat.primitives import serialization
from kenni import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI
from members import PEERS, MembersStack, payload, why_no_google
from processes import end, free_port
from suite import canary, kennitala, wait_until

CLIENT = {"id": CLIENT_ID, "secret": CLIENT_SECRET, "redirectUri": REDIRECT_URI}


def why_no_peers():
    if not shutil.which("node"):
        return "node is not installed"
    missing = [name for name in ("oidc-provider", "firebase", "firebase-admin", "jose")
               if not os.path.isdir(os.path.join(PEERS, "node_modules", name))]
    return f"tests/peers lacks {', '.join(missing)}: npm ci there" if missing else None


pytestmark = pytest.mark.skipif(bool(why_no_peers()), reason=str(why_no_peers()))


@pytest.fixture(scope="module", params=["stand-in", "emulators"])
def members(request):
    google = request.param == "emulators"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google) as stack:
        yield stack


class Provider:
    def __init__(self, claims_at="id_token"):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["node", os.path.join(PEERS, "kenni_provider.mjs"), str(self.port)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "CLIENT": json.dumps(CLIENT), "CLAIMS_AT": claims_at})
        self.issuer = self.process.stdout.readline().decode().strip()
        assert self.issuer, "the provider did not start"

    def close(self):
        end(self.process)
        self.process.stdout.close()

    def settings(self, **more):
        return {"KENNI_IS_ISSUER_URL": self.issuer, "KENNI_IS_CLIENT_ID": CLIENT_ID, "KENNI_IS_CLIENT_SECRET": CLIENT_SECRET,
                "KENNI_IS_REDIRECT_URI": REDIRECT_URI, "ALLOW_HTTP_UPSTREAMS": "true", **more}


@pytest.fixture(scope="module")
def provider():
    running = Provider()
    yield running
    running.close()


@pytest.fixture
def started(members, provider):
    yield (members.start("handlekenniauth", **provider.settings()), members.start("verifymembership"))
    assert not members.stop_own()


def node(script, environment, text=None):
    run = subprocess.run(["node", os.path.join(PEERS, script)], input=text, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env={**os.environ, **environment}, timeout=90, check=False)
    assert run.returncode == 0 and run.stdout, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def sign_in(members, provider, login, verify, number, **more):
    canary(f"p{number}@example.is", f"Person {number[:6]}", "5551234", "555 1234")  # as the provider's person has them
    seen = node("portal.mjs", {
        "ISSUER": provider.issuer, "CLIENT": json.dumps(CLIENT), "LOGIN_URL": f"{login.url}/handleKenniAuth",
        "VERIFY_URL": f"{verify.url}/verifyMembership", "AUTH_EMULATOR": members.auth_host, "PROJECT": services.PROJECT_ID,
        "KENNITALA": number, "FORWARDED_FOR": f"198.51.100.{int(number[:2])}", **more})
    assert "failed" not in seen, seen
    for token in (seen["login"].get("customToken"), seen.get("idToken")):
        if token:
            canary(*[part for part in token.split(".")[1:] if part])
    canary(seen["uid"])
    return seen


def test_member_signs_in_with_the_real_programs(members, provider, started):
    number = kennitala()
    members.set(f"members/{number}", membership={"status": "active"}, profile={"name": "x"})
    seen = sign_in(members, provider, *started, number, NONCE="nonce-of-the-page")
    assert seen["login"]["status"] == 200 and seen["login"]["uid"] == seen["uid"]
    assert seen["again"]["status"] == 502 and seen["again"]["reason"] == "code_rejected"  # a code is good once
    assert seen["before"]["kennitala"] == number and seen["before"]["roles"] == ["member"]
    assert "isMember" not in seen["before"]
    assert seen["membership"]["isMember"] is True and seen["membership"]["kennitala"] == f"{number[:6]}-****"
    assert seen["after"]["isMember"] is True and seen["after"]["kennitala"] == number
    stored = members.get(f"users/{seen['uid']}")
    assert stored["email"] == f"p{number}@example.is" and stored["phoneNumber"] == "5551234" and stored["isMember"] is True


def test_everybody_with_an_id_signs_in_but_is_no_member(members, provider, started):
    seen = sign_in(members, provider, *started, kennitala())
    assert seen["login"]["status"] == 200
    assert seen["membership"]["isMember"] is False and seen["after"]["isMember"] is False


def test_same_person_twice_same_uid(members, provider, started):
    number = kennitala()
    assert sign_in(members, provider, *started, number)["uid"] == sign_in(members, provider, *started, number)["uid"]


def test_claims_at_userinfo_as_the_standard_has_it(members, started):
    provider = Provider(claims_at="userinfo")
    try:
        login = members.start("handlekenniauth", **provider.settings())
        number = kennitala()
        seen = sign_in(members, provider, login, started[1], number)
        assert seen["before"]["kennitala"] == number
    finally:
        provider.close()


def test_firebase_admin_accepts_token_account_and_claims(members, provider, started):
    number = kennitala()
    seen = sign_in(members, provider, *started, number)
    public = members.account_key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    keys = {} if members.google else {"JWKS_URL": f"{members.cloud.url}/jwks"}
    found = node("admin_check.mjs",
                 {"FIREBASE_AUTH_EMULATOR_HOST": members.auth_host, "PROJECT": services.PROJECT_ID, **keys}, json.dumps({"idToken": seen["idToken"], "customToken": seen["login"]["customToken"], "uid": seen["uid"],
                             "publicKey": public}))
    assert found["header"]["alg"] == "RS256" and found["header"]["typ"] == "JWT"
    theirs, ours = found["sameMembers"]
    assert ours == theirs
    assert found["sameClaims"] == found["signedClaims"]
    assert found["signedClaims"] == payload(seen["login"]["customToken"])["claims"]
    assert found["account"]["customClaims"] == {**found["signedClaims"], "isMember": False}
    assert found["idToken"].get("uid") == seen["uid"], found["idToken"]
    assert found["idToken"]["kennitala"] == number


def test_provider_gone_is_said_and_the_next_login_works(members, started):
    provider = Provider()
    login = members.start("handlekenniauth", **provider.settings())
    assert wait_until(lambda: login.get("/health/ready").status == 200)
    provider.close()
    reply = login.post("/", {"kenniAuthCode": "x", "pkceCodeVerifier": "v" * 43})
    assert reply.status == 502 and reply.json["error"] == "TOKEN_EXCHANGE_FAILED"
    assert reply.json["reason"] == "provider_unreachable"
    assert login.get("/health").status == 200
