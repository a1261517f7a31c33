"""syncmembers: the real Django peer, all its members, and what goes wrong on the way."""

import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import audit_support as audit
import django_register
import evidence
import services
from django_register import Django
from members import MembersStack, why_no_google
from suite import TcpProxy, call, kennitala, wait_until

COLLECTIONS = ("members", "users", "sync_logs", "sync_runs", "sync_state", "leases", audit.ENTRIES, audit.HEADS)

pytestmark = pytest.mark.skipif(django_register.why_not() is not None, reason=str(django_register.why_not()))


@pytest.fixture(scope="module", params=["stand-in", "google"])
def stack(request):
    google = request.param == "google"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google=google) as made:
        made.create_account("uid-admin")
        made.trail = audit.Trail(made, made.secret["audit-key"])
        yield made


@pytest.fixture
def register(stack):
    with Django() as made:
        yield made


@pytest.fixture
def between(register):
    with Between(register.port) as made:
        yield made


@pytest.fixture
def start(stack, register, between):
    """start(**env) gives a running syncmembers that reaches Django through `between`."""
    for collection in COLLECTIONS:
        for name in stack.find(collection):
            if collection == "members":
                stack.delete(f"members/{name}/server/membership")
            stack.delete(f"{collection}/{name}")

    stack.set("users/uid-admin", roles=["member", "admin"])

    def make(**env):
        return stack.start("syncmembers", **{**register.settings(), "DJANGO_API_BASE_URL": between.base,
                                             "SYNC_PAGE_SIZE": 10, **env})
    yield make
    stack.stop_own()


class Between:
    """Stands between the service and Django. before[page] is called with the handler; true: it has answered."""

    def __init__(self, port):
        self.target = port
        self.before = {}
        self.pages = []

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                match = re.search(r"/api/full/\?page=(\d+)", self.path)
                if match:
                    page = int(match[1])
                    outer.pages.append(page)
                    if page in outer.before and outer.before[page](self):
                        return
                connection = http.client.HTTPConnection("127.0.0.1", outer.target, timeout=60)
                connection.request("GET", self.path, headers={"Authorization": self.headers["Authorization"]})
                reply = connection.getresponse()
                self.answer(reply.status, reply.read())
                connection.close()

            def answer(self, status, body, length=None):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}{django_register.PREFIX}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def times(count, fault):
    left = [count]

    def act(handler):
        left[0] -= 1
        return left[0] >= 0 and (fault(handler) or True)
    return act


FAULTS = {
    "500": lambda handler: handler.answer(500, b"{}"),
    "half": lambda handler: handler.answer(200, b'{"count": 50, "resul', 4000),
    "half-json": lambda handler: handler.answer(200, b'{"count": 50, "resul'),
    "no-results": lambda handler: handler.answer(200, b'{"count": 50}'),
    "hang": lambda handler: time.sleep(1.5),
}


def people(register, count, **more):
    numbers = [kennitala() for _ in range(count)]
    for number in numbers:
        register.create(ssn=number, name="Anna", **more)
    return numbers


def sync(stack, service, **more):
    token = stack.id_token("uid-admin", roles=["member", "admin"])
    return service.post("/", b"{}", token=token, timeout_s=300, **more)


def progress(stack, service, query=""):
    return service.get("/" + query, token=stack.id_token("uid-admin", roles=["admin"]))


def stats(reply):
    assert reply.status == 200, reply
    found = reply.json["result"]["stats"]
    assert found["synced"] + found["skipped"] + found["failed"] == found["total_members"]
    return found


