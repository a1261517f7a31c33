"""sync-from-django: what the register saves stands in Firestore at once, in whatever order its calls arrive.

Contract members.md §3.3, §7; M-F09, M-F17 - M-F24, M-F50. The register is a real Django where it is installed.
"""

import itertools
import json
import secrets
import time

import pytest

import django_register
from django_register import Django
from evidence import canary
from members import MembersStack, why_no_google
from suite import TcpProxy, kennitala, s2s_headers, wait_until

KEY_ID = "register"
SIGNING_KEY = canary(secrets.token_hex(32))


@pytest.fixture(scope="module", params=["stand-in", "emulators"])
def members(request):
    google = request.param == "emulators"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google) as stack:
        yield stack


@pytest.fixture(scope="module")
def service(members):
    running = members.start("sync-from-django", DJANGO_COUNTRIES="109:IS,53:DK")
    members.own.remove(running)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def signed_service(members):
    running = members.start("sync-from-django", SYNC_AUTH="signature", SYNC_SIGNING_KEYS=f"{KEY_ID}:{SIGNING_KEY}")
    members.own.remove(running)
    yield running
    assert running.stop() == 0


@pytest.fixture
def start(members):
    yield lambda **more: members.start("sync-from-django", **more)
    assert not members.stop_own()


class Person:
    """A member of the register, and what became of her in Firestore."""

    def __init__(self, members, service):
        self.members, self.service = members, service
        self.kt = kennitala()
        self.path = f"members/{self.kt}"
        self.name = canary(f"Nafn{secrets.token_hex(5)}")

    def data(self, **more):
        return {"id": 7, "ssn": self.kt, "name": self.name, "birthday": "1990-02-03", "gender": 2,
                "date_joined": "2020-05-06T07:08:09Z", "reachable": True, "groupable": False,
                "contact_info": {"email": "a@example.is", "phone": "555-1234", "foreign_phone": None, "facebook": None},
                "local_address": {"street": "Njálsgata", "number": 3, "letter": "", "postal_code": 101,
                                  "city": "Reykjavík"},
                "foreign_addresses": [], "unions": [{"name": "VR"}], "titles": [], **more}

    def send(self, action="update", data=None, kt=None, **more):
        body = {"kennitala": kt or self.kt, "action": action, **more}
        if data is not None:
            body["data"] = data
        return self.service.post("/sync_from_django", body, token=self.members.secret["sync-api-key"])

    def ok(self, *args, **more):
        reply = self.send(*args, **more)
        assert reply.status == 200, reply
        return reply.json

    @property
    def document(self):
        return self.members.get(self.path)

    @property
    def record(self):
        return self.members.get(f"{self.path}/server/membership")


@pytest.fixture
def person(members, service):
    return Person(members, service)


# --- what is written ---


def test_create_writes_member_and_record(person):
    answer = person.ok("create", person.data())
    assert answer == {"success": True, "kennitala": f"{person.kt[:6]}-****", "action": "create", "outcome": "written"}
    document = person.document
    assert document["profile"]["name"] == person.name and document["profile"]["phone"] == "5551234"
    assert document["profile"]["kennitala"] == person.kt and document["profile"]["foreign_phone"] == ""
    assert document["profile"]["groupable"] is False and document["profile"]["email"] == "a@example.is"
    assert document["membership"]["status"] == "active" and document["membership"]["unions"] == ["VR"]
    assert document["membership"]["date_joined"].startswith("2020-05-06T07:08:09")
    assert document["metadata"]["django_id"] in (7, "7") and document["metadata"]["synced_at"]
    address = document["profile"]["addresses"][0]
    assert address["number"] == "3" and address["postal_code"] == "101" and address["is_default"] is True
    assert person.record["status"] == "active"


def test_update_keeps_what_the_member_added(person, members):
    person.ok("create", person.data())
    document = person.document
    document["profile"]["addresses"][0].update(latitude=64.14, longitude=-21.9, hnitnum=1000101, is_default=False)
    document["profile"]["addresses"].append({"country": "IS", "street": "Sumarhús", "number": "1", "is_default": True})
    document["profile"]["phone_numbers"] = [{"country": "IS", "number": "555-9999", "is_default": True}]
    members.merge(person.path, profile=document["profile"])
    for action in ("update", "create"):  # M-F18: a create of somebody known is an update
        person.ok(action, person.data(name="Nýtt nafn"))
    now = person.document["profile"]
    assert now["name"] == "Nýtt nafn"
    assert now["addresses"] == document["profile"]["addresses"]
    assert now["phone_numbers"] == document["profile"]["phone_numbers"]


