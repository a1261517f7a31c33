"""get-django-token: the key to the register, for operators of this moment only. Contract members.md §3.12; M-F03, M-F53."""

import json
import secrets
import time

import pytest

import django_register
from django_register import Django
from evidence import canary
from members import MembersStack, why_no_google
from suite import TcpProxy, is_iso_time, kennitala, wait_until

needs_django = pytest.mark.skipif(django_register.why_not() is not None, reason=str(django_register.why_not()))
NAME = "get-django-token"


@pytest.fixture(scope="module", params=["stand-in", "emulators"])
def members(request):
    google = request.param == "emulators"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google) as stack:
        canary(stack.secret["django-api-token"])
        yield stack


@pytest.fixture(scope="module")
def service(members):
    running = members.start(NAME)
    members.own.remove(running)
    yield running
    assert running.stop() == 0


@pytest.fixture
def start(members):
    yield lambda **more: members.start(NAME, **more)
    assert not members.stop_own()


def operator(members, roles=("member", "admin"), record=("member", "admin"), **claims):
    """(uid, ID token) of somebody whose token says roles and whose record says record."""
    uid = canary(f"uid-{secrets.token_hex(8)}")
    members.create_account(uid)
    if record is not None:
        members.set(f"users/{uid}", roles=list(record))
    return uid, members.id_token(uid, kennitala=kennitala(), roles=list(roles), **claims)


def audits(members, uid):
    return list(members.find("django_token_audit", "adminId", uid).values())


@pytest.mark.parametrize("path", ["/", "/get_django_token", "/get-django-token"])
@pytest.mark.parametrize("role", ["admin", "superuser"])
def test_operator_gets_the_token_and_the_issue_is_audited(members, service, path, role):
    uid, token = operator(members, (role,), (role,))
    reply = service.post(path, token=token, headers={"Content-Type": "application/json", "X-Correlation-ID": "c-1"})
    assert reply.status == 200
    assert reply.json["token"] == members.secret["django-api-token"] and reply.json["expiresAt"] is None
    assert reply.json["message"]
    assert "no-store" in reply.headers["Cache-Control"] and "private" in reply.headers["Cache-Control"]
    one, = audits(members, uid)
    assert one["action"] == "issue" and one["kind"] == "token" and one["roles"] == [role]
    assert one["correlationId"] == "c-1" and one["timestamp"]
    assert members.secret["django-api-token"] not in json.dumps(one)


def test_every_issue_has_its_own_entry(members, service):
    uid, token = operator(members)
    for _ in range(3):
        assert service.post("/", token=token).status == 200
    assert len(audits(members, uid)) == 3


@pytest.mark.parametrize("roles, record", [
    (("member",), ("admin",)), ((), ("superuser",)), (("admin",), ("member",)), (("superuser",), ()), (("admin",), None),
    (("Admin",), ("admin",)), (("admin",), ("administrator",))])
def test_no_operator_in_token_or_record_is_403(members, service, roles, record):
    uid, token = operator(members, roles, record)
    reply = service.post("/", token=token)
    assert reply.status == 403 and reply.json["error"] == "Forbidden" and set(reply.json) == {"error", "message"}
    assert audits(members, uid) == []


def test_demoted_operator_with_a_valid_token_is_403_at_once(members, service):
    uid, token = operator(members)
    assert service.post("/", token=token).status == 200
    members.set(f"users/{uid}", roles=["member"])
    assert service.post("/", token=token).status == 403
    assert len(audits(members, uid)) == 1


def test_disabled_deleted_or_signed_out_account_is_401(members, service):
    uid, token = operator(members)
    members.update_account(uid, disableUser=True)
    assert service.post("/", token=token).status == 401
    uid, token = operator(members, auth_time=int(time.time()) - 100)
    members.update_account(uid, validSince=str(int(time.time()) - 50))
    assert service.post("/", token=token).status == 401
    stranger = members.id_token(canary(f"uid-{secrets.token_hex(8)}"), roles=["admin"])
    assert service.post("/", token=stranger).status == 401