def test_sync_all_pages_arrive_and_the_log_tells(stack, register, start):
    numbers = people(register, 25)
    service = start()
    reply = sync(stack, service)
    found = stats(reply)
    assert (found["synced"], found["pages_processed"], found["failed"]) == (25, 3, 0)
    assert set(stack.find("members")) == set(numbers)
    assert reply.json["result"]["success"] is True and found["completed_at"].endswith("+00:00")
    log, = stack.find("sync_logs").values()
    assert log["type"] == "member_sync" and log["stats"]["synced"] == 25
    shown = progress(stack, service)
    assert shown.status == 200 and shown.json["progress"]["state"] == "done"
    assert progress(stack, service, "?run=" + shown.json["run"]).json["progress"]["synced"] == 25
    assert progress(stack, service, "?run=nosuch").status == 404
    again = stats(sync(stack, service))
    assert (again["synced"], again["unchanged"]) == (25, 25)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_sync_page_failing_once_is_repeated(stack, register, between, start, kind):
    people(register, 45)
    between.before[3] = times(1, FAULTS[kind])
    assert stats(sync(stack, start(DJANGO_TIMEOUT_MS=1000)))["synced"] == 45
    assert between.pages.count(3) == 2


@pytest.mark.parametrize("kind", ["500", "half-json", "hang"])
def test_sync_page_failing_always_is_told_and_the_next_run_goes_on(stack, register, between, start, kind):
    people(register, 45)
    between.before[3] = times(1000, FAULTS[kind])
    service = start(DJANGO_TIMEOUT_MS=1000)
    reply = sync(stack, service)
    assert reply.status == 502 and reply.json["success"] is False and reply.json["last_good_page"] == 2, reply
    assert progress(stack, service).json["progress"]["state"] == "failed"
    assert len(stack.find("members")) == 20
    del between.before[3]
    again = sync(stack, service)
    assert again.json["result"]["resumed"] is True and stats(again)["synced"] == 45
    assert len(stack.find("members")) == 45


def test_sync_rows_that_move_while_paging_are_not_missed(stack, register, between, start):
    numbers = people(register, 45)
    listed = {row["ssn"]: row["id"] for row in rows(register)}
    late = kennitala()

    def change(handler):
        del between.before[3]
        for gone in numbers[2:5]:
            assert call(f"{register.root}/_peer/members/{listed[gone]}", "DELETE").status == 200
        register.create(ssn=late, name="Late")

    between.before[3] = change
    reply = sync(stack, start())
    assert reply.status == 200, reply
    assert set(stack.find("members")) >= set(numbers) | {late}


def rows(register):
    reply = call(f"{register.base}/api/full/?page_size=500", headers={"Authorization": f"Token {register.token}"})
    assert reply.status == 200, reply
    return reply.json["results"]


def test_sync_two_at_once_one_is_refused(stack, register, between, start):
    people(register, 12)
    first, second = start(), start()
    between.before[2] = times(1, lambda handler: time.sleep(1.2) or handler.answer(503, b"{}"))
    replies = []
    threads = [threading.Thread(target=lambda one=one: replies.append(sync(stack, one))) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.status for reply in replies) == [200, 409]


def test_sync_killed_in_the_middle_goes_on(stack, register, between, start):
    people(register, 45)
    reached = threading.Event()
    between.before[4] = lambda handler: reached.set() or time.sleep(3) or handler.answer(503, b"{}") or True
    service = start(SYNC_LEASE_S=3)
    thread = threading.Thread(target=lambda: swallow(lambda: sync(stack, service)))
    thread.start()
    assert reached.wait(60)
    service.process.signal(signal.SIGKILL)
    service.process.wait(10)
    thread.join()
    between.before.clear()
    other = start(SYNC_LEASE_S=3)
    reply = wait_until(lambda: (lambda r: r if r.status != 409 else None)(sync(stack, other)), 30, 0.5)
    assert reply.json["result"]["resumed"] is True and stats(reply)["synced"] == 45
    assert len(stack.find("members")) == 45


def swallow(what):
    try:
        what()
    except OSError:
        pass


def test_sync_missing_members_are_deactivated_behind_a_guard(stack, register, start):
    numbers = people(register, 30)
    service = start(SYNC_VANISH_PERCENT=10)
    stats(sync(stack, service))
    ids = {row["ssn"]: row["id"] for row in rows(register)}
    stack.create_account("uid-gone", {"isMember": True})
    stack.set("users/uid-gone", kennitala=numbers[0], isMember=True)
    for gone in numbers[:2]:
        assert call(f"{register.root}/_peer/members/{ids[gone]}", "DELETE").status == 200
    found = stats(sync(stack, service))
    assert (found["deactivated"], found["total_members"]) == (2, 28)
    assert stack.get(f"members/{numbers[0]}")["membership"]["status"] == "inactive"
    assert stack.get("users/uid-gone")["isMember"] is False
    assert not stack.claims("uid-gone").get("isMember")
    for gone in numbers[2:9]:
        assert call(f"{register.root}/_peer/members/{ids[gone]}", "DELETE").status == 200
    reply = sync(stack, service)
    assert reply.status == 422 and reply.json["success"] is False, reply
    assert stack.get(f"members/{numbers[5]}")["membership"]["status"] == "active"


