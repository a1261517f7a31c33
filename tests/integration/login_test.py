"""handlekenniauth from outside: the whole login, and everything that may go wrong on its way (contract §3.1)."""

import base64
import json
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import kenni as provider
from flaky import Flaky
from kenni import CLIENT_ID, Kenni, b64, key, pkce
from members import MembersStack, payload
from suite import call, canary, kennitala, never_accepts, wait_until


@pytest.fixture(scope="module")
def members():
    with MembersStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def shared_kenni():
    with Kenni() as kenni:
        yield kenni


@pytest.fixture(scope="module")
def shared_login(members, shared_kenni):
    """One instance for tests that leave it as it is."""
    service = members.start("handlekenniauth", **shared_kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=1000,
                                                                       JWKS_REPORT_INTERVAL_MS=100))
    members.own.remove(service)  # not stopped after each test
    yield service
    assert service.stop() == 0


@pytest.fixture
def kenni(shared_kenni):
    shared_kenni.reset()
    yield shared_kenni
    shared_kenni.reset()


@pytest.fixture
def login(shared_login, kenni):
    return shared_login


@pytest.fixture
def start(members):
    """Further instances, stopped at the end of the test."""
    yield lambda **env: members.start("handlekenniauth", **env)
    assert not members.stop_own()


def person(**more):
    number = kennitala()
    name = canary(f"Anna Þórðardóttir {number[:3]}")
    return {"national_id": number, "name": name, "email": canary(f"anna.{number[6:]}.{number[:4]}@example.is"),
            "email_verified": True, "phone_number": "+354 " + canary(f"555{number[5:9]}"), **more}


numbers = iter(range(1, 60000))


def address():
    """Where nobody has called from yet: the limit counts over all instances."""
    number = next(numbers)
    return f"198.18.{number // 250}.{number % 250 + 1}"


def post(service, body, headers=None, **more):
    reply = service.post("/", body, timeout_s=40, headers={"X-Forwarded-For": address(), **(headers or {})}, **more)
    if reply.status == 200:
        canary(*reply.json["customToken"].split(".")[1:])
    return reply


def refused(reply, status, code, reason=None):
    assert reply.status == status, reply
    assert reply.json["error"] == code
    assert reply.json["message"] and reply.json["correlationId"] == reply.headers["X-Correlation-ID"]
    assert reply.json.get("reason") == reason
    assert "no-store" in reply.headers["Cache-Control"]
    assert set(reply.json) <= {"error", "message", "correlationId", "reason", "retryAfter", "code"}
    return reply


def users_of(members, number):
    return members.find("users", "kennitala", number)


# --- the way it should go --------------------------------------------------------------------------------------


def test_login_new_person_gets_account_document_claims_and_token(members, kenni, login):
    who = person()
    reply = post(login, kenni.login(**who))
    assert reply.status == 200, reply
    uid = reply.json["uid"]
    assert set(reply.json) == {"customToken", "uid", "requiresReactivation"}
    assert reply.headers["Cache-Control"] == "no-store, no-cache, must-revalidate, private, max-age=0"
    token = members.verify_custom_token(canary(reply.json["customToken"]))
    assert token["uid"] == uid and token["iss"] == token["sub"] == members.account_email
    assert token["exp"] - token["iat"] == 3600
    phone = who["phone_number"][5:]
    claims = {"kennitala": who["national_id"], "roles": ["member"], "email": who["email"], "phoneNumber": phone}
    assert token["claims"] == claims
    assert members.claims(uid) == claims
    assert members.account(uid)["displayName"] == who["name"]
    stored = members.get(f"users/{uid}")
    assert stored.pop("createdAt") and stored.pop("lastLogin")
    assert stored == {"kennitala": who["national_id"], "fullName": who["name"], "email": who["email"],
                      "emailVerified": True, "phoneNumber": phone, "phoneVerified": False, "photoURL": None,
                      "isMember": False}


def test_login_token_is_taken_by_the_auth_service(members, kenni, login):
    who = person()
    reply = post(login, kenni.login(**who))
    claims, _ = members.sign_in(reply.json["customToken"])
    assert claims["sub"] == reply.json["uid"]
    assert claims["kennitala"] == who["national_id"] and claims["roles"] == ["member"]


def test_login_request_to_kenni_is_the_contracts(kenni, login):
    body = kenni.login(**person())
    assert post(login, body).status == 200
    (form,) = kenni.forms
    assert form == {"grant_type": "authorization_code", "code": body["kenniAuthCode"],
                    "redirect_uri": provider.REDIRECT_URI, "client_id": CLIENT_ID,
                    "client_secret": provider.CLIENT_SECRET, "code_verifier": body["pkceCodeVerifier"]}