def test_move_replaces_the_registers_address_only(person, members):
    person.ok("create", person.data())
    profile = person.document["profile"]
    profile["addresses"].append({"country": "IS", "street": "Sumarhús", "number": "1", "latitude": 65.5})
    members.merge(person.path, profile=profile)
    person.ok("update", person.data(local_address={"street": "Laugavegur", "number": 12, "postal_code": 101}))
    addresses = person.document["profile"]["addresses"]
    assert sorted(one["street"] for one in addresses) == ["Laugavegur", "Sumarhús"]
    assert [one["street"] for one in addresses if one.get("is_default")] == ["Laugavegur"]


def test_foreign_country_unknown_is_null_with_its_id(person):
    person.ok("create", person.data(foreign_addresses=[
        {"country": 53, "current": True, "address": "Gade 1", "municipality": "Odense", "postal_code": "5000"},
        {"country": 46, "current": False, "address": "Gata 2", "municipality": "", "postal_code": ""}]))
    addresses = person.document["profile"]["addresses"]
    assert addresses[1]["country"] == "DK" and addresses[1]["is_default"] is False
    assert addresses[2]["country"] is None and addresses[2]["country_id"] in (46, "46")


def test_nulls_everywhere_are_a_member(person):
    person.ok("create", {name: None for name in person.data()})
    profile = person.document["profile"]
    assert profile["name"] == "" and profile["addresses"] == [] and profile["reachable"] is True
    assert person.document["membership"]["unions"] == []


def test_test_accounts_are_left_out_and_genuine_system_numbers_are_not(members, start):
    test, genuine, system = (f"{head}{secrets.randbelow(10**6):06}" for head in ("9999", "9999", "8123"))
    service = start(SYNC_TEST_ACCOUNTS=f"9999,!{genuine}")
    people = [Person(members, service) for _ in range(3)]
    for person, number in zip(people, (test, genuine, system)):
        person.kt, person.path = number, f"members/{number}"
    assert [person.ok("create", person.data())["outcome"] for person in people] == ["skipped", "written", "written"]
    assert [person.document is None for person in people] == [True, False, False]
    assert people[0].record is None
    for action in ("update", "delete"):
        assert people[0].ok(action, people[0].data())["outcome"] == "skipped"


@pytest.mark.parametrize("accounts", ["999", "0101", "4101", "99x9", "!9999", "99991234567", "9999,12"])
def test_settings_that_would_catch_people_are_refused_at_start(members, accounts):
    with pytest.raises(Exception):
        members.start("sync-from-django", SYNC_TEST_ACCOUNTS=accounts)


def test_webhook_writes_are_the_systems_with_their_request(person, service, members):
    reply = service.post("/", {"kennitala": person.kt, "action": "create", "data": person.data()},
                         token=members.secret["sync-api-key"], headers={"X-Correlation-ID": "corr-hook"})
    assert reply.status == 200
    assert {name: person.document["metadata"][name] for name in ("updated_by", "correlation_id")} == {
        "updated_by": "system", "correlation_id": "corr-hook"}


# --- deletion ---


def test_delete_reaches_document_record_users_and_claims(person, members):
    uid = f"uid-{secrets.token_hex(6)}"
    members.create_account(uid, {"kennitala": person.kt, "isMember": True, "roles": ["member"]})
    members.set(f"users/{uid}", kennitala=person.kt, isMember=True, fullName="x")
    person.ok("create", person.data())
    person.ok("delete")
    assert person.document["membership"]["status"] == "inactive" and person.document["metadata"]["deleted_at"]
    assert person.document["profile"]["name"] == person.name
    assert person.record["status"] == "inactive"
    assert members.get(f"users/{uid}")["isMember"] is False
    assert members.claims(uid) == {"kennitala": person.kt, "isMember": False, "roles": ["member"]}
    assert int(members.account(uid)["validSince"]) >= time.time() - 60


