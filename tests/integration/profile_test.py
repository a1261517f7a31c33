"""updatememberprofile: what a member changes stands in the register and in Firestore. Contract members.md §3.4.

The register is a real Django, whose signals call a real sync-from-django meanwhile (M-F20).
"""

import concurrent.futures
import json
import secrets
import time

import pytest

import django_register
from django_register import Django
from evidence import canary
from flaky import Flaky
from members import MembersStack, why_no_google
from suite import TcpProxy, kennitala, wait_until

pytestmark = pytest.mark.skipif(django_register.why_not() is not None, reason=str(django_register.why_not()))
NAME = "updatememberprofile"
PRIVATE = "psycopg2"  # in every error text of the misbehaving register


@pytest.fixture(scope="module", params=["stand-in", "emulators"])
def members(request):
    google = request.param == "emulators"
    if google and why_no_google():
        pytest.skip(why_no_google())
    with MembersStack(google) as stack:
        yield stack


@pytest.fixture(scope="module")
def register(members):
    webhook = members.start("sync-from-django")
    members.own.remove(webhook)
    with TcpProxy(webhook.port) as road, Django(f"{road.url}/", members.secret["sync-api-key"]) as running:
        running.road = road  # its webhooks'
        yield running
    assert webhook.stop() == 0


@pytest.fixture
def start(members, register):
    yield lambda **more: members.start(NAME, **{**register.settings(), "UPDATE_LIMIT_PER_10_MINUTES": 1000, **more})
    assert not members.stop_own()


@pytest.fixture(scope="module")
def service(members, register):
    running = members.start(NAME, **register.settings(), UPDATE_LIMIT_PER_10_MINUTES=1000, REQUEST_BUDGET_MS=9000,
                            DJANGO_TIMEOUT_MS=1500, DJANGO_COUNTRIES="109:IS,53:DK")
    members.own.remove(running)
    yield running
    assert running.stop() == 0


class Person:
    """A member in the register and, through its webhook, in Firestore, with an account and an ID token."""

    def __init__(self, members, register, roles=("member",), record=None):
        self.members, self.register = members, register
        self.kt = kennitala()
        self.id = register.create(ssn=self.kt, name="Anna", contact_info={"email": "a@example.is", "phone": "5551234"},
                                  local_address={"street": "Njálsgata", "number": 3, "postal_code": 101,
                                                 "city": "Reykjavík"})
        self.path = f"members/{self.kt}"
        self.uid = canary(f"uid-{secrets.token_hex(8)}")
        members.create_account(self.uid)
        members.set(f"users/{self.uid}", roles=list(roles if record is None else record), kennitala=self.kt)
        self.token = members.id_token(self.uid, kennitala=self.kt, roles=list(roles))
        register.forget()

    def update(self, service, updates, kt=None, headers=None, **more):
        return service.post("/", {"data": {"kennitala": kt or self.kt, "updates": updates, **more}}, token=self.token,
                            headers=headers)

    def ok(self, service, updates, **more):
        reply = self.update(service, updates, **more)
        assert reply.status == 200, reply
        return reply.json["result"]

    @property
    def profile(self):
        return self.members.get(self.path)["profile"]

    def history(self):
        return list(self.members.find_below(self.path, "syncHistory"))

    def patches(self):
        return self.register.calls("PATCH")


@pytest.fixture
def person(members, register):
    return Person(members, register)


ADDRESS = {"country": "IS", "street": "Laugavegur", "number": "12", "letter": "", "postal_code": "101",
           "city": "Reykjavík", "is_default": True, "latitude": 64.14, "longitude": -21.9}