def test_sync_keeps_what_the_member_added_and_leaves_the_deleted_inactive(stack, register, start):
    abroad = [{"country": 53, "address": "Gade 1", "current": False}, {"country": 46, "address": "Gata 2", "current": False}]
    stays, gone = people(register, 2, local_address={"street": "Njálsgata", "number": 3, "postal_code": 101},
                         foreign_addresses=abroad)
    service = start(DJANGO_COUNTRIES="109:IS,53:DK")
    stats(sync(stack, service))
    addresses = stack.get(f"members/{stays}")["profile"]["addresses"]
    assert [one["country"] for one in addresses] == ["IS", "DK", None] and addresses[2]["country_id"] in (46, "46")  # M-F22
    added = [{**addresses[0], "latitude": 64.14, "hnitnum": 1000101, "is_default": False}, *addresses[1:],
             {"country": "IS", "street": "Sumarhús", "number": "1", "is_default": True}]
    profile = stack.get(f"members/{stays}")["profile"]
    stack.merge(f"members/{stays}", profile={**profile, "addresses": added, "phone_numbers": [{"number": "555-9999"}]})
    removed = {"timestampValue": "2026-01-01T00:00:00Z"}
    stack.merge(f"members/{gone}/server/membership", status="inactive", deleted_at=removed)
    stack.merge(f"members/{gone}", membership={"status": "inactive"})
    for row in rows(register):
        register.change(row["id"], name="Nýtt nafn")
    assert stats(sync(stack, service))["synced"] == 2
    now = stack.get(f"members/{stays}")["profile"]
    assert now["name"] == "Nýtt nafn" and now["addresses"] == added and now["phone_numbers"]  # M-F24
    former = stack.get(f"members/{gone}")
    assert former["profile"]["name"] == "Nýtt nafn" and former["membership"]["status"] == "inactive"  # M-F17
    assert former["metadata"]["deleted_at"]


def test_sync_writes_carry_the_operator_and_her_request(stack, register, start):
    numbers = people(register, 12)
    stats(sync(stack, start(), headers={"X-Correlation-ID": "corr-sync"}))
    stamps = {(one["metadata"]["updated_by"], one["metadata"]["correlation_id"]) for one in stack.find("members").values()}
    assert stamps == {("uid-admin", "corr-sync")} and len(numbers) == 12


def test_sync_test_accounts_are_a_setting(stack, register, start):
    numbers = ["9999123456", "9999123457", "8123123456"]
    for number in numbers:
        register.create(ssn=number, name="System")
    found = stats(sync(stack, start(SYNC_TEST_ACCOUNTS="9999,!9999123457")))
    assert (found["synced"], found["skipped"]) == (2, 1)
    assert set(stack.find("members")) == set(numbers[1:])
    assert stats(sync(stack, start(SYNC_TEST_ACCOUNTS="none")))["synced"] == 3


def test_sync_odd_rows_fail_alone_and_test_accounts_are_skipped(stack, register, between, start):
    good = kennitala()

    def page(handler):
        results = [{"id": 1, "ssn": good, "name": "Good"}, {"id": 2, "ssn": None}, {"id": 3}, "text", None,
                   {"id": 4, "ssn": "9999999999"}, {"id": 5, "ssn": kennitala(), "contact_info": 7, "unions": {"a": 1}},
                   {"id": 6, "ssn": good}]
        handler.answer(200, json.dumps({"count": 8, "next": None, "results": results}).encode())
        return True

    between.before[1] = page
    reply = sync(stack, start())
    found = stats(reply)
    assert (found["synced"], found["failed"], found["skipped"]) == (2, 5, 1)
    assert reply.json["result"]["success"] is False


