"""The local cloud against Google's own programs: the same calls, the same answers.

Judges are Google's clients (tests/peers, over Node) and Google's emulators. What is not installed is skipped and
says so; then the local cloud still has to pass everything that can be judged without it.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

import accounts_requests
import evidence
import firestore_emulator
import firestore_requests
from evidence import canary
from firestore_emulator import FirestoreEmulator
from members import FIREBASE, PEERS, AuthEmulator, MembersStack
from processes import free_port
from services import PROJECT_ID
from suite import call, wait_until

NODE_TIMEOUT_S = 150


def why_no_peers():
    if not shutil.which("node"):
        return "node is not installed"
    if not os.path.isdir(os.path.join(PEERS, "node_modules", "@google-cloud", "firestore")):
        return "tests/peers is not installed (npm ci)"
    return None


def why_no_auth_emulator():
    if not os.access(FIREBASE, os.X_OK):
        return "the Firebase Auth emulator is not installed (npm package firebase-tools; set FIREBASE_TOOLS)"
    return None


@pytest.fixture(scope="module")
def local():
    with MembersStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def emulator():
    if firestore_emulator.why_not():
        pytest.skip(firestore_emulator.why_not())
    with FirestoreEmulator() as running:
        yield running.host


@pytest.fixture(scope="module")
def auth_emulator():
    if why_no_auth_emulator():
        pytest.skip(why_no_auth_emulator())
    running = AuthEmulator()
    yield running.host
    running.stop()


@pytest.fixture
def custom_token(local):
    """Custom tokens of the stack's service account; uid=None leaves it out."""
    with open(local.key_file, encoding="ascii") as file:
        email = json.load(file)["client_email"]

    def make(uid=None, aud=accounts_requests.AUDIENCE, claims=None, key=local.account_key, **more):
        now = int(time.time())
        body = {"iss": email, "sub": email, "aud": aud, "iat": now, "exp": now + 3600, **more}
        if uid is not None:
            body["uid"] = uid
        if claims is not None:
            body["claims"] = claims
        signed = ".".join(part(one) for one in ({"alg": "RS256", "typ": "JWT"}, body))
        token = f"{signed}.{part(key.sign(signed.encode()))}"
        canary(token.split(".")[2])
        return token

    return make