def test_fields_reach_django_and_firestore_and_only_they_come_back(person, service):
    name = canary(f"Nafn{secrets.token_hex(5)}")
    result = person.ok(service, {"name": name, "email": "b@example.is", "phone": "+354 777-1234", "reachable": False,
                                 "gender": 1, "birthday": "1991-02-28"})
    assert result["success"] is True and result["django_id"] == person.id and "partial" not in result
    assert sorted(result["updated_fields"]) == ["birthday", "email", "gender", "name", "phone", "reachable"]
    assert result["member"] == {"name": name, "birthday": "1991-02-28", "gender": 1, "reachable": False,
                                "contact_info": {"email": "b@example.is", "phone": "7771234"}}
    known = person.register.member(person.id)
    assert known["name"] == name and known["contact_info"]["phone"] == "7771234" and known["reachable"] is False
    assert person.profile["name"] == name and person.profile["phone"] == "7771234" and person.profile["gender"] == 1
    assert name not in service.log_text()
    entry, = [one for one in person.history() if one["type"] == "profile_sync"]
    assert entry["success"] is True and sorted(entry["changes"]["contact_info"]) == ["email", "phone"]
    assert "b@example.is" not in json.dumps(entry)


def test_address_is_sent_linked_and_kept_with_coordinates(person, service):
    other = {"country": "IS", "street": "Sumarhús", "number": "1", "is_default": False}
    result = person.ok(service, {"addresses": [other, ADDRESS]})
    assert result["address_sync"] == {"success": True, "linked": True, "message": result["address_sync"]["message"]}
    assert "partial" not in result and person.patches() == []  # M-F30
    sent, = person.register.calls("POST")
    assert sent["body"]["address"] == {"street": "Laugavegur", "number": "12", "letter": "", "postal_code": "101",
                                       "city": "Reykjavík", "country": "IS"}
    addresses = person.profile["addresses"]
    assert [one["street"] for one in addresses] == ["Sumarhús", "Laugavegur"]
    assert addresses[1]["latitude"] == 64.14 and addresses[1]["is_default"] is True
    assert person.register.member(person.id)["local_address"]["street"] == "Laugavegur"
    entry, = [one for one in person.history() if one["type"] == "address_sync"]
    assert entry["success"] is True and entry["django_response"]["address_linked"] is True


def test_known_registry_number_travels_along(person, service):
    result = person.ok(service, {"addresses": [{**ADDRESS, "street": "njalsgata", "hnitnum": 1000102}]})
    assert result["address_sync"]["linked"] is True
    assert person.register.calls("POST")[0]["body"]["hnitnum"] == 1000102
    assert person.register.member(person.id)["local_address"]["letter"] == "a"


def test_address_not_in_the_registry_is_said(person, service):
    result = person.ok(service, {"addresses": [{**ADDRESS, "number": 999}]})
    assert result["address_sync"]["success"] is True and result["address_sync"]["linked"] is False


def test_what_django_has_no_place_for_is_said(person, service):
    result = person.ok(service, {"name": "B", "display_name": "b", "addresses": [{"country": "SE", "street": "Gata 1"}]})
    assert sorted(result["not_synced"]) == ["display_name", "foreign_addresses"] and result["partial"] is True
    assert result["foreign_address_sync"]["failed"] == 1 and person.register.calls("POST") == []
    assert person.ok(service, {"foreign_phone": "+45 12345678"})["not_synced"] == []
    assert person.register.member(person.id)["contact_info"]["foreign_phone"] == "+45 12345678"


ABROAD = {"country": "DK", "street": "Gade", "number": "1", "letter": "b", "postal_code": "5000", "city": "Odense",
          "is_default": True}