def test_delete_again_and_of_nobody_is_fine(person):
    assert person.ok("delete")["success"] is True
    assert person.document is None and person.record is None
    person.ok("create", person.data())
    person.ok("delete")
    first = person.document
    person.ok("delete")
    assert person.document == first


def test_deleted_member_stays_inactive_until_reactivated(person):
    person.ok("create", person.data())
    person.ok("delete")
    for action in ("update", "create"):
        person.ok(action, person.data(name="Seinna"))
        assert person.document["membership"]["status"] == "inactive"
        assert person.document["metadata"]["deleted_at"] and person.record["status"] == "inactive"
    person.ok("reactivate", person.data())
    assert person.document["membership"]["status"] == "active" and person.record["status"] == "active"
    assert "deleted_at" not in person.document["metadata"] and "deleted_at" not in person.record


def test_new_row_of_a_former_member_is_a_new_membership(person):
    person.ok("create", person.data(id=7))
    person.ok("delete")
    person.ok("create", person.data(id=8))
    assert person.document["membership"]["status"] == "active"


# --- order and repetition ---


def test_every_order_of_events_ends_with_the_newest(members, service):
    for order in itertools.permutations((1, 2, 3)):
        person = Person(members, service)
        for version in order:
            person.ok("update", person.data(name=f"v{version}"), version=version, event_id=f"e{version}")
        assert person.document["profile"]["name"] == "v3", order


def test_delete_overtaking_create_wins(person):
    person.ok("delete", version=5)
    assert person.ok("create", person.data(), version=4)["outcome"] == "outdated"
    assert person.document is None and person.record["status"] == "inactive"


def test_repeated_event_writes_once(person, members):
    first = person.ok("update", person.data(), event_id="one", version=1)
    before = person.document
    members.merge(person.path, mark="left alone")
    assert first["outcome"] == "written"
    assert person.ok("update", person.data(name="Annað"), event_id="one", version=1)["outcome"] == "repeated"
    assert person.document == {**before, "mark": "left alone"}
    # Without id and version: what says nothing new changes nothing.
    assert person.ok("update", person.data())["outcome"] == "unchanged"
    assert person.document == {**before, "mark": "left alone"}


def test_idempotency_key_is_an_event_id(person, members, service):
    body = {"kennitala": person.kt, "action": "update", "data": person.data()}
    headers = {"X-Idempotency-Key": "key-1"}
    key = members.secret["sync-api-key"]
    assert service.post("/", body, token=key, headers=headers).json["outcome"] == "written"
    assert service.post("/", body, token=key, headers=headers).json["outcome"] == "repeated"


def test_simultaneous_events_none_lost(members, start):
    import concurrent.futures
    person = Person(members, start(REQUEST_BUDGET_MS=25000))  # Google's emulator has them wait for each other
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda n: person.send("update", person.data(name=f"v{n}"), version=n), range(1, 13)))
    assert {reply.status for reply in replies} == {200}, replies
    assert person.document["profile"]["name"] == "v12"


# --- who may ---


def test_key_forms_and_refusals(person, members, service):
    key = members.secret["sync-api-key"]
    body = {"kennitala": person.kt, "action": "delete"}
    for value in (f"Bearer {key}", f"Token {key}", key):
        assert service.post("/", body, headers={"Authorization": value}).status == 200, value[:6]
    for value in (f"Bearer {key[:-1]}", f"Bearer {key}x", "Bearer ", "", f"bearer {key}", "Bearer null"):
        reply = service.post("/", body, headers={"Authorization": value})
        assert reply.status == 401 and reply.json == {"error": "Unauthorized"}, value[:6]
    assert service.post("/", body).status == 401
    assert service.post("/", body, token=members.secret["django-api-token"]).status == 401
    for unreadable in (b"{", b"", b"{}"):  # whoever has no key is told nothing about the body
        assert service.post("/", unreadable, headers={"Content-Type": "application/json"}).status == 401


