"""auditmemberchanges: real binary, events as Firestore sends them, the trail checked by code of its own."""

import http.server
import json
import secrets
import threading
import time

import pytest

import audit_support as audit
import protobuf
from evidence import canary
from kenni import jwt, key
from members import MembersStack, why_no_google
from processes import port_taken
from suite import TcpProxy, kennitala, wait_until

FORMS = ["json", pytest.param("protobuf", marks=pytest.mark.skipif(protobuf.MISSING, reason="python3-protobuf is missing"))]
WRITER = ("service_account", "writer@demo.iam.gserviceaccount.com")


@pytest.fixture(scope="module", params=["stand-in", "google"])
def stack(request):
    google = request.param == "google"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google=google) as made:
        made.trail = audit.Trail(made, made.secret["audit-key"])
        yield made


@pytest.fixture
def service(stack):
    stack.clear(audit.ENTRIES)
    stack.clear(audit.HEADS)
    yield stack.start("auditmemberchanges")
    stack.stop_own()


def member(number, **more):
    return {"profile": {"name": canary("Anna Audit"), "kennitala": number, **more}, "membership": {"status": "active"}}


def only_entry(stack):
    (name, fields), = stack.find(audit.ENTRIES).items()
    return name, fields


def send(service, number, event_id, before=None, after=None, **more):
    return service.post("/", audit.body_json(number, before, after), headers=audit.headers(number, event_id, **more))


def test_event_binary_json_is_recorded(stack, service):
    number = kennitala()
    uid = f"uid-admin-{secrets.token_hex(4)}"
    stack.create_account(uid)
    stack.update_account(uid, email=f"{uid}@example.is")
    reply = send(service, number, "e-1", member(number), member(number, email=canary("new@example.is")),
                 auth=("app_user", uid))
    assert reply.status == 204, reply
    name, entry = only_entry(stack)
    assert (entry["adminId"], entry["adminEmail"], entry["action"]) == (uid, f"{uid}@example.is", "update")
    assert entry["memberId"] == number[:6] + "-****" and entry["changes"]["diff"] == ["profile.email"]
    assert entry["changes"]["before"] == {} and entry["changes"]["after"]["profile.email"].startswith("sealed:")
    assert entry["source"] == "firestore-trigger" and entry["success"] is True
    assert number not in name and number not in json.dumps(entry)
    assert stack.trail.verify() == 1


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("form", FORMS)
def test_event_every_mode_and_form_gives_the_same_diff(stack, service, mode, form):
    number = kennitala()
    before = {**member(number), "list": [1, {"a": [2.5, None]}], "flag": True, "gone": "x"}
    after = {**member(number), "list": [1, {"a": [2.5, "y"]}], "flag": True, "new": {"deep": {"er": 1}}}
    body = (audit.body_json if form == "json" else audit.body_protobuf)(number, before, after)
    if mode == "binary":
        reply = service.post("/auditmemberchanges", body,
                             headers=audit.headers(number, "e-2", f"application/{form}", auth=WRITER))
    else:
        reply = service.post("/", audit.structured(number, "e-2", body, form == "json", auth=WRITER),
                             headers={"Content-Type": "application/cloudevents+json; charset=utf-8"})
    assert reply.status == 204, reply
    _, entry = only_entry(stack)
    assert sorted(entry["changes"]["diff"]) == ["gone", "list", "new"]
    assert entry["adminId"] == "system" and entry["writtenBy"] == WRITER[1]


def test_event_create_delete_and_status_are_recognised(stack, service):
    number = kennitala()
    inactive = {**member(number), "membership": {"status": "inactive"}}
    for event_id, before, after in (("c", None, member(number)), ("i", member(number), inactive),
                                    ("r", inactive, member(number)), ("d", member(number), None)):
        assert send(service, number, event_id, before, after).status == 204
    found = sorted((entry["action"], entry["transition"] or "") for entry in stack.find(audit.ENTRIES).values())
    assert found == [("create", ""), ("delete", ""), ("update", "deactivated"), ("update", "reactivated")]
    assert stack.trail.verify() == 4


def test_event_same_id_many_times_at_once_is_one_entry(stack, service):
    number = kennitala()
    other = stack.start("auditmemberchanges")
    replies = []
    threads = [threading.Thread(target=lambda one=one: replies.append(send(one, number, "same", None, member(number))))
               for one in (service, other) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} <= {204, 503}, replies
    assert send(service, number, "same", None, member(number)).status == 204
    only_entry(stack)
    assert stack.trail.verify() == 1