def test_sync_roles_are_never_lowered_implicitly_and_changes_are_audited(stack, register, between, start):
    flags = [{}, {"is_staff": False, "is_superuser": False}, {"is_staff": True}, {"is_superuser": True}]
    numbers = [kennitala() for _ in flags]
    for n, number in enumerate(numbers):
        stack.set(f"users/uid-{n}", kennitala=number, roles=["member", "admin"] if n < 2 else ["event_manager"])

    def page(handler):
        results = [{"id": n + 1, "ssn": number, **flags[n]} for n, number in enumerate(numbers)]
        handler.answer(200, json.dumps({"count": 4, "next": None, "results": results}).encode())
        return True

    between.before[1] = page
    assert stats(sync(stack, start()))["roles_changed"] == 2
    roles = [set(stack.get(f"users/uid-{n}")["roles"]) for n in range(4)]
    assert roles == [{"member", "admin"}, {"member", "admin"}, {"event_manager", "member", "admin"},
                     {"event_manager", "member", "superuser"}]
    assert stack.trail.verify() == 2
    lowering = start(SYNC_LOWER_ROLES="true")
    assert stats(sync(stack, lowering))["roles_changed"] == 1
    assert stack.get("users/uid-0")["roles"] == ["member", "admin"]
    assert stack.get("users/uid-1")["roles"] == ["member"]


def test_sync_caller_must_be_an_operator(stack, start):
    service = start()
    assert service.post("/", b"").status == 401
    assert service.post("/", b"", token="x").status == 401
    refused = service.post("/", b"", token=stack.id_token("uid-admin", roles=["member"]))
    assert refused.status == 403 and refused.json["error"] == "Admin or superuser role required"
    assert service.get("/", token=stack.id_token("uid-admin", roles=["member"])).status == 403
    demoted = stack.id_token("uid-admin", roles=["member", "admin"])
    stack.set("users/uid-admin", roles=["member"])
    assert service.post("/", b"", token=demoted).status == 403 and service.get("/", token=demoted).status == 403
    stack.set("users/uid-admin", roles=["superuser"])
    assert service.get("/", token=demoted).status == 404  # no run yet
    stack.update_account("uid-admin", disableUser=True)
    assert service.post("/", b"", token=demoted).status == 401
    stack.update_account("uid-admin", disableUser=False)
    assert service.call("PUT", "/", token=stack.id_token("uid-admin", roles=["admin"])).status == 405
    assert isinstance(service.post("/", b"").json["error"], str)


def test_sync_write_that_firestore_refuses_fails_alone(stack, register, between, start):
    if stack.google:
        pytest.skip("the emulator refuses nothing on purpose")
    numbers = people(register, 12)
    service = start(SYNC_PAGE_SIZE=50)

    def refuse(_):
        # The commit of all of them, then that of the first one by itself.
        del between.before[1]
        refuse_commits(stack, 2)

    between.before[1] = refuse
    mark = service.log_mark()
    reply = sync(stack, service)
    found = stats(reply)
    assert (found["synced"], found["failed"]) == (11, 1) and reply.json["result"]["success"] is False
    assert len(stack.find("members")) == 11
    assert [line["message"] for line in service.logs(mark)].count("a member could not be written") == 1
    assert (stats(sync(stack, service))["synced"], set(stack.find("members"))) == (12, set(numbers))


def test_sync_log_and_progress_that_cannot_be_written_do_not_undo_the_answer(stack, register, between, start):
    if stack.google:
        pytest.skip("the emulator refuses nothing on purpose")
    people(register, 12)
    service = start()
    stats(sync(stack, service))
    before = len(stack.find("sync_logs"))

    def refuse(_):
        del between.before[1]
        refuse_commits(stack, -1)

    between.before[1] = refuse
    mark = service.log_mark()
    try:
        reply = sync(stack, service)
    finally:
        call(f"http://{stack.firestore_host}/_faults", "DELETE")
    assert stats(reply)["unchanged"] == 12 and reply.json["result"]["log_id"] == ""
    assert len(stack.find("sync_logs")) == before
    assert "the log of a sync could not be written" in [line["message"] for line in service.logs(mark)]