def test_addresses_abroad_reach_django_once_and_stay_as_they_are(person, service):
    other = {"country": None, "country_id": 77, "street": "Rue 2", "postal_code": "75001", "city": "Paris"}
    result = person.ok(service, {"addresses": [ABROAD, other]})
    assert result["foreign_address_sync"] == {"success": True, "sent": 2, "unchanged": 0, "failed": 0,
                                              "message": result["foreign_address_sync"]["message"]}
    assert "partial" not in result and result["not_synced"] == []
    known = person.register.member(person.id)["foreign_addresses"]
    assert [(one["country"], one["address"], one["postal_code"], one["municipality"], one["current"]) for one in known] == [
        (53, "Gade 1b", "5000", "Odense", True), (77, "Rue 2", "75001", "Paris", False)]
    stored = person.profile["addresses"]
    assert [one["street"] for one in stored] == ["Gade", "Rue 2"]  # her list, without the local one
    assert stored[0]["number"] == "1" and stored[1]["country"] is None and stored[1]["country_id"] in (77, "77")
    again = person.ok(service, {"addresses": [ABROAD, other]})
    assert (again["foreign_address_sync"]["sent"], again["foreign_address_sync"]["unchanged"]) == (0, 2)
    moved = person.ok(service, {"addresses": [{**ABROAD, "city": "Odense C"}, other]})
    assert moved["foreign_address_sync"]["sent"] == 1
    known = person.register.member(person.id)["foreign_addresses"]
    assert [one["municipality"] for one in known] == ["Odense C", "Paris"]
    assert {one["type"] for one in person.history()} == {"foreign_address_sync"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_failed_address_abroad_is_partial(person, service, method):
    mark = service.log_mark()
    person.register.fault(method, "/api/members/", "status", code=400)
    result = person.ok(service, {"name": "Nýtt", "addresses": [ABROAD]})
    assert result["partial"] is True and result["not_synced"] == ["foreign_addresses"]
    assert result["foreign_address_sync"]["success"] is False
    assert PRIVATE not in json.dumps(result) + json.dumps(service.logs(mark))


def test_extra_phones_reach_django_where_it_has_a_place(person, service):
    phones = [{"country": "IS", "number": "555-9999"}, {"country": "IS", "number": "+354 777 1234", "is_default": True},
              {"country": "DK", "number": "+45 12345678"}]
    result = person.ok(service, {"phone_numbers": phones})
    assert result["not_synced"] == ["phone_numbers"] and result["partial"] is True  # there are two Icelandic ones
    contact = person.register.member(person.id)["contact_info"]
    assert contact["phone"] == "7771234" and contact["foreign_phone"] == "+45 12345678"
    result = person.ok(service, {"phone": "5559999", "phone_numbers": [{"number": "555-9999"}]})
    assert result["not_synced"] == [] and person.register.member(person.id)["contact_info"]["phone"] == "5559999"


def test_writes_carry_who_asked_and_in_which_request(members, register, person, service):
    person.ok(service, {"name": "Eigin", "addresses": [ADDRESS]}, headers={"X-Correlation-ID": "corr-profile"})
    document = members.get(person.path)
    stamp = {name: document["metadata"][name] for name in ("updated_by", "correlation_id")}
    assert stamp == {"updated_by": person.uid, "correlation_id": "corr-profile"}
    register.change(person.id, name="Skrifstofan")
    assert members.get(person.path)["metadata"]["updated_by"] == "system"


def test_nothing_to_patch_no_patch(person, service):
    assert person.ok(service, {})["updated_fields"] == []
    assert person.patches() == []


# --- who ---


def test_stolen_django_id_is_403_before_anything_is_sent(members, register, person, service):
    victim = Person(members, register)
    members.delete(f"{person.path}/server/membership")
    document = members.get(person.path)
    document["metadata"] = {"django_id": victim.id}
    members.set(person.path, profile=document["profile"], membership={"status": "active"}, metadata=document["metadata"])
    register.forget()
    reply = person.update(service, {"name": "Thief", "addresses": [ADDRESS]})
    assert reply.status == 403 and reply.json["error"]["status"] == "PERMISSION_DENIED"
    assert victim.kt not in reply.body.decode() and "Anna" not in reply.body.decode()
    assert person.patches() == [] and register.calls("POST") == []
    assert register.member(victim.id)["name"] == "Anna"


def test_record_beats_a_changed_id_of_the_document(members, register, person, service):
    victim = Person(members, register)
    members.merge(person.path, metadata={"django_id": victim.id})
    person.ok(service, {"name": "Mine"})
    assert register.member(victim.id)["name"] == "Anna" and register.member(person.id)["name"] == "Mine"


def test_others_profile_only_for_live_operators_and_audited(members, register, person, service):
    admin = Person(members, register, roles=("member", "admin"))
    assert admin.ok(service, {"name": "Leiðrétt"}, kt=person.kt)["success"] is True
    entry, = members.find("profile_admin_audit", "adminId", admin.uid).values()
    assert entry["memberId"] == f"{person.kt[:6]}-****" and entry["fields"] == ["name"]
    demoted = Person(members, register, roles=("admin",), record=("member",))
    for stranger in (Person(members, register), demoted):
        reply = stranger.update(service, {"name": "x"}, kt=person.kt)
        assert reply.status == 403 and reply.json["error"]["status"] == "PERMISSION_DENIED"
    assert person.update(service, {"name": "own"}).status == 200
    assert members.find("profile_admin_audit", "adminId", person.uid) == {}


def test_no_token_and_closed_account_are_401(members, person, service):
    body = {"data": {"kennitala": person.kt, "updates": {"name": "x"}}}
    assert service.post("/", body).status == 401
    members.update_account(person.uid, disableUser=True)
    assert person.update(service, {"name": "x"}).status == 401
    assert person.register.calls() == []


def test_unknown_member_is_404(members, person, service):
    members.delete(person.path)
    reply = person.update(service, {"name": "x"})
    assert reply.status == 404 and reply.json["error"]["status"] == "NOT_FOUND"


def test_too_many_calls_are_429(person, start):
    service = start(UPDATE_LIMIT_PER_10_MINUTES=2)
    assert [person.update(service, {}).status for _ in range(3)] == [200, 200, 429]


# --- bad input ---


@pytest.mark.parametrize("updates", [
    None, [], "x", {"name": 1}, {"name": " "}, {"name": "x" * 101}, {"email": "a"}, {"email": "a@b"}, {"email": "a b@c.is"},
    {"email": "a@b.is" * 60}, {"phone": "x"}, {"phone": "1" * 21}, {"reachable": "yes"}, {"groupable": 1}, {"gender": "1"},
    {"gender": 1.5}, {"gender": -1}, {"birthday": "1991-02-29"}, {"birthday": "28.2.1991"}, {"addresses": {}},
    {"addresses": [ADDRESS] * 6}, {"addresses": [7]}, {"addresses": [{**ADDRESS, "owner": "x"}]},
    {"addresses": [ADDRESS, ADDRESS]}, {"addresses": [{**ADDRESS, "street": "x" * 201}]},
    {"addresses": [{**ADDRESS, "letter": "x" * 11}]}, {"addresses": [{**ADDRESS, "country": "Iceland"}]},
    {"addresses": [{**ADDRESS, "hnitnum": "1"}]}, {"addresses": [{**ADDRESS, "latitude": 91}]},
    {"addresses": [{**ADDRESS, "is_default": "yes"}]}, {"addresses": [{**ADDRESS, "country_id": "7"}]},
    {"phone_numbers": "5551234"}, {"phone_numbers": [{"number": ""}]}, {"phone_numbers": [{"number": "x"}]},
    {"phone_numbers": [{"number": "1", "owner": "x"}]}, {"phone_numbers": [{"number": "1"}] * 6},
    {"phone_numbers": [{"number": "1", "country": "dk"}]}])
def test_bad_field_is_400_without_any_call(person, service, updates):
    reply = person.update(service, updates)
    assert reply.status == 400 and reply.json["error"]["status"] == "INVALID_ARGUMENT"
    assert person.register.calls() == []


def test_bad_kennitala_and_data_are_400(person, service):
    for data in (None, [], "x", {}, {"kennitala": 1, "updates": {}}, {"kennitala": "../users", "updates": {}}):
        assert service.post("/", {"data": data}, token=person.token).status == 400


# --- once ---


def test_same_key_one_patch_and_the_same_answer(person, service):
    headers = {"X-Idempotency-Key": secrets.token_hex(8)}
    first = person.update(service, {"name": "Einu sinni"}, headers=headers)
    second = person.update(service, {"name": "Einu sinni"}, headers=headers)
    assert first.status == second.status == 200 and first.json == second.json
    assert len(person.patches()) == 1
    assert person.update(service, {"name": "Annað"}, headers=headers).status in (400, 422)
    assert len(person.patches()) == 1
    key = secrets.token_hex(8)
    assert person.ok(service, {"name": "Þrír"}, idempotency_key=key) == person.ok(service, {"name": "Þrír"}, idempotency_key=key)
    assert len(person.patches()) == 2


def test_same_key_at_once_one_patch(person, service):
    headers = {"X-Idempotency-Key": secrets.token_hex(8)}
    person.register.fault("PATCH", "/api/full/", "hang", seconds=0.5, late=True)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: person.update(service, {"name": "Saman"}, headers=headers), range(4)))
    assert sorted({reply.status for reply in replies}) in ([200], [200, 409]), replies
    assert len(person.patches()) == 1