def test_login_again_same_uid_and_updates(members, kenni, login):
    who = person()
    first = post(login, kenni.login(**who)).json["uid"]
    before = members.get(f"users/{first}")
    again = {**who, "name": canary("Anna Önnur"), "phone_number": "00354 555 9999"}
    reply = post(login, kenni.login(**again))
    assert reply.json["uid"] == first
    after = members.get(f"users/{first}")
    assert after["fullName"] == "Anna Önnur" and after["phoneNumber"] == "5559999"
    assert after["createdAt"] == before["createdAt"] and after["lastLogin"] > before["lastLogin"]
    assert len(users_of(members, who["national_id"])) == 1
    assert members.claims(first)["phoneNumber"] == "5559999"


def test_login_known_person_keeps_uid_of_the_former_deployment(members, kenni, login):
    who = person()
    number = who["national_id"]
    old = "old-uid-" + secrets.token_hex(4)
    members.set(f"users/{old}", kennitala=f"{number[:6]}-{number[6:]}", fullName="X", roles=["member", "admin"], isMember=True)
    members.create_account(old, {"isMember": True, "other": 7, "roles": ["member"]})
    reply = post(login, kenni.login(**who))
    uid = reply.json["uid"]
    assert uid == old
    assert members.get(f"users/{uid}")["kennitala"] == number  # the hyphen is gone
    assert members.get(f"users/{uid}")["isMember"] is True
    claims = members.claims(uid)
    assert claims["isMember"] is True and claims["other"] == 7  # not ours, kept (M-F44)
    assert claims["roles"] == ["member", "admin"] and claims["kennitala"] == number
    assert payload(reply.json["customToken"])["claims"]["roles"] == ["member", "admin"]


def test_login_two_old_accounts_always_the_oldest(members, kenni, login):
    who = person()
    number = who["national_id"]
    members.set(f"users/z-{number[:5]}", kennitala=number)
    time.sleep(0.02)
    members.set(f"users/a-{number[:5]}", kennitala=number)
    members.create_account(f"z-{number[:5]}", {})
    for _ in range(3):
        assert post(login, kenni.login(**who)).json["uid"] == f"z-{number[:5]}"


def test_login_hyphen_in_national_id_is_the_same_person(members, kenni, login):
    who = person()
    number = who["national_id"]
    first = post(login, kenni.login(**who)).json["uid"]
    again = post(login, kenni.login(**{**who, "national_id": canary(f"{number[:6]}-{number[6:]}")}))
    assert again.json["uid"] == first


def test_login_unverified_contact_never_replaces_verified(members, kenni, login):
    who = person()
    uid = post(login, kenni.login(**who)).json["uid"]
    other = {**who, "email": canary("somebody-else@example.is"), "email_verified": False}
    assert post(login, kenni.login(**other)).status == 200
    assert members.get(f"users/{uid}")["email"] == who["email"]
    assert members.claims(uid)["email"] == who["email"]


def test_login_deleted_member_is_told(members, kenni, login):
    who = person()
    members.set(f"members/{who['national_id']}", membership={"status": "inactive"},
                metadata={"deleted_at": {"timestampValue": "2026-01-01T00:00:00Z"}})
    reply = post(login, kenni.login(**who))
    assert reply.json["requiresReactivation"] is True
    assert who["national_id"] not in json.dumps(reply.json["uid"])


def test_login_disabled_account_is_refused_and_untouched(members, kenni, login):
    who = person()
    uid = post(login, kenni.login(**who)).json["uid"]
    members.update_account(uid, disableUser=True)
    before = members.get(f"users/{uid}")
    refused(post(login, kenni.login(**who)), 403, "ACCOUNT_DISABLED")
    assert members.get(f"users/{uid}") == before


def test_login_claims_at_userinfo_are_asked_for(members, kenni, login):
    kenni.claims_at_userinfo = True
    who = person()
    reply = post(login, kenni.login(**who))
    assert reply.status == 200, reply
    assert kenni.calls["userinfo"] == 1
    assert members.get(f"users/{reply.json['uid']}")["kennitala"] == who["national_id"]


def test_login_userinfo_of_somebody_else_is_refused(kenni, login):
    kenni.claims_at_userinfo = True
    kenni.faults["userinfo"] = provider.status(200, json.dumps({"sub": "other", "national_id": kennitala()}).encode())
    refused(post(login, kenni.login(**person())), 500, "INTERNAL", "no_national_id")


def test_login_nonce_that_was_sent_must_be_the_tokens(kenni, login):
    nonce = canary(b64(b"nonce of the browser"))
    body = kenni.login(nonce=nonce, **person())
    assert post(login, {**body, "nonce": nonce, "state": "s" * 64}).status == 200
    body = kenni.login(nonce=nonce, **person())
    refused(post(login, {**body, "nonce": nonce + "x"}), 500, "INTERNAL", "id_token")
    body = kenni.login(**person())
    refused(post(login, {**body, "nonce": nonce}), 500, "INTERNAL", "id_token")