def refuse_commits(stack, count):
    path = stack.documents.removeprefix(f"http://{stack.firestore_host}") + ":commit"
    reply = call(f"http://{stack.firestore_host}/_faults", "POST",
                 {"path_prefix": path, "code": "INVALID_ARGUMENT", "count": count})
    assert reply.status // 100 == 2, reply


def test_sync_tells_nothing_of_what_django_says(stack, register, start):
    people(register, 3)
    service = start(DJANGO_API_BASE_URL=register.base)
    for code in (500, 400, 403):
        mark = service.log_mark()
        register.fault("GET", "/api/full/", "status", times=4, code=code)
        reply = sync(stack, service)
        assert reply.status == 502 and "psycopg2" not in reply.body.decode() + json.dumps(service.logs(mark))
        assert "psycopg2" not in json.dumps(list(stack.find("sync_logs").values()) + list(stack.find("sync_runs").values()))
        register.forget()


def test_sync_store_down_is_told(stack, register, start):
    people(register, 5)
    host, port = stack.firestore_host.rsplit(":", 1)
    with TcpProxy(int(port), host) as proxy:
        service = start(FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{proxy.port}", REQUEST_BUDGET_MS=25000)
        proxy.mode = "refuse"
        proxy.cut()
        assert sync(stack, service).status in (502, 503, 504)


def reconcile(stack, register, **more):
    environment = {**os.environ, **register.settings(), "FIRESTORE_EMULATOR_HOST": stack.firestore_host,
                   "GCP_PROJECT_ID": services.PROJECT_ID, **more}
    run = subprocess.run([os.path.join(evidence.ROOT, "deploy", "ops", "reconcile")], env=environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    return run.returncode, run.stdout.splitlines()


def test_reconcile_tells_what_differs_and_no_value(stack, register, start):
    numbers = people(register, 12, contact_info={"email": "a@example.is", "phone": "+354 555-1234"}, local_address={
        "street": "Njálsgata", "number": 3, "postal_code": 101}, foreign_addresses=[{"country": 53, "address": "Gade 1"}])
    register.create(ssn="9999123456", name="Test")
    assert reconcile(stack, register)[0] == 1
    stats(sync(stack, start()))
    code, lines = reconcile(stack, register)
    assert (code, len(lines)) == (0, 1), lines
    code, lines = reconcile(stack, register, SYNC_TEST_ACCOUNTS="none")
    assert code == 1 and lines[0].startswith("only-in-django"), lines
    stack.delete(f"members/{numbers[0]}")
    member = stack.get(f"members/{numbers[1]}")
    stack.merge(f"members/{numbers[1]}", profile={**member["profile"], "email": "other@example.is", "phone": "5559999",
                                                  "addresses": member["profile"]["addresses"][1:]})
    stranger = kennitala()
    stack.set(f"members/{stranger}", membership={"status": "active"})
    code, lines = reconcile(stack, register)
    assert code == 1 and sorted(line.split()[0] for line in lines[:-1]) == [
        "differs", "only-in-django", "only-in-firestore"]
    for name in ("profile.email", "profile.phone", "profile.addresses"):
        assert name in "".join(lines)
    assert not any(number in "".join(lines) for number in [*numbers, stranger])
    assert reconcile(stack, register, DJANGO_API_TOKEN="0" * 40)[0] == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sync_ten_thousand_members_in_time_and_memory(stack, start):
    with Django(members=10000) as many:
        service = start(**{**many.settings(), "SYNC_PAGE_SIZE": 200})
        found = stats(sync(stack, service))  # 503 when the service's own time is over
        assert found["synced"] == 10000
        with open(f"/proc/{service.process.pid}/status", encoding="ascii") as status:
            peak_kb = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
        with open(f"/proc/{service.process.pid}/maps", encoding="ascii") as maps:
            is_sanitized = "libasan" in maps.read()
        assert is_sanitized or peak_kb <= 65536  # a sanitizer keeps what was freed
        print(f"10000 members: {found['started_at']} to {found['completed_at']}, peak {peak_kb} kB")