def test_failed_update_frees_its_key(person, service):
    headers = {"X-Idempotency-Key": secrets.token_hex(8)}
    person.register.fault("PATCH", "/api/full/", "status", code=500)
    assert person.update(service, {"name": "Aftur"}, headers=headers).status == 503
    assert person.update(service, {"name": "Aftur"}, headers=headers).status == 200


@pytest.mark.parametrize("which", ["claim", "reply"])
def test_answer_about_the_key_lost_once_is_not_noticed(members, person, start, which):
    """Else it stays taken for two minutes, and whoever repeats is told to wait for a call that has ended."""
    flaky = Flaky(members.firestore_host)
    try:
        service = start(FIRESTORE_EMULATOR_HOST=flaky.host)
        headers = {"X-Idempotency-Key": secrets.token_hex(8)}
        flaky.fail(":commit", "after" if which == "claim" else "before", times=1,
                   body=b"profile_updates" if which == "claim" else b'"reply"')
        first = person.update(service, {"name": "Samt"}, headers=headers)
        assert first.status == 200 and flaky.rules[0][2] == 0, first
        again = person.update(service, {"name": "Samt"}, headers=headers)
        assert again.status == 200 and again.json == first.json and len(person.patches()) == 1
    finally:
        flaky.close()


# --- faults of the register ---