def test_login_redirect_uri_from_the_list(kenni, start):
    service = start(**kenni.settings(CORS_ALLOWED_ORIGINS="https://a.example.is,https://b.example.is"))
    body = kenni.login(redirect_uri="https://b.example.is", **person())
    assert post(service, {**body, "redirectUri": "https://b.example.is"}).status == 200
    refused(post(service, {**kenni.login(**person()), "redirectUri": "https://c.example.is"}), 400,
            "INVALID_REDIRECT_URI")


def test_login_paths_and_names(kenni, login):
    for path in ("/", "/handleKenniAuth", "/handlekenniauth", "/handleKenniAuth/"):
        assert login.post(path, kenni.login(**person())).status == 200
    assert login.post("/other", kenni.login(**person())).status == 404


@pytest.mark.parametrize("name", ["KENNI_IS_CLIENT_SECRET", "kenni-client-secret", "KENNI_CLIENT_SECRET",
                                  "kenni-is-client-secret"])
def test_login_secret_in_every_spelling(kenni, start, name):
    settings = kenni.settings(KENNI_IS_CLIENT_SECRET=None)
    service = start(**{**settings, name: provider.CLIENT_SECRET})
    assert post(service, kenni.login(**person())).status == 200


# --- protocol --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
def test_other_methods_are_405(login, method):
    reply = login.call(method, "/")
    assert reply.status == 405
    if method != "HEAD":
        assert reply.json["error"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("origin,allowed", [("https://ekklesia-prod-10-2025.web.app", True), ("https://evil.example", False),
                                            (None, False), ("null", False)])
def test_preflight_and_cors(login, origin, allowed):
    headers = {"Origin": origin} if origin else {}
    reply = login.call("OPTIONS", "/", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert reply.status == 204 and reply.body == b""
    assert reply.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert "X-Request-ID" in reply.headers["Access-Control-Allow-Headers"]
    assert reply.headers["Access-Control-Max-Age"] == "3600"
    assert reply.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert "Origin" in reply.headers["Vary"]
    reply = login.post("/", {}, headers=headers)
    assert reply.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert reply.headers["Access-Control-Expose-Headers" if allowed else "Vary"]


def test_correlation_id_is_taken_or_made(login):
    assert login.post("/", {}, headers={"X-Request-ID": "a" * 32}).json["correlationId"] == "a" * 32
    assert login.post("/", {}, headers={"X-Correlation-ID": "c-1", "X-Request-ID": "r-1"}).json["correlationId"] == "c-1"
    for odd in ("with blank", "x" * 129, "quote\"", "a/b", "ö"):
        made = login.post("/", {}, headers={"X-Request-ID": odd.encode("latin-1", "replace").decode("latin-1")})
        assert re.fullmatch(r"[0-9a-f-]{36}", made.json["correlationId"])


@pytest.mark.parametrize("body,content_type,code", [
    (b"{", "application/json", "INVALID_JSON"), (b"", "application/json", "INVALID_JSON"),
    (b"{}", "text/plain", "INVALID_JSON"), (b"[]", "application/json", "INVALID_JSON"),
    (b"{}", "application/json", "INVALID_INPUT"), (b'{"kenniAuthCode":1,"pkceCodeVerifier":2}', "application/json", "INVALID_JSON"),
    (b"\xff\xfe", "application/json", "INVALID_JSON"), (b"[" * 5000, "application/json", "INVALID_JSON")],
    ids=lambda value: str(value)[:20])
def test_bad_bodies(login, body, content_type, code):
    refused(login.post("/", body, headers={"Content-Type": content_type}), 400, code)


def test_large_body_is_413(login):
    reply = login.post("/", b"x" * 20000, headers={"Content-Type": "application/json"})
    assert reply.status == 413 and reply.json["error"] == "TOO_LARGE"


@pytest.mark.parametrize("missing", ["KENNI_IS_ISSUER_URL", "KENNI_IS_CLIENT_ID", "KENNI_IS_CLIENT_SECRET",
                                     "KENNI_IS_REDIRECT_URI"])
def test_missing_setting_is_named_in_the_log_only(kenni, start, missing):
    service = start(**kenni.settings(**{missing: None}))
    reply = refused(post(service, kenni.login(**person())), 500, "CONFIG_MISSING")
    assert missing not in reply.body.decode()
    assert service.wait_log(lambda line: missing in line.get("reason", ""))
    health = service.get("/health").json
    assert health["ok"] is False and health["env"][missing] is False
    assert sum(health["env"].values()) == 3


def test_app_check_enforced_wants_a_token(members, kenni, start):
    service = start(**kenni.settings(APP_CHECK_MODE="enforce"))
    body = kenni.login(**person())
    refused(post(service, body), 403, "FORBIDDEN")
    refused(post(service, body, {"X-Firebase-AppCheck": "no.token.atall"}), 403, "FORBIDDEN")
    assert post(service, body, {"X-Firebase-AppCheck": members.cloud.app_check()}).status == 200


# --- Kenni misbehaves ------------------------------------------------------------------------------------------


def test_code_used_twice_is_refused_with_a_reason(kenni, login):
    body = kenni.login(**person())
    assert post(login, body).status == 200
    refused(post(login, body), 502, "TOKEN_EXCHANGE_FAILED", "code_rejected")
    line = login.wait_log(lambda line: "invalid_grant" in line.get("reason", ""))
    assert "description" not in json.dumps(line)


def test_wrong_verifier_is_refused(kenni, login):
    body = kenni.login(**person())
    refused(post(login, {**body, "pkceCodeVerifier": pkce()[0]}), 502, "TOKEN_EXCHANGE_FAILED", "code_rejected")


def test_wrong_client_secret_says_misconfigured(kenni, start):
    service = start(**kenni.settings(KENNI_IS_CLIENT_SECRET="wrong"))
    refused(post(service, kenni.login(**person())), 502, "TOKEN_EXCHANGE_FAILED", "misconfigured")


def test_unknown_oauth_error_is_not_repeated(kenni, login):
    secret = canary("personal-text-of-the-provider")
    kenni.faults["token"] = provider.status(400, json.dumps({"error": secret}).encode())
    refused(post(login, kenni.login(**person())), 502, "TOKEN_EXCHANGE_FAILED", "provider_error")


FAULTS = {
    "500": (lambda: provider.status(500), 502, "provider_error"),
    "503": (lambda: provider.status(503), 502, "provider_error"),
    "redirect": (lambda: provider.status(302), 502, "provider_error"),
    "204": (lambda: provider.status(204, b""), 502, "provider_error"),
    "html": (lambda: provider.status(200, b"<html></html>", "text/html"), 502, "provider_error"),
    "wrong type": (lambda: provider.as_type("text/plain"), 502, "provider_error"),
    "not json": (lambda: provider.status(200, b"{"), 502, "provider_error"),
    "a list": (lambda: provider.status(200, b"[]"), 502, "provider_error"),
    "twice": (lambda: provider.status(200, b'{"id_token":"a","id_token":"b"}'), 502, "provider_error"),
    "huge": (provider.huge, 502, "provider_unreachable"),
    "cut": (lambda: provider.cut, 502, "provider_unreachable"),
    "closed": (lambda: provider.close, 502, "provider_unreachable"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_token_endpoint_faults(kenni, login, fault):
    make, status, reason = FAULTS[fault]
    kenni.faults["token"] = make()
    refused(post(login, kenni.login(**person())), status, "TOKEN_EXCHANGE_FAILED", reason)
    kenni.faults.clear()
    wait_until(lambda: post(login, kenni.login(**person())).status == 200, 10, 0.3)  # the breaker may be open


@pytest.mark.parametrize("answer", [{}, {"id_token": ""}, {"id_token": 7}, {"id_token": None}])
def test_token_endpoint_without_id_token(kenni, login, answer):
    kenni.faults["token"] = provider.status(200, json.dumps(answer).encode())
    refused(post(login, kenni.login(**person())), 500, "INTERNAL", "provider_error")


@pytest.mark.parametrize("fault", [provider.hang, provider.drip])
def test_token_endpoint_hanging_ends_in_time(kenni, start, fault):
    service = start(**kenni.settings(KENNI_EXCHANGE_TIMEOUT_MS=700))
    kenni.faults["token"] = fault()
    refused(post(service, kenni.login(**person())), 504, "TOKEN_EXCHANGE_FAILED", "provider_timeout")  # it still hangs
    kenni.faults.clear()
    assert post(service, kenni.login(**person())).status == 200


def test_address_that_never_accepts_is_given_up_before_a_silent_one(kenni, start):
    """M-F35: connecting has a bound of its own, 3 s, within the 10 s of the exchange. The order of the replies shows it."""
    with never_accepts() as port:
        kenni.change_discovery = lambda document: {**document, "token_endpoint": f"http://127.0.0.1:{port}/token"}
        unreachable = start(**kenni.settings(KENNI_EXCHANGE_TIMEOUT_MS=20000))
        wait_until(lambda: unreachable.get("/health/ready").status == 200)
        kenni.change_discovery, kenni.faults["token"] = None, provider.hang()
        silent, replies = start(**kenni.settings(KENNI_EXCHANGE_TIMEOUT_MS=10000)), []
        with ThreadPoolExecutor(2) as pool:
            for service in (silent, unreachable):
                pool.submit(post, service, kenni.login(**person())).add_done_callback(
                    lambda future, name=service.label: replies.append((name, future.result())))
    assert [name for name, _ in replies] == [unreachable.label, silent.label]
    for _, reply in replies:
        refused(reply, 504, "TOKEN_EXCHANGE_FAILED", "provider_timeout")
    assert kenni.calls["token"] == 1


def test_discovery_at_an_address_that_never_accepts_is_an_answer(kenni, start):
    with never_accepts() as port:
        service = start(**kenni.settings(KENNI_IS_ISSUER_URL=f"http://127.0.0.1:{port}/ours"))
        refused(post(service, kenni.login(**person())), 504, "PROVIDER_UNAVAILABLE", "discovery")
        assert service.get("/health").status == 200


def test_token_endpoint_slow_is_waited_for(kenni, login):
    kenni.faults["token"] = provider.slow(1)
    assert post(login, kenni.login(**person())).status == 200


@pytest.mark.parametrize("endpoint", ["discovery", "jwks"])
@pytest.mark.parametrize("fault", [provider.hang, provider.drip])
def test_discovery_hanging_ends_in_time_and_leaves_the_code_alone(kenni, start, endpoint, fault):
    """M-F35, M-F36: the caller hears within the budget, nothing was redeemed, no worker is lost."""
    kenni.faults[endpoint] = fault()  # before the service starts: it looks at once
    service = start(**kenni.settings(WORKERS=2, REQUEST_BUDGET_MS=4000))
    body = kenni.login(**person())
    with ThreadPoolExecutor(4) as pool:  # more than there are workers
        for reply in pool.map(lambda _: post(service, body), range(4)):
            assert reply.status in (502, 503, 504) and reply.json["error"] in ("PROVIDER_UNAVAILABLE", "UNAVAILABLE"), reply
    assert kenni.calls.get("token", 0) == 0
    kenni.faults.clear()
    wait_until(lambda: post(service, body).status == 200, 20, 0.5)  # the very same code


DISCOVERY_FAULTS = {
    "500": lambda kenni: kenni.faults.update(discovery=provider.status(500)),
    "html": lambda kenni: kenni.faults.update(discovery=provider.status(200, b"<html>", "text/html")),
    "wrong type": lambda kenni: kenni.faults.update(discovery=provider.as_type("text/plain")),
    "not json": lambda kenni: kenni.faults.update(discovery=provider.status(200, b"{")),
    "huge": lambda kenni: kenni.faults.update(discovery=provider.huge()),
    "cut": lambda kenni: kenni.faults.update(discovery=provider.cut),
    "other issuer": lambda kenni: setattr(kenni, "change_discovery", lambda d: {**d, "issuer": d["issuer"] + "/"}),
    "no token endpoint": lambda kenni: setattr(kenni, "change_discovery", lambda d: {**d, "token_endpoint": None}),
    "odd endpoint": lambda kenni: setattr(kenni, "change_discovery", lambda d: {**d, "token_endpoint": "file:///etc/passwd"}),
    "no keys": lambda kenni: setattr(kenni, "change_discovery", lambda d: {k: v for k, v in d.items() if k != "jwks_uri"}),
    "key set 500": lambda kenni: kenni.faults.update(jwks=provider.status(500)),
    "key set huge": lambda kenni: kenni.faults.update(jwks=provider.huge()),
    "key set empty": lambda kenni: setattr(kenni, "keys", []),
}


@pytest.mark.parametrize("fault", DISCOVERY_FAULTS)
def test_discovery_faults_leave_the_code_alone(kenni, start, fault):
    DISCOVERY_FAULTS[fault](kenni)
    service = start(**kenni.settings())
    body = kenni.login(**person())
    refused(post(service, body), 502, "PROVIDER_UNAVAILABLE", "discovery")
    assert kenni.calls.get("token", 0) == 0
    grants, keys = dict(kenni.grants), [key("k1")]
    kenni.faults.clear()
    kenni.change_discovery, kenni.keys, kenni.grants = None, keys, grants
    wait_until(lambda: post(service, body).status == 200, 15, 0.5)  # the very same code


def test_provider_down_and_back(kenni, start):
    service = start(**kenni.settings(KENNI_IS_ISSUER_URL="http://127.0.0.1:9/ours"))
    refused(post(service, kenni.login(**person())), 502, "PROVIDER_UNAVAILABLE", "discovery")


def test_discovery_expired_serves_while_refresh_fails(kenni, start):
    service = start(**kenni.settings(JWKS_CACHE_TTL_SECONDS=1))
    assert post(service, kenni.login(**person())).status == 200
    kenni.faults["discovery"] = provider.status(500)
    time.sleep(1.2)
    for _ in range(3):
        assert post(service, kenni.login(**person())).status == 200
    assert service.metric("kenni_discovery_failures_total") >= 1


def test_ttl_of_zero_is_the_usual_with_a_warning(kenni, start):
    service = start(**kenni.settings(JWKS_CACHE_TTL_SECONDS=0))
    assert service.wait_log(lambda line: line["severity"] == "WARNING" and "JWKS_CACHE_TTL_SECONDS" in line["message"])
    for _ in range(3):
        assert post(service, kenni.login(**person())).status == 200
    assert kenni.calls["discovery"] == 1


def test_cold_start_parallel_logins_fetch_once(kenni, start):
    service = start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=100, WORKERS=24))
    kenni.faults["discovery"] = kenni.faults["jwks"] = provider.slow(0.3)
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: post(service, kenni.login(**person())), range(20)))
    assert [reply.status for reply in replies] == [200] * 20
    assert kenni.calls["discovery"] == 1 and kenni.calls["jwks"] == 1