def test_bad_credentials_are_401_in_shape(members, service):
    _, token = operator(members)
    for value in (None, "Bearer", "Bearer ", f"bearer {token}", f"Token {token}", "Bearer x.y.z", f"Bearer {token[:-20]}x"):
        reply = service.post("/", headers={} if value is None else {"Authorization": value})
        assert reply.status == 401 and reply.json["error"] == "Unauthorized" and reply.json["message"], value


def test_only_post(members, service):
    _, token = operator(members)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        reply = service.call(method, "/", token=token)
        assert reply.status == 405 and reply.json["error"] == "Method Not Allowed"
    origin = "https://ekklesia-prod-10-2025.web.app"
    reply = service.call("OPTIONS", "/", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert reply.status == 204 and reply.headers["Access-Control-Allow-Origin"] == origin
    reply = service.call("OPTIONS", "/", headers={"Origin": "https://example.com"})
    assert reply.headers["Access-Control-Allow-Origin"] is None


def test_too_many_issues_are_429_with_retry_after(members, start):
    service = start(ISSUES_PER_HOUR=2)
    uid, token = operator(members)
    assert [service.post("/", token=token).status for _ in range(3)] == [200, 200, 429]
    reply = service.post("/", token=token)
    assert reply.json["error"] == "Too Many Requests" and 1 <= int(reply.headers["Retry-After"]) <= 7200  # the window slides
    assert service.post("/", token=operator(members)[1]).status == 200
    assert len(audits(members, uid)) == 2


def test_token_under_the_hyphenated_name_and_not_at_all(members, start):
    value = canary(secrets.token_hex(20))
    _, token = operator(members)
    assert start(**{"DJANGO_API_TOKEN": None, "django-api-token": value}).post("/", token=token).json["token"] == value
    bare = start(DJANGO_API_TOKEN=None)
    reply = bare.post("/", token=token)
    assert reply.status == 500 and reply.json["error"] == "Internal Server Error"
    assert bare.get("/health/ready").status == 503


@pytest.mark.parametrize("which", ["FIRESTORE_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST"])
@pytest.mark.parametrize("mode", ["refuse", "hang"])
def test_record_that_cannot_be_asked_gives_no_token(members, start, which, mode):
    host, port = (members.firestore_host if "STORE" in which else members.auth_host).split(":")
    with TcpProxy(int(port), host) as proxy:
        service = start(**{which: f"127.0.0.1:{proxy.port}", "REQUEST_BUDGET_MS": 2000})
        uid, token = operator(members)
        proxy.mode = mode
        proxy.cut()
        reply = service.post("/", token=token)
        assert reply.status == 500 and reply.json["error"] == "Internal Server Error" and "token" not in reply.json
        assert audits(members, uid) == []
        proxy.mode = "pass"
        proxy.cut()
        wait_until(lambda: service.post("/", token=token).status == 200, 15, 0.3)


def test_no_log_line_holds_token_or_person(members, service):
    uid, token = operator(members)
    mark = service.log_mark()
    service.post("/", token=token)
    service.post("/", token=operator(members, (), ())[1])
    service.wait_log(lambda line: line["message"] == "register key refused", mark)
    text = json.dumps(service.logs(mark))
    assert "register key issued" in text
    assert uid not in text and members.secret["django-api-token"] not in text


# --- tickets ---


@needs_django
def test_ticket_is_short_lived_opens_the_register_and_never_falls_back(members, start):
    with Django() as register:
        service = start(**register.settings(DJANGO_TICKET_PATH="/api/tickets/", DJANGO_TICKET_TTL_S=600))
        uid, token = operator(members)
        reply = service.post("/", token=token)
        assert reply.status == 200 and reply.json["token"] != register.token
        assert is_iso_time(reply.json["expiresAt"])
        assert register.api("GET", "/api/full/", token=canary(reply.json["token"])).status == 200
        assert audits(members, uid)[0]["kind"] == "ticket"
        for kind in ("half", "html", "wrong_types", "huge", "status"):
            register.fault("POST", "/api/tickets/", kind, code=403)
            mark = service.log_mark()
            reply = service.post("/", token=token)
            assert reply.status == 500 and register.token not in reply.body.decode(), kind
            assert "psycopg2" not in reply.body.decode() + json.dumps(service.logs(mark))
        assert len(audits(members, uid)) == 1