@pytest.mark.parametrize("kind, more, status", [
    ("status", {"code": 400}, 400), ("status", {"code": 404}, 404), ("status", {"code": 500}, 503),
    ("status", {"code": 403}, 500), ("half", {}, 502), ("html", {}, 502), ("huge", {}, 502), ("hang", {"seconds": 3}, 504)])
def test_failed_patch_keeps_its_status_and_tells_nothing(person, service, kind, more, status):
    before, mark = person.profile, service.log_mark()
    person.register.fault("PATCH", "/api/full/", kind, **more)
    reply = person.update(service, {"name": "Nýtt"})
    assert reply.status in (status, 503 if status in (502, 504) else status), reply
    assert PRIVATE not in reply.body.decode() + json.dumps(service.logs(mark))
    assert person.profile["name"] == before["name"]
    entry, = person.history()
    assert entry["success"] is False and entry["fields_attempted"] == ["name"] and PRIVATE not in json.dumps(entry)


@pytest.mark.parametrize("kind, more", [("refuse_success", {}), ("status", {"code": 500}), ("status", {"code": 404}), ("half", {}),
                                        ("wrong_types", {}), ("hang", {"seconds": 3})])
def test_failed_address_is_partial_beside_a_good_patch(person, service, kind, more):
    mark = service.log_mark()
    person.register.fault("POST", "/api/sync/address/", kind, **more)
    result = person.ok(service, {"name": "Nýtt", "addresses": [ADDRESS]})
    assert result["partial"] is True and result["address_sync"]["success"] is False
    assert PRIVATE not in json.dumps(result) + json.dumps(service.logs(mark))
    assert person.register.member(person.id)["name"] == "Nýtt"
    outcomes = {one["type"]: one["success"] for one in person.history()}
    assert outcomes == {"profile_sync": True, "address_sync": False}


def test_both_calls_are_in_progress_at_once(person, start):
    service = start()  # whose calls may wait longer
    for method, path in (("PATCH", "/api/full/"), ("POST", "/api/sync/address/")):
        person.register.fault(method, path, "meet", calls=2)
    result = person.ok(service, {"name": "Hlið", "addresses": [ADDRESS]})
    assert result["address_sync"]["success"] is True and "partial" not in result
    assert person.register.most_at_once() == 2
    kinds = [one["method"] for one in person.register.calls() if one["method"] in ("PATCH", "POST")]
    assert sorted(kinds) == ["PATCH", "POST"]