def part(content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def node(script, **env):
    if why_no_peers():
        pytest.skip(why_no_peers())
    run = subprocess.run(["node", script], cwd=PEERS, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=NODE_TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def assert_same(ours, googles):
    """One by one, so that a difference says which step it is."""
    assert [step[0] for step in ours] == [step[0] for step in googles]
    different = [f"{mine[0]}\n    local cloud: {mine[1:]}\n    Google:      {theirs[1:]}"
                 for mine, theirs in zip(ours, googles) if mine != theirs]
    assert not different, f"{len(different)} of {len(ours)} steps differ\n" + "\n".join(different[:20])


# --- Firestore ------------------------------------------------------------------------------------------------


def test_firestore_googles_client_gets_what_the_emulator_answers(local, emulator):
    ours = node("firestore_conformance.js", FIRESTORE_EMULATOR_HOST=local.firestore_host)
    assert len(ours) > 200
    assert_same(ours, node("firestore_conformance.js", FIRESTORE_EMULATOR_HOST=emulator))


def test_firestore_googles_client_alone_sees_no_surprise(local):
    """Where there is no emulator: only the refusals that the script asks for."""
    ours = node("firestore_conformance.js", FIRESTORE_EMULATOR_HOST=local.firestore_host)
    refused = {name: outcome for name, outcome in ours if isinstance(outcome, dict) and outcome.keys() & {"error", "thrown"}}
    assert refused == {
        "create existing": {"error": 6}, "update missing": {"error": 5}, "update with old time": {"error": 9},
        "delete missing that must exist": {"error": 5}, "reserved id": {"error": 3}, "reserved field": {"error": 3},
        "batch refused": {"error": 6}, "transaction refused by a precondition": {"error": 6}}


def test_firestore_bare_requests_get_what_the_emulator_answers(local, emulator):
    ours = firestore_requests.run(local.firestore_host)
    assert len(ours) > 300
    assert_same(ours, firestore_requests.run(emulator))


# --- accounts -------------------------------------------------------------------------------------------------


def test_accounts_bare_requests_get_what_the_emulator_answers(local, auth_emulator, custom_token):
    ours = accounts_requests.run(local.auth_host, PROJECT_ID, custom_token)
    assert len(ours) > 50
    assert_same(ours, accounts_requests.run(auth_emulator, PROJECT_ID, custom_token))


def test_accounts_firebase_admin_gets_what_the_emulator_answers(local, auth_emulator):
    env = {"GOOGLE_APPLICATION_CREDENTIALS": local.key_file, "PROJECT_ID": PROJECT_ID}
    ours = node("firebase_admin_conformance.js", FIREBASE_AUTH_EMULATOR_HOST=local.auth_host, **env)
    assert len(ours) >= 30
    assert_same(ours, node("firebase_admin_conformance.js", FIREBASE_AUTH_EMULATOR_HOST=auth_emulator, **env))


def test_accounts_firebase_admin_alone_sees_no_surprise(local):
    ours = node("firebase_admin_conformance.js", FIREBASE_AUTH_EMULATOR_HOST=local.auth_host,
                GOOGLE_APPLICATION_CREDENTIALS=local.key_file, PROJECT_ID=PROJECT_ID)
    refused = {name: outcome for name, outcome in ours if isinstance(outcome, dict) and outcome.keys() & {"error", "thrown"}}
    assert refused == {
        "create again": {"error": "auth/uid-already-exists"}, "create with a taken e-mail": {"error": "auth/email-already-exists"},
        "create with a taken phone number": {"error": "auth/phone-number-already-exists"},
        "get unknown": {"error": "auth/user-not-found"}, "get by unknown e-mail": {"error": "auth/user-not-found"},
        "update unknown": {"error": "auth/user-not-found"}, "delete again": {"error": "auth/user-not-found"},
        "claims too large": {"error": "auth/claims-too-large"}, "sign in disabled": {"error": "USER_DISABLED"}}


# --- Kenni ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_kenni_answers_as_a_certified_provider_does(local, tmp_path, method):
    person = {"sub": "team-0101302989", "national_id": "0101302989", "name": "Person 010130",
              "email": "p0101302989@example.is", "email_verified": True, "phone_number": "+354 555 1234",
              "phone_number_verified": False}  # as tests/peers/kenni_provider.mjs has him
    (tmp_path / "people.json").write_text(json.dumps([person]))
    client = {"id": "@test/app", "secret": canary("a secret & of Kenni's: 100%"), "redirectUri": "http://localhost:3000"}
    env = {"CLIENT_ID": client["id"], "CLIENT_SECRET": client["secret"], "REDIRECT_URI": client["redirectUri"],
           "NATIONAL_ID": person["national_id"], "AUTH_METHOD": method}
    cloud = local.start("local-cloud", PEOPLE_FILE=tmp_path / "people.json", KENNI_CLIENT_ID=client["id"],
                        KENNI_CLIENT_SECRET=client["secret"], KENNI_REDIRECT_URIS=client["redirectUri"])
    ours = node("kenni_conformance.js", ISSUER=cloud.url + "/kenni", **env)
    local.stop_own()
    with provider({**client, "authMethod": method}) as issuer:
        assert_same(ours, node("kenni_conformance.js", ISSUER=issuer, **env))


@contextmanager
def provider(client):
    port = free_port()
    process = subprocess.Popen(["node", "kenni_provider.mjs", str(port)], cwd=PEERS, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "CLIENT": json.dumps(client)})
    issuer = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(issuer + "/.well-known/openid-configuration"), 30, 0.1)
        yield issuer
    finally:
        process.kill()
        process.wait()


def answers(url):
    try:
        return call(url, timeout_s=2).status == 200
    except OSError:
        return False


# --- our own client -------------------------------------------------------------------------------------------


def test_firestore_our_client_passes_all_of_its_tests(local):
    """What ctest runs against Google's emulator, here with the local cloud in both places."""
    program = os.path.join(evidence.BUILD, "tests", "cloud_client_test")
    if not os.access(program, os.X_OK):
        pytest.skip("cloud_client_test is not built")
    run = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=NODE_TIMEOUT_S, check=False,
                         env={**os.environ, "LOCAL_CLOUD_HOST": local.firestore_host,
                              "FIRESTORE_EMULATOR_HOST": local.firestore_host,
                              "FIREBASE_AUTH_EMULATOR_HOST": local.auth_host})
    assert run.returncode == 0, run.stdout[-3000:]
    assert run.stdout.count("[       OK ]") > 40


# --- the peers ------------------------------------------------------------------------------------------------


def test_peers_lock_file_names_no_registry():
    with open(os.path.join(PEERS, "package-lock.json"), encoding="utf-8") as lock:
        packages = json.load(lock)["packages"]
    assert packages and not [name for name, one in packages.items() if "resolved" in one]
    assert evidence.ROOT in PEERS