def test_no_key_configured_nobody_passes(person, members, start):
    bare = start(SYNC_API_KEY=None, healthy=True)
    for value in ("Bearer ", "Bearer", ""):
        assert bare.post("/", {"kennitala": person.kt, "action": "delete"}, headers={"Authorization": value}).status == 401
    assert bare.get("/health/ready").status == 503


def test_previous_key_passes_while_keys_change(person, members, start):
    old = canary(secrets.token_hex(20))
    service = start(SYNC_API_KEY_PREVIOUS=old)
    for key in (old, members.secret["sync-api-key"]):
        assert service.post("/", {"kennitala": person.kt, "action": "delete"}, token=key).status == 200


def test_signature_replayed_altered_old_or_foreign_is_401(person, members, signed_service, start):
    body = json.dumps({"kennitala": person.kt, "action": "update", "data": person.data()}).encode()
    good = s2s_headers(SIGNING_KEY, "POST", "/sync_from_django", body, key_id=KEY_ID)

    def post(service, data, headers):
        return service.post("/sync_from_django", data, headers={**headers, "Content-Type": "application/json"})
    assert post(signed_service, body.replace(b"update", b"delete"), good).status == 401
    assert post(signed_service, body, good).status == 200
    assert post(signed_service, body, good).status == 401  # replayed
    second = start(SYNC_AUTH="signature", SYNC_SIGNING_KEYS=f"{KEY_ID}:{SIGNING_KEY}")
    assert post(second, body, good).status == 401  # also by another instance
    for wrong in (s2s_headers(SIGNING_KEY, "POST", "/sync_from_django", body, key_id=KEY_ID, timestamp=int(time.time()) - 400),
                  s2s_headers(SIGNING_KEY, "POST", "/", body, key_id=KEY_ID),
                  s2s_headers("x" * 64, "POST", "/sync_from_django", body, key_id=KEY_ID),
                  s2s_headers(SIGNING_KEY, "POST", "/sync_from_django", body, key_id="nobody"),
                  {"Authorization": f"Bearer {members.secret['sync-api-key']}"}, {}):
        reply = post(signed_service, body, wrong)
        assert reply.status == 401 and reply.json == {"error": "Unauthorized"}


# --- bad input ---


def test_bad_input_is_400_in_the_contracts_words(person, members, service):
    key = members.secret["sync-api-key"]

    def post(body, **more):
        return service.post("/", body, token=key, **more)
    for body in (b"", b"{", b"[]", b"{}", b"null", b'{"kennitala":1,"kennitala":2}', b'"x"', b'{"a":"\xff"}'):
        reply = post(body, headers={"Content-Type": "application/json"})
        assert reply.status == 400 and reply.json == {"error": "Invalid JSON body"}, body
    assert post(b'{"kennitala":"1"}', headers={"Content-Type": "text/plain"}).json == {"error": "Invalid JSON body"}
    for missing in ({"action": "update"}, {"kennitala": ""}, {"kennitala": "  "}, {"kennitala": 101302989}):
        assert post(missing).json == {"error": "Missing kennitala"}
    for bad in ("../users/x", "0101302989/x", "9901302989x", "010130298", "0199302989", "x" * 5000):
        assert post({"kennitala": bad, "action": "delete"}).json == {"error": "Invalid kennitala"}, bad[:20]
    for data in (None, {}):
        assert person.send("update", data).json == {"error": "Missing data for create/update"}
    assert person.send("purge", person.data()).json == {"error": "Invalid action: purge"}
    assert person.send(7, person.data()).json["error"].startswith("Invalid action")
    assert person.document is None


@pytest.mark.parametrize("field, value", [
    ("ssn", "1212121212"), ("ssn", 7), ("id", "7"), ("id", -1), ("id", 1.5), ("name", ["x"]), ("name", "x" * 501),
    ("contact_info", []), ("local_address", "Njálsgata 3"), ("foreign_addresses", {}), ("foreign_addresses", [3]),
    ("unions", "VR"), ("reachable", "yes"), ("birthday", 1990)])
def test_wrong_type_is_400_and_writes_nothing(person, field, value):
    reply = person.send("update", person.data(**{field: value}))
    assert reply.status == 400 and reply.json == {"error": f"Invalid data: {field}"}
    assert person.document is None


