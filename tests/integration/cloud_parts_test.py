"""What the local cloud does beyond Google's emulators: it signs and checks, it remembers, it fails when told to."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from accounts_requests import AUDIENCE
from evidence import canary
from firestore_emulator import typed
from kenni import b64, key, pkce
from members import MembersStack, payload
from services import PROJECT_ID
from suite import call

CLIENT = {"client_id": "@local/ekklesia", "client_secret": "local-kenni-secret"}
REDIRECT_URI = "http://localhost:3000"
SETTINGS = {"KENNI_CLIENT_ID": CLIENT["client_id"], "KENNI_CLIENT_SECRET": CLIENT["client_secret"],
            "KENNI_REDIRECT_URIS": f"https://portal.example.is, {REDIRECT_URI}"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def members():
    with MembersStack() as stack:
        yield stack


@pytest.fixture
def cloud(members):
    """A local cloud of the test's own: cloud(DATABASE_FILE=…)."""
    def start(**env):
        return Own(members.start("local-cloud", **{"DATABASE_FILE": "", **SETTINGS, **env}))

    yield start
    assert not members.stop_own()


class Own:
    """Shorthands for one instance."""

    def __init__(self, service):
        self.service = service
        self.url = service.url
        self.name = f"projects/{PROJECT_ID}/databases/(default)/documents"
        self.documents = f"{self.url}/v1/{self.name}"
        self.accounts = f"{self.url}/identitytoolkit.googleapis.com/v1/projects/{PROJECT_ID}/accounts"

    def set(self, path, **fields):
        reply = call(f"{self.documents}/{path}", "PATCH", {"fields": typed(fields)}, token="owner")
        assert reply.status == 200, reply

    def post(self, verb, body):
        return call(self.documents + verb, "POST", body, token="owner")

    def write(self, path, **fields):
        return {"update": {"name": f"{self.name}/{path}", "fields": typed(fields)}}

    def begin(self):
        return self.post(":beginTransaction", {}).json["transaction"]

    def toolkit(self, verb, **body):
        return call(self.accounts + verb, "POST", body, token="owner")

    def sign_in(self, token):
        return call(f"{self.url}/identitytoolkit.googleapis.com/v1/accounts:signInWithCustomToken?key=any", "POST",
                    {"token": token, "returnSecureToken": True})

    def refresh(self, token):
        return call(f"{self.url}/securetoken.googleapis.com/v1/token?key=any", "POST",
                    urlencode({"grant_type": "refresh_token", "refresh_token": token}).encode(), FORM)

    def fail(self, path_prefix, **rule):
        reply = call(f"{self.url}/_faults", "POST", {"path_prefix": path_prefix, **rule})
        assert reply.status == 201, reply