def test_rotated_keys_are_fetched_once_for_an_unknown_kid(kenni, start):
    service = start(**kenni.settings())
    assert post(service, kenni.login(**person())).status == 200
    kenni.keys, kenni.signer = [key("k1"), key("k2")], key("k2")
    # Right after a fetch the cache does not fetch again for a kid it does not know: nobody may drive it.
    first = post(service, kenni.login(**person()))
    assert first.status in (200, 500)
    assert kenni.calls["jwks"] <= 2


TOKENS = {
    "alg none": lambda h, c: ({}, unsigned_token(c)),
    "alg HS256": lambda h, c: ({"alg": "HS256"}, c),
    "alg RS384": lambda h, c: ({"alg": "RS384"}, c),
    "alg PS256": lambda h, c: ({"alg": "PS256"}, c),
    "alg lower case": lambda h, c: ({"alg": "rs256"}, c),
    "alg missing": lambda h, c: ({"alg": None}, c),
    "kid unknown": lambda h, c: ({"kid": "other"}, c),
    "kid missing": lambda h, c: ({"kid": None}, c),
    "kid empty": lambda h, c: ({"kid": ""}, c),
    "kid number": lambda h, c: ({"kid": 1}, c),
    "key in header": lambda h, c: ({}, with_own_key(c)),
    "crit": lambda h, c: ({"crit": ["exp"]}, c),
    "signature of another key": lambda h, c: ({}, provider.jwt(key("k9"), c, {"kid": "k1"})),
    "signature cut": lambda h, c: ({}, provider.jwt(key("k1"), c)[:-4]),
    "signature changed": lambda h, c: ({}, flip(provider.jwt(key("k1"), c))),
    "signature missing": lambda h, c: ({}, provider.jwt(key("k1"), c).rpartition(".")[0] + "."),
    "four parts": lambda h, c: ({}, provider.jwt(key("k1"), c) + ".x"),
    "padding": lambda h, c: ({}, provider.jwt(key("k1"), c) + "="),
    "garbage": lambda h, c: ({}, "garbage"),
    "payload changed": lambda h, c: ({}, swap_payload(provider.jwt(key("k1"), c))),
    "duplicate claim": lambda h, c: ({}, provider.jwt(key("k1"), json.dumps(c)[:-1].encode() + b',"sub":"x","sub":"y"}')),
    "duplicate national_id": lambda h, c: ({}, provider.jwt(
        key("k1"), json.dumps(c)[:-1].encode() + b',"national_id":"0101302989"}')),
    "payload a list": lambda h, c: ({}, provider.jwt(key("k1"), b"[]")),
    "payload no json": lambda h, c: ({}, provider.jwt(key("k1"), b"{")),
    "oversize": lambda h, c: ({}, provider.jwt(key("k1"), {**c, "x": "x" * 9000})),
    "iss with slash": lambda h, c: ({}, {**c, "iss": c["iss"] + "/"}),
    "iss missing": lambda h, c: ({}, without(c, "iss")),
    "aud other": lambda h, c: ({}, {**c, "aud": "other"}),
    "aud missing": lambda h, c: ({}, without(c, "aud")),
    "aud two": lambda h, c: ({}, {**c, "aud": [CLIENT_ID, "other"]}),
    "aud two azp other": lambda h, c: ({}, {**c, "aud": [CLIENT_ID, "other"], "azp": "other"}),
    "azp other": lambda h, c: ({}, {**c, "azp": "other"}),
    "exp past": lambda h, c: ({}, {**c, "exp": int(time.time()) - 60}),
    "exp missing": lambda h, c: ({}, without(c, "exp")),
    "exp text": lambda h, c: ({}, {**c, "exp": str(c["exp"])}),
    "iat future": lambda h, c: ({}, {**c, "iat": int(time.time()) + 600}),
    "iat missing": lambda h, c: ({}, without(c, "iat")),
    "nbf future": lambda h, c: ({}, {**c, "nbf": int(time.time()) + 600}),
    "auth_time future": lambda h, c: ({}, {**c, "auth_time": int(time.time()) + 600}),
    "sub missing": lambda h, c: ({}, without(c, "sub")),
    "at_hash of another": lambda h, c: ({}, {**c, "at_hash": b64(b"0" * 16)}),
}