def test_event_many_at_once_keep_the_chain_whole(stack, service):
    numbers = [kennitala() for _ in range(24)]
    replies = []
    threads = [threading.Thread(target=lambda n=n: replies.append(send(service, n, f"many-{n}", None, member(n))))
               for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [204] * 24
    assert stack.trail.verify() == 24


def test_event_actor_a_member_cannot_blame_another(stack, service):
    number = kennitala()
    after = {**member(number), "updatedBy": "uid-victim"}
    assert send(service, number, "blame", member(number), after, auth=("app_user", "uid-real")).status == 204
    _, entry = only_entry(stack)
    assert entry["adminId"] == "uid-real" and entry["adminEmail"] == "unknown-uid-real"


def test_event_actor_our_service_names_the_person(stack, service):
    number = kennitala()
    after = {**member(number), "metadata": {"updated_by": "uid-person", "correlation_id": "corr-1"}}
    assert send(service, number, "named", member(number), after, auth=WRITER).status == 204
    _, entry = only_entry(stack)
    assert (entry["adminId"], entry["actorSource"], entry["correlationId"]) == ("uid-person", "service", "corr-1")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xff\xff", b"\x0a\xff\xff\xff\x0f", b"[]", b"{}"])
@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_event_unreadable_body_is_recorded_as_unknown(stack, service, body, form):
    number = kennitala()
    reply = service.post("/", body, headers=audit.headers(number, "bad", f"application/{form}"))
    assert reply.status == 204, reply
    _, entry = only_entry(stack)
    assert (entry["action"], entry["success"], entry["changes"]) == ("unknown", False, None)


@pytest.mark.skipif(protobuf.MISSING, reason="python3-protobuf is not installed")
def test_event_deep_protobuf_is_bounded(stack, service):
    number = kennitala()
    deep = "end"
    for _ in range(60):
        deep = {"m": deep}
    assert service.post("/", audit.body_protobuf(number, None, {"deep": deep}),
                        headers=audit.headers(number, "deep", "application/protobuf")).status == 204
    assert only_entry(stack)[1]["action"] == "unknown"


@pytest.mark.parametrize("change, status", [
    ({"ce-id": ""}, 400), ({"ce-source": ""}, 400), ({"ce-type": "com.example.other"}, 400),
    ({"ce-specversion": "0.3"}, 400), ({"Content-Type": "text/plain"}, 415), ({"ce-id": "x" * 3000}, 400),
    ({"ce-document": "users/uid"}, 204), ({"ce-document": "members/0101302989/syncHistory/x"}, 204)])
def test_event_that_is_none_of_ours_stores_nothing(stack, service, change, status):
    number = kennitala()
    reply = service.post("/", audit.body_json(number, None, member(number)),
                         headers={**audit.headers(number, "odd"), **change})
    assert reply.status == status, reply
    assert stack.find(audit.ENTRIES) == {}


def test_event_store_down_is_told_and_redelivery_records(stack, service):
    number = kennitala()
    host, port = stack.firestore_host.rsplit(":", 1)
    with TcpProxy(int(port), host) as proxy:
        proxy.mode = "refuse"
        cut = stack.start("auditmemberchanges", healthy=False, FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{proxy.port}",
                          REQUEST_BUDGET_MS=2500)
        wait_until(lambda: port_taken(cut.port), 20)
        assert send(cut, number, "later", None, member(number)).status in (503, 504)
        proxy.mode = "swallow"  # written, but nobody hears of it
        assert send(cut, number, "later", None, member(number)).status in (503, 504)
        proxy.mode = "pass"
        proxy.cut()
        assert any(send(cut, number, "later", None, member(number)).status == 204 or time.sleep(1) for _ in range(20))
    only_entry(stack)
    assert stack.trail.verify() == 1


def test_event_tampering_shows(stack, service):
    number = kennitala()
    for n in range(3):
        assert send(service, number, f"t-{n}", None, member(number)).status == 204
    name = next(iter(stack.find(audit.ENTRIES)))
    stack.merge(f"{audit.ENTRIES}/{name}", adminId="somebody-else")
    with pytest.raises(AssertionError, match="was changed"):
        stack.trail.verify()


def test_get_is_refused_and_health_answers(service):
    assert service.get("/").status == 405
    assert service.get("/health").status == 200


# --- the platform's token ---------------------------------------------------------------------------------------


class Keys(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"keys": [key("google-1").jwk()]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def claims(**more):
    now = int(time.time())
    return {"iss": "https://accounts.google.com", "aud": "https://audit.example", "sub": "1", "iat": now,
            "exp": now + 600, "email": "eventarc@demo.iam", "email_verified": True, **more}


def test_platform_token_is_required_and_checked(stack):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        service = stack.start("auditmemberchanges", EVENT_AUTH="required", EVENT_AUDIENCE="https://audit.example",
                              EVENT_SERVICE_ACCOUNT="eventarc@demo.iam",
                              GOOGLE_JWKS_URL=f"http://127.0.0.1:{server.server_port}/")
        number = kennitala()

        def status(token):
            more = {"Authorization": f"Bearer {token}"} if token else {}
            return service.post("/", audit.body_json(number, None, member(number)),
                                headers={**audit.headers(number, "auth"), **more}).status

        good = jwt(key("google-1"), claims())
        canary(*good.split(".")[1:])
        assert status(good) == 204
        bad = [None, "x", good[:-8] + "AAAAAAAA", jwt(key("google-2"), claims())]
        bad += [jwt(key("google-1"), claims(**change)) for change in (
            {"iss": "https://evil.example"}, {"aud": "https://other.example"}, {"email": "other@demo.iam"},
            {"email_verified": False}, {"exp": int(time.time()) - 60})]
        assert [status(token) for token in bad] == [401] * len(bad)
    finally:
        server.shutdown()
        stack.stop_own()


def test_start_without_audience_is_refused(stack):
    service = stack.start("auditmemberchanges", healthy=False, EVENT_AUTH="required")
    assert service.wait(10) == 1
    stack.stop_own()