def verify(token, jwks):
    """Raises when the key of that document did not sign the token."""
    head, body, signature = token.split(".")
    kid = json.loads(raw(head))["kid"]
    numbers = next(one for one in jwks["keys"] if one["kid"] == kid)
    public = rsa.RSAPublicNumbers(*(int.from_bytes(raw(numbers[name]), "big") for name in ("e", "n"))).public_key()
    public.verify(raw(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def email_of(members):
    with open(members.key_file, encoding="ascii") as file:
        return json.load(file)["client_email"]


def custom_token(signer, email, header=None, **changes):
    now = int(time.time())
    claims = {"iss": email, "sub": email, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "uid": "anna",
              **changes}
    head, body = (b64(json.dumps(part).encode()) for part in (header or {"alg": "RS256", "typ": "JWT"}, claims))
    return f"{head}.{body}." + canary(b64(signer.sign(f"{head}.{body}".encode())))


# --- transactions ---------------------------------------------------------------------------------------------


def test_transaction_document_changed_by_another_is_aborted(cloud):
    own = cloud()
    own.set("c/a", n=1)
    for victim in ("c/a", "c/none"):  # one that is there, one that is not
        t = own.begin()
        own.post(":batchGet", {"documents": [f"{own.name}/{victim}"], "transaction": t})
        own.set(victim, n=2)
        reply = own.post(":commit", {"writes": [own.write("c/a", n=3)], "transaction": t})
        assert (reply.status, reply.json["error"]["status"]) == (409, "ABORTED")
    assert call(f"{own.documents}/c/a", token="owner").json["fields"]["n"] == {"integerValue": "2"}


@pytest.mark.parametrize("other,status", [({"kind": "wanted"}, 409), ({"kind": "another"}, 200)])
def test_transaction_query_sees_new_matches_and_only_those(cloud, other, status):
    own = cloud()
    own.set("c/a", kind="wanted")
    where = {"fieldFilter": {"field": {"fieldPath": "kind"}, "op": "EQUAL", "value": {"stringValue": "wanted"}}}
    t = own.begin()
    own.post(":runQuery", {"structuredQuery": {"from": [{"collectionId": "c"}], "where": where}, "transaction": t})
    own.set("c/b", **other)
    assert own.post(":commit", {"writes": [own.write("c/found", n=1)], "transaction": t}).status == status


def test_commit_many_at_once_loses_nothing(cloud):
    own = cloud(WORKERS=8)
    increment = {"transform": {"document": f"{own.name}/c/n",
                               "fieldTransforms": [{"fieldPath": "n", "increment": {"integerValue": "1"}}]}}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: own.post(":commit", {"writes": [increment]}).status, range(200)))
    assert statuses == [200] * 200
    assert call(f"{own.documents}/c/n", token="owner").json["fields"]["n"] == {"integerValue": "200"}


@pytest.mark.parametrize("body", [
    b'{"fields":{"a":{"stringValue":"x\\u0000y"}}}', b'{"fields":{"a":{"nullValue":null},"a":{}}}',
    b'{"fields":{"a":' + b'{"mapValue":{"fields":{"a":' * 12 + b'{"nullValue":null}' + b"}}}" * 12 + b"}}", b"\xff",
    b"x" * (4 * 1024 * 1024)], ids=["NUL", "a name twice", "too deep", "no UTF-8", "four MiB of nothing"])
def test_patch_what_we_do_not_read_is_refused(cloud, body):
    own = cloud()
    assert call(f"{own.documents}/c/a", "PATCH", body, token="owner").status == 400
    assert call(f"{own.documents}/c/a", token="owner").status == 404