def without(claims, name):
    return {key_: value for key_, value in claims.items() if key_ != name}


def unsigned_token(claims):
    return f"{b64(json.dumps({'alg': 'none', 'kid': 'k1'}).encode())}.{b64(json.dumps(claims).encode())}."


def with_own_key(claims):
    """The attacker's key travels in the token's header (RFC 8725 §3.1)."""
    return provider.jwt(key("k9"), claims, {"kid": "k1", "jwk": key("k9").jwk(), "jku": "http://127.0.0.1:9/", "x5u": "x"})


def flip(token):
    last = token[-10]
    return token[:-10] + ("A" if last != "A" else "B") + token[-9:]


def swap_payload(token):
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{head}.{b64(json.dumps({**claims, 'national_id': kennitala()}).encode())}.{signature}"


@pytest.mark.parametrize("name", TOKENS)
def test_token_matrix_bad_tokens_make_no_account(members, kenni, login, name):
    who = person()
    kenni.change_token = TOKENS[name]
    refused(post(login, kenni.login(**who)), 500, "INTERNAL", "id_token")
    assert users_of(members, who["national_id"]) == {}


def test_token_matrix_good_variants(kenni, login):
    for change in (lambda h, c: ({}, {**c, "aud": [CLIENT_ID]}), lambda h, c: ({}, {**c, "azp": CLIENT_ID}),
                   lambda h, c: ({}, {**c, "aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}),
                   lambda h, c: ({"typ": None, "jku": "http://x"}, c), lambda h, c: ({}, without(c, "at_hash"))):
        kenni.change_token = change
        assert post(login, kenni.login(**person())).status == 200


@pytest.mark.parametrize("claims", [{"actor": {"national_id": "x"}}, {"delegation_type": "procuration"}, {"act": {"sub": "x"}}])
def test_delegated_session_is_refused_by_default(members, kenni, login, claims):
    who = person(**claims)
    refused(post(login, kenni.login(**who)), 403, "DELEGATED_SESSION")
    assert users_of(members, who["national_id"]) == {}


def test_delegated_session_allowed_by_setting(kenni, start):
    service = start(**kenni.settings(DELEGATED_SESSIONS_ALLOWED="true"))
    assert post(service, kenni.login(**person(delegation_type="procuration"))).status == 200


@pytest.mark.parametrize("number", [None, "", 101302989, "3213302989", "010130298", "01013029890", "010130 2989"])
def test_bad_national_id_is_refused(kenni, login, number):
    refused(post(login, kenni.login(**person(national_id=number))), 500, "INTERNAL", "no_national_id")


# --- Google misbehaves -----------------------------------------------------------------------------------------


@pytest.fixture
def flaky(members):
    made = [Flaky(members.firestore_host), Flaky(members.auth_host)]
    yield made
    for one in made:
        one.close()


def start_flaky(start, kenni, flaky, **more):
    return start(**kenni.settings(FIRESTORE_EMULATOR_HOST=flaky[0].host, FIREBASE_AUTH_EMULATOR_HOST=flaky[1].host,
                                  REQUEST_BUDGET_MS=6000, **more))


STEPS = {
    "reading": (0, ":batchGet", b"/users/"), "query": (0, ":runQuery", b""), "document": (0, ":commit", b"fullName"),
    "lookup": (1, ":lookup", b""), "create": (1, "/accounts", b"displayName"), "claims": (1, ":update", b"customAttributes"),
}


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_google_failing_at_each_step_leaves_a_repeatable_login(members, kenni, start, flaky, step, mode):
    which, part, body = STEPS[step]
    who = person()
    service = start_flaky(start, kenni, flaky)
    flaky[which].fail(part, mode, body=body)
    reply = post(service, kenni.login(**who))
    if (step, mode) != ("claims", "after"):  # then the claims stand, and reading them again shows it
        refused(reply, 500, "INTERNAL", "sign_in_again")
    found = users_of(members, who["national_id"])
    for uid in found:  # nobody has a token yet, and no account goes without its document
        assert len(found) == 1 and found[uid]["kennitala"] == who["national_id"]
    flaky[which].rules.clear()
    reply = wait_until(lambda: (lambda r: r if r.status == 200 else None)(post(service, kenni.login(**who))), 15, 0.5)
    uid = reply.json["uid"]
    assert list(users_of(members, who["national_id"])) == [uid]
    assert members.claims(uid)["kennitala"] == who["national_id"]
    assert members.account(uid)["displayName"] == who["name"]


@pytest.mark.parametrize("step", STEPS)
def test_google_failing_once_is_not_noticed(members, kenni, start, flaky, step):
    which, part, body = STEPS[step]
    who = person()
    service = start_flaky(start, kenni, flaky)
    flaky[which].fail(part, "before", times=1, body=body)
    assert post(service, kenni.login(**who)).status == 200
    assert len(users_of(members, who["national_id"])) == 1


@pytest.mark.parametrize("step", ["document", "claims"])
def test_google_answer_lost_once_is_not_noticed(members, kenni, start, flaky, step):
    which, part, body = STEPS[step]
    who = person()
    service = start_flaky(start, kenni, flaky)
    flaky[which].fail(part, "after", times=1, body=body)
    reply = post(service, kenni.login(**who))
    assert reply.status == 200, reply
    assert list(users_of(members, who["national_id"])) == [reply.json["uid"]]


def test_google_hanging_ends_within_the_budget(kenni, start, flaky):
    service = start(**kenni.settings(FIRESTORE_EMULATOR_HOST=flaky[0].host, FIREBASE_AUTH_EMULATOR_HOST=flaky[1].host,
                                     REQUEST_BUDGET_MS=1500))
    flaky[1].fail(":lookup", "hang")
    refused(post(service, kenni.login(**person())), 500, "INTERNAL", "sign_in_again")  # it still hangs


# --- one person, one account -----------------------------------------------------------------------------------


def test_parallel_first_logins_over_two_instances_make_one_account(members, kenni, start):
    services = [start(**kenni.settings(RATE_LIMIT_MAX_ATTEMPTS=100)) for _ in range(2)]
    who = person()
    bodies = [kenni.login(**who) for _ in range(32)]
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda pair: post(services[pair[0] % 2], pair[1]), enumerate(bodies)))
    assert {reply.status for reply in replies} == {200}, [r for r in replies if r.status != 200][:3]
    uids = {reply.json["uid"] for reply in replies}
    assert len(uids) == 1
    assert list(users_of(members, who["national_id"])) == list(uids)
    assert members.claims(uids.pop())["kennitala"] == who["national_id"]