@pytest.mark.parametrize("mode", ["refuse", "hang", "swallow"])
def test_register_unreachable_is_an_error_in_time(person, register, start, mode):
    with TcpProxy(register.port) as proxy:
        service = start(DJANGO_API_BASE_URL=f"{proxy.url}/felagar", REQUEST_BUDGET_MS=7000, DJANGO_TIMEOUT_MS=800)
        proxy.mode = mode
        proxy.cut()
        reply = person.update(service, {"name": "x"})
        assert reply.status in (502, 503, 504) and reply.json["error"]["status"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert register.member(person.id)["name"] == "Anna"


# --- Firestore after Django ---


class Outage:
    """Firestore is away: for a service on the road `env` names, and for the register's webhook."""

    def __init__(self, members, register):
        host, port = members.firestore_host.split(":")
        self.members, self.proxy = members, TcpProxy(int(port), host)
        self.roads = (self.proxy, register.road)
        self.env = {"FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{self.proxy.port}", "REQUEST_BUDGET_MS": 9000}

    def begin(self):
        for road in self.roads:
            road.mode = "refuse"
            road.cut()

    def end(self):
        for road in self.roads:
            road.mode = "pass"

    def pending(self):
        return self.members.find("profile_pending")


@pytest.fixture
def outage(members, register):
    made = Outage(members, register)
    yield made
    made.end()
    assert made.pending() == {}
    made.proxy.close()


def update_while_it_ends(person, service, outage, updates, method="PATCH", with_webhook=False, **more):
    """The reply of an update during whose call to the register (slow, but carried out) Firestore goes away."""
    if not with_webhook:  # Django sends it before it answers
        person.register.road.mode = "refuse"
    person.register.fault(method, "/api/full/", "hang", seconds=1, late=True)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(person.update, service, updates, **more)
        wait_until(lambda: person.register.calls(method))
        outage.begin()
        return future.result()


def test_firestore_failing_after_django_is_repaired(person, start, outage):
    service = start(REPAIR_INTERVAL_MS=200, **outage.env)
    reply = update_while_it_ends(person, service, outage, {"name": "Lagað", "addresses": [ADDRESS]})
    assert reply.status == 200, reply
    assert reply.json["result"]["firestore_sync"] == "queued" and reply.json["result"]["partial"] is True
    assert person.profile["name"] == "Anna" and len(outage.pending()) == 1
    outage.end()
    wait_until(lambda: person.profile["name"] == "Lagað", 20, 0.2)
    assert "latitude" in person.profile["addresses"][0]
    service.wait_log(lambda line: line["message"] == "profile repaired")
    assert service.metric("profile_updates_queued_total") == 1


def test_djangos_own_webhook_repairs_what_django_knows(members, person, start, outage):
    service = start(REPAIR_INTERVAL_MS=600000, **outage.env)
    outage.roads = (outage.proxy,)  # Firestore is away for this service alone
    reply = update_while_it_ends(person, service, outage, {"name": "Vefkrókur"}, with_webhook=True)
    assert reply.json["result"]["firestore_sync"] == "queued" and person.register.deliveries()[-1] == 200
    assert person.profile["name"] == "Vefkrókur" and len(outage.pending()) == 1  # what is left is to say who did it
    outage.end()
    assert service.stop() == 0
    members.own.remove(service)
    assert members.get(person.path)["metadata"]["updated_by"] == person.uid


def test_what_is_queued_is_written_when_the_service_stops(members, person, start, outage):
    service = start(REPAIR_INTERVAL_MS=600000, **outage.env)
    reply = update_while_it_ends(person, service, outage, {"name": "Seint", "addresses": [ADDRESS]})
    assert reply.json["result"]["firestore_sync"] == "queued"
    outage.end()
    assert person.profile["name"] == "Anna"
    assert service.stop() == 0
    members.own.remove(service)
    assert "latitude" in person.profile["addresses"][0] and person.profile["name"] == "Seint"
    assert any(line["message"] == "profile repaired" for line in service.logs())


def test_killed_while_firestore_is_away_another_instance_repairs(members, person, start, outage):
    service = start(**outage.env)
    reply = update_while_it_ends(person, service, outage, {"name": "Ekki gleymt", "addresses": [ADDRESS]})
    assert reply.json["result"]["firestore_sync"] == "queued"
    service.kill()
    members.own.remove(service)
    other = start(ABANDONED_AFTER_MS=100, REPAIR_INTERVAL_MS=100, **outage.env)  # Firestore is still away
    other.wait_log(lambda line: line["message"] == "pending updates not read")
    assert person.profile["name"] == "Anna"
    outage.end()
    wait_until(lambda: person.profile["name"] == "Ekki gleymt", 20, 0.2)
    assert "latitude" in person.profile["addresses"][0]
    assert members.get(person.path)["metadata"]["updated_by"] == person.uid


def test_killed_while_django_works_another_instance_repairs_and_the_key_serves_again(members, register, person, start, outage):
    headers = {"X-Idempotency-Key": secrets.token_hex(8)}
    register.road.mode = "refuse"
    service = start()
    register.fault("PATCH", "/api/full/", "hang", seconds=2, late=True)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        lost = pool.submit(person.update, service, {"name": "Hálfnað", "addresses": [ADDRESS]}, headers=headers)
        wait_until(lambda: register.calls("PATCH") and register.member(person.id)["name"] == "Hálfnað")
        service.kill()
        members.own.remove(service)
        with pytest.raises(OSError):
            lost.result()
    assert person.profile["name"] == "Anna" and "latitude" in person.profile["addresses"][0]
    time.sleep(0.2)  # until it is abandoned: the other looks once at its start, and then not for a minute
    other = start(ABANDONED_AFTER_MS=100)
    wait_until(lambda: person.profile["name"] == "Hálfnað", 20, 0.2)
    again = person.update(other, {"name": "Hálfnað", "addresses": [ADDRESS]}, headers=headers)
    assert again.status == 200 and "partial" not in again.json["result"], again


def test_firestore_away_before_django_is_asked_changes_nothing(person, register, start, outage):
    service = start(**outage.env)
    reply = update_while_it_ends(person, service, outage, {"name": "Nýtt", "addresses": [ADDRESS]}, method="GET")
    assert reply.status in (503, 504) and reply.headers["Retry-After"], reply
    assert person.patches() == [] and register.calls("POST") == []
    outage.end()
    assert person.ok(service, {"name": "Nýtt", "addresses": [ADDRESS]})["member"] == {"name": "Nýtt"}


def test_refused_update_leaves_addresses_as_they_were(person, register, service, outage):
    before = person.profile["addresses"]
    register.fault("POST", "/api/sync/address/", "status", code=500)
    register.fault("PATCH", "/api/full/", "status", code=400)
    assert person.update(service, {"name": "Nei", "addresses": [ADDRESS]}).status == 400
    assert person.profile["addresses"] == before and outage.pending() == {}


def test_update_whose_answer_was_lost_is_looked_after(person, register, start, outage):
    register.road.mode = "refuse"
    service = start(DJANGO_TIMEOUT_MS=500, REPAIR_INTERVAL_MS=200)
    register.fault("PATCH", "/api/full/", "hang", seconds=2, late=True)
    assert person.update(service, {"name": "Svarlaust"}).status == 504
    wait_until(lambda: person.profile["name"] == "Svarlaust", 20, 0.2)


def test_pending_update_of_somebody_the_register_no_longer_has_is_dropped(members, person, register, start, outage):
    register.delete(person.id)
    members.set("profile_pending/old", kennitala=person.kt, django_id=person.id, actor=person.uid, correlation_id="c",
                startedAt={"timestampValue": "2026-01-01T00:00:00Z"})
    start()
    wait_until(lambda: outage.pending() == {}, 20, 0.2)
    assert members.get(person.path)["membership"]["status"] == "inactive"


def test_many_updates_and_webhooks_end_with_djangos_newest(members, register, person, service):
    def one(number):
        if number % 2:
            return person.update(service, {"name": f"Nafn {number}"}).status
        register.change(person.id, name=f"Skrifstofa {number}")
        return 200
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(one, range(12)))
    assert set(statuses) == {200}, statuses
    wait_until(lambda: person.profile["name"] == register.member(person.id)["name"])