@pytest.mark.parametrize("more", [{"version": "1"}, {"version": -1}, {"version": 1.5}, {"event_id": "a b"}, {"event_id": 7},
                                  {"event_id": ""}, {"event_id": "x" * 129}])
def test_bad_order_fields_are_400(person, more):
    assert person.send("update", person.data(), **more).status == 400
    assert person.document is None


def test_methods_and_browsers(service):
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        reply = service.call(method, "/", headers={"Origin": "https://example.is"})
        assert reply.status == 405 and reply.json == {"error": "Method not allowed"}
    reply = service.call("OPTIONS", "/sync_from_django", headers={"Origin": "https://ekklesia-prod-10-2025.web.app"})
    assert reply.status == 204 and reply.body == b"" and reply.headers["Access-Control-Allow-Origin"] is None


def test_kennitala_with_hyphen_and_blanks_is_the_same_member(person):
    person.ok("create", person.data(ssn=f"{person.kt[:6]}-{person.kt[6:]}"), kt=f" {person.kt[:6]}-{person.kt[6:]} ")
    assert person.document["profile"]["kennitala"] == person.kt


# --- faults ---


@pytest.mark.parametrize("mode", ["refuse", "hang", "swallow"])
def test_firestore_away_is_500_without_detail(person, members, start, mode):
    host, port = members.firestore_host.split(":")
    with TcpProxy(int(port), host) as proxy:
        service = start(FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{proxy.port}", REQUEST_BUDGET_MS=2500)
        proxy.mode = mode
        proxy.cut()
        other = Person(members, service)
        mark = service.log_mark()
        reply = other.send("update", other.data())
        assert reply.status == 500 and reply.json == {"error": "Internal server error"}
        assert other.name not in json.dumps(service.logs(mark))
        proxy.mode = "pass"
        proxy.cut()
        wait_until(lambda: other.send("update", other.data(), version=2).status == 200, 15, 0.3)
        assert other.document["profile"]["name"] == other.name


def test_claims_not_reached_is_500_and_a_repeat_reaches_them(person, members, start):
    uid = f"uid-{secrets.token_hex(6)}"
    members.create_account(uid, {"isMember": True})
    members.set(f"users/{uid}", kennitala=f"{person.kt[:6]}-{person.kt[6:]}", isMember=True)
    person.ok("create", person.data())
    host, port = members.auth_host.split(":")
    with TcpProxy(int(port), host) as proxy:
        proxy.mode = "refuse"
        service = start(FIREBASE_AUTH_EMULATOR_HOST=f"127.0.0.1:{proxy.port}", REQUEST_BUDGET_MS=2500)
        other = Person(members, service)
        other.kt = person.kt
        assert other.send("delete", event_id="gone").status == 500
    assert members.claims(uid)["isMember"] is True
    assert person.ok("delete", event_id="gone")["outcome"] == "repeated"
    assert members.claims(uid)["isMember"] is False


# --- with the real register ---


@pytest.mark.skipif(django_register.why_not() is not None, reason=str(django_register.why_not()))
def test_real_django_signals_arrive(members, service, signed_service):
    for target, signing in ((service, ""), (signed_service, SIGNING_KEY)):
        with Django(f"{target.url}/sync_from_django", members.secret["sync-api-key"], KEY_ID, signing) as register:
            number = kennitala()
            member_id = register.create(ssn=number, name="Anna", contact_info={"email": "a@example.is"},
                                        local_address={"street": "Laugavegur", "number": 12, "postal_code": 101},
                                        foreign_addresses=[{"country": 53, "address": "Gade 1"}], unions=["VR"])
            assert register.deliveries() == [200]
            assert members.get(f"members/{number}")["profile"]["addresses"][0]["street"] == "Laugavegur"
            register.change(member_id, name="Anna Jónsdóttir", contact_info={"phone": "555 1234"})
            profile = members.get(f"members/{number}")["profile"]
            assert profile["name"] == "Anna Jónsdóttir" and profile["phone"] == "5551234"
            register.delete(member_id)
            assert members.get(f"members/{number}")["membership"]["status"] == "inactive"
            register.create(ssn=number, name="Anna aftur")  # she joins again
            assert members.get(f"members/{number}")["membership"]["status"] == "active"
            assert register.deliveries() == [200] * 4