def test_parallel_login_and_claims_of_others_lose_nothing(members, kenni, login):
    who = person()
    uid = post(login, kenni.login(**who)).json["uid"]
    members.update_account(uid, customAttributes=json.dumps({**members.claims(uid), "isMember": True, "roles": ["member"]}))
    with ThreadPoolExecutor(8) as pool:
        assert {r.status for r in pool.map(lambda _: post(login, kenni.login(**who)), range(8))} == {200}
    assert members.claims(uid)["isMember"] is True


# --- what it tells about itself --------------------------------------------------------------------------------


def test_health_shows_configuration_and_key_cache(kenni, login):
    assert post(login, kenni.login(**person())).status == 200
    health = login.get("/healthz").json
    assert health["ok"] is True and health["issuerConfigured"] is True
    assert health["env"] == {"KENNI_IS_ISSUER_URL": True, "KENNI_IS_CLIENT_ID": True, "KENNI_IS_CLIENT_SECRET": True,
                             "KENNI_IS_REDIRECT_URI": True}
    assert health["jwks"]["hits"] >= 1 and health["jwks"]["misses"] >= 1 and health["jwks"]["size"] == 1
    assert health["correlationId"]
    text = login.get("/health").body.decode()
    assert provider.CLIENT_SECRET not in text and kenni.issuer not in text and CLIENT_ID not in text