def test_query_more_than_one_reply_holds_is_refused_whole(cloud):
    own = cloud()
    for number in range(10):
        own.set(f"big/{number}", text="x" * 1000000)
    reply = own.post(":runQuery", {"structuredQuery": {"from": [{"collectionId": "big"}]}})
    assert (reply.status, reply.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert len(own.post(":runQuery", {"structuredQuery": {"from": [{"collectionId": "big"}], "limit": 7}}).json) == 7


def test_start_database_file_is_kept_over_a_restart(cloud, members, tmp_path):
    file = tmp_path / "cloud.sqlite"
    own = cloud(DATABASE_FILE=file)
    own.set("c/a", n=1)
    own.toolkit("", localId="anna")
    signed_in = own.sign_in(custom_token(members.account_key, email_of(members))).json
    before = call(f"{own.documents}/c/a", token="owner").json
    own.service.stop()

    own = cloud(DATABASE_FILE=file)
    assert call(f"{own.documents}/c/a", token="owner").json == before
    assert own.toolkit(":lookup", localId=["anna"]).json["users"][0]["localId"] == "anna"
    assert own.refresh(signed_in["refreshToken"]).status == 200
    own.set("c/a", n=2)
    assert call(f"{own.documents}/c/a", token="owner").json["updateTime"] > before["updateTime"]


def test_start_unusable_database_file_is_refused(members):
    service = members.start("local-cloud", healthy=False, DATABASE_FILE="/nowhere/at/all")
    assert service.wait() == 1
    assert "DATABASE_FILE" in service.log_text()


# --- signing in -----------------------------------------------------------------------------------------------


def test_sign_in_tokens_are_signed_by_the_published_key(members, cloud):
    own = cloud()
    own.toolkit("", localId="anna", email="anna@example.is")
    own.toolkit(":update", localId="anna", customAttributes=json.dumps({"roles": ["admin"]}))
    answer = own.sign_in(custom_token(members.account_key, email_of(members), claims={"login": "kenni"})).json
    jwks = call(own.url + "/jwks").json
    for token in (answer["idToken"], own.refresh(answer["refreshToken"]).json["id_token"]):
        canary(token.split(".")[2])
        verify(token, jwks)
        claims = payload(token)
        assert claims["iss"] == f"https://securetoken.google.com/{PROJECT_ID}" and claims["aud"] == PROJECT_ID
        assert (claims["sub"], claims["roles"], claims["login"]) == ("anna", ["admin"], "kenni")
    with pytest.raises(InvalidSignature):
        verify(answer["idToken"][:-6] + "AAAAAA", jwks)


@pytest.mark.parametrize("fault", [
    {"iss": "other@example.is"}, {"sub": "other@example.is"}, {"iat": 1, "exp": 3601}, {"exp": 2**40},
    {"iat": 2**33, "exp": 2**33 + 60}, {"header": {"alg": "none", "typ": "JWT"}}, {"header": {"alg": "HS256"}},
    {"signer": "stranger"}, {"uid": "x" * 129},
])
def test_sign_in_bad_custom_token_is_refused(members, cloud, fault):
    own = cloud()
    fault = dict(fault)
    signer = key(fault.pop("signer")) if "signer" in fault else members.account_key
    reply = own.sign_in(custom_token(signer, email_of(members), **fault))
    assert reply.status == 400 and reply.json["error"]["message"].startswith(("INVALID_CUSTOM_TOKEN", "INVALID_IDENTIFIER"))
    assert "users" not in own.toolkit(":lookup", localId=["anna"]).json


def test_refresh_revoked_or_deleted_account_is_refused(members, cloud):
    own = cloud()
    token = own.sign_in(custom_token(members.account_key, email_of(members))).json["refreshToken"]
    own.toolkit(":update", localId="anna", validSince=str(int(time.time()) + 60))
    assert own.refresh(token).json["error"]["message"] == "TOKEN_EXPIRED"
    own.toolkit(":delete", localId="anna")
    assert own.refresh(token).json["error"]["message"] == "INVALID_REFRESH_TOKEN"


# --- access tokens, the service account -----------------------------------------------------------------------


def metadata(own, path, **headers):
    return call(f"{own.url}/computeMetadata/v1/{path}", headers={"Metadata-Flavor": "Google", **headers})


def test_metadata_token_opens_what_is_played_here(cloud):
    own = cloud()
    reply = metadata(own, "instance/service-accounts/default/token")
    assert reply.headers["Metadata-Flavor"] == "Google" and reply.json["token_type"] == "Bearer"
    assert reply.json["expires_in"] > 300
    token = reply.json["access_token"]
    assert call(f"{own.documents}/c", token=token).status == 200
    assert call(own.accounts + ":lookup", "POST", {"localId": ["x"]}, token=token).status == 200
    assert call(f"{own.documents}/c", token="another").status == 400
    assert call(own.accounts + ":lookup", "POST", {}, token="another").status == 401
    assert metadata(own, "project/project-id").body == PROJECT_ID.encode()


@pytest.mark.parametrize("headers", [{"Metadata-Flavor": ""}, {"Metadata-Flavor": "google"}, {"X-Forwarded-For": "10.0.0.1"}])
def test_metadata_call_of_a_browser_is_refused(cloud, headers):
    assert metadata(cloud(), "instance/service-accounts/default/token", **headers).status == 403


def test_sign_blob_and_jwt_sign_as_the_service_account(cloud, members):
    own = cloud()
    email = metadata(own, "instance/service-accounts/default/email").body.decode()
    assert email == email_of(members)
    url = f"{own.url}/v1/projects/-/serviceAccounts/{email}"
    public = members.account_key.private.public_key()

    blob = call(url + ":signBlob", "POST", {"payload": base64.b64encode(b"any bytes").decode()}, token="owner").json
    public.verify(base64.b64decode(blob["signedBlob"]), b"any bytes", padding.PKCS1v15(), hashes.SHA256())
    signed = call(url + ":signJwt", "POST", {"payload": json.dumps({"sub": email, "x": 1})}, token="owner").json["signedJwt"]
    assert members.verify_custom_token(signed) == {"sub": email, "x": 1}

    assert call(url + ":signBlob", "POST", {"payload": "not base64!"}, token="owner").status == 400
    assert call(url + ":signJwt", "POST", {"payload": "[]"}, token="owner").status == 400
    assert call(url + ":other", "POST", {}, token="owner").status == 404
    other = url.replace(email, "other@example.is")
    assert call(other + ":signBlob", "POST", {"payload": ""}, token="owner").status == 404


def test_start_without_a_key_file_makes_one_that_gets_tokens(cloud, tmp_path):
    own = cloud(KEY_DIR=tmp_path)
    made = json.loads((tmp_path / "service-account.json").read_text())
    canary(*[line for line in made["private_key"].splitlines() if len(line) > 40])
    assert made["type"] == "service_account" and made["token_uri"].startswith(own.url)
    assert (tmp_path / "service-account.json").stat().st_mode & 0o777 == 0o600

    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    signer = key("unused")
    signer = type(signer).__new__(type(signer))
    signer.kid, signer.private = made["private_key_id"], load_pem_private_key(made["private_key"].encode(), None)
    for scope, status in (("https://www.googleapis.com/auth/datastore", 200), ("", 400)):
        assertion = custom_token(signer, made["client_email"], scope=scope, aud=made["token_uri"])
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        assert call(made["token_uri"], "POST", urlencode(form).encode(), FORM).status == status
    forged = custom_token(key("stranger"), made["client_email"], scope="x")
    form["assertion"] = forged
    assert call(made["token_uri"], "POST", urlencode(form).encode(), FORM).json["error"] == "invalid_grant"
    form["grant_type"] = "password"
    assert call(made["token_uri"], "POST", urlencode(form).encode(), FORM).json["error"] == "unsupported_grant_type"


# --- Kenni ----------------------------------------------------------------------------------------------------


def login(own, **fields):
    """The form posted without having seen the page; (code, verifier)."""
    verifier, challenge = pkce()
    form = {"client_id": CLIENT["client_id"], "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid",
            "state": "s", "code_challenge": challenge, "code_challenge_method": "S256", **fields}
    reply = call(f"{own.url}/kenni/oidc/auth", "POST", urlencode(form).encode(), FORM)
    return reply, verifier


def test_kenni_page_offers_the_people_and_runs_nothing(cloud, tmp_path):
    people = tmp_path / "people.json"
    people.write_text(json.dumps([{"national_id": "0101302989", "name": "<b>Anna & \"co\"</b>"}]))
    own = cloud(PEOPLE_FILE=people)
    form = {"client_id": CLIENT["client_id"], "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid",
            "state": '"><script>', "code_challenge": "x" * 43, "code_challenge_method": "S256"}
    reply = call(f"{own.url}/kenni/oidc/auth?{urlencode(form)}")
    page = reply.body.decode()
    assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/html")
    assert "&lt;b&gt;Anna &amp; &quot;co&quot;&lt;/b&gt;" in page and 'value="0101302989"' in page
    assert "<script" not in page and "<b>" not in page
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


def test_kenni_anybody_can_be_described_and_has_a_stable_sub(cloud):
    own = cloud()
    subs = []
    for _ in range(2):
        claims = {"national_id": "0101302989", "name": "Félag ehf.", "actor": {"name": "Anna"}, "delegation_type": "company"}
        reply, verifier = login(own, claims=json.dumps(claims))
        assert reply.status == 303
        code = parse_qs(urlsplit(reply.headers["Location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": verifier,
                **CLIENT}
        answer = call(f"{own.url}/kenni/oidc/token", "POST", urlencode(form).encode(), FORM).json
        verify(answer["id_token"], call(own.url + "/kenni/oidc/jwks").json)
        got = payload(answer["id_token"])
        assert {name: got[name] for name in claims} == claims and "0101302989" not in got["sub"]
        subs.append(got["sub"])
    assert subs[0] == subs[1]


def test_kenni_unknown_person_or_malformed_claims_get_no_code(cloud):
    own = cloud()
    for fields in ({"national_id": "1212121212"}, {}, {"claims": "[]"}, {"claims": "{"}):
        reply, _ = login(own, **fields)
        assert reply.status == 400 and "Location" not in reply.headers


def test_kenni_code_used_by_many_at_once_is_good_once(cloud):
    own = cloud(WORKERS=8)
    reply, verifier = login(own, national_id="0101302989")
    code = parse_qs(urlsplit(reply.headers["Location"]).query)["code"][0]
    form = urlencode({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI,
                      "code_verifier": verifier, **CLIENT}).encode()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: call(f"{own.url}/kenni/oidc/token", "POST", form, FORM).status, range(16)))
    assert sorted(statuses) == [200] + [400] * 15


# --- failing on purpose ---------------------------------------------------------------------------------------


def test_faults_error_hits_as_often_as_asked(cloud):
    own = cloud()
    own.fail("/v1/projects", code="ABORTED", count=2)
    own.fail("/v1/projects", status=503, retry_after=7)
    own.fail("/kenni", status=429)
    replies = [call(f"{own.documents}/c", token="owner") for _ in range(4)]
    assert [reply.status for reply in replies] == [409, 409, 503, 200]
    assert replies[0].json["error"]["status"] == "ABORTED" and replies[2].json["error"]["status"] == "UNAVAILABLE"
    assert replies[2].headers["Retry-After"] == "7"
    assert [rule["hits"] for rule in call(own.url + "/_faults").json["faults"]] == [2, 1, 0]
    call(own.url + "/_faults", "DELETE")
    assert call(own.url + "/kenni/oidc/jwks").status == 200


def test_faults_before_nothing_happens_after_it_did(cloud):
    own = cloud()
    own.fail("/v1/projects", method="PATCH", status=503)
    assert call(f"{own.documents}/c/a", "PATCH", {"fields": {}}, token="owner").status == 503
    assert call(f"{own.documents}/c/a", token="owner").status == 404
    own.fail("/v1/projects", method="PATCH", status=503, after=True)
    assert call(f"{own.documents}/c/a", "PATCH", {"fields": {}}, token="owner").status == 503
    assert call(f"{own.documents}/c/a", token="owner").status == 200


def test_faults_late_and_cut_short(cloud):
    own = cloud()
    own.set("c/a", n=1)
    whole = call(f"{own.documents}/c/a", token="owner").body
    own.fail("/v1/projects", delay_ms=300, count=1)
    began = time.monotonic()
    assert call(f"{own.documents}/c/a", token="owner").body == whole
    assert time.monotonic() - began >= 0.3
    own.fail("/v1/projects", cut=True, count=-1)
    reply = call(f"{own.documents}/c/a", token="owner")
    assert reply.body == whole[:len(whole) // 2] and reply.headers["Connection"] == "close"


@pytest.mark.parametrize("rule", [
    {}, {"path_prefix": "x"}, {"path_prefix": "/" + "x" * 600}, {"path_prefix": "/", "code": "NOPE"},
    {"path_prefix": "/", "code": "OK"}, {"path_prefix": "/", "status": 200}, {"path_prefix": "/", "count": 0},
    {"path_prefix": "/", "delay_ms": -1}, {"path_prefix": "/", "delay_ms": 10**9}, {"path_prefix": "/", "bogus": 1},
])
def test_faults_rule_that_is_none_is_refused(cloud, rule):
    own = cloud()
    assert call(own.url + "/_faults", "POST", rule).status == 400
    assert call(own.url + "/_faults").json == {"faults": []}