def test_health_and_ready_say_which_dependency_is_down(kenni, start, flaky):
    service = start_flaky(start, kenni, flaky)
    assert wait_until(lambda: service.get("/health/ready").status == 200)
    flaky[0].fail("/documents")
    reply = service.get("/health/ready")
    assert reply.status == 503
    health = service.get("/health")
    assert health.status == 200 and health.json["ok"] is False and health.json["reasons"] == ["firestore"]


def test_logs_have_one_line_per_request_and_metrics_count(kenni, login):
    before = login.metric("logins_total", outcome="created")
    mark = login.log_mark()
    assert post(login, kenni.login(**person()), headers={"X-Request-ID": "log-test-1"}).status == 200
    line = login.wait_log(lambda line: line.get("correlation_id") == "log-test-1" and line["message"] == "request", mark)
    assert line["status"] == 200 and line["route"] == "/"
    assert login.metric("logins_total", outcome="created") == before + 1


def test_refresh_token_is_dropped(kenni, login):
    tokens = []
    kenni.change_tokens = lambda answer: tokens.append(answer["refresh_token"]) or answer
    reply = post(login, kenni.login(**person()))
    assert reply.status == 200 and tokens[0] not in reply.body.decode()


def test_term_during_a_login_lets_it_finish(kenni, start):
    service = start(**kenni.settings())
    kenni.faults["token"] = provider.slow(1)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(post, service, kenni.login(**person()))
        wait_until(lambda: kenni.calls.get("token"))
        service.terminate()
        assert pending.result().status == 200
    assert service.wait() == 0


def test_answers_are_never_cached_nor_guessable(kenni, login):
    a, b = (post(login, kenni.login(**person())).json for _ in range(2))
    assert a["uid"] != b["uid"] and len(a["uid"]) == 28
    assert call(f"{login.url}/", "POST", {}).headers["Cache-Control"].startswith("no-store")
