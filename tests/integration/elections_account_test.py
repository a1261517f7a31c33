"""What is true of an account now counts, not what its token says (V-G6, M-F02, V-O1 with live records)."""

import secrets
import time

import pytest

import firestore_emulator
import services
from elections_support import ADMIN, Caller, sign_in
from suite import call, person, wait_until

CACHE_S = 1
ABSENT = object()


class Records:
    """Firestore and Identity Toolkit of the stack's local cloud, as an administrator sees them."""

    def __init__(self, stack, host=None):
        self.stack = stack
        self.host = host or stack.stack.url("local-cloud").removeprefix("http://")

    def settings(self, **more):
        return {"ACCOUNT_CHECK": "on", "ACCOUNT_CACHE_S": CACHE_S, "FIRESTORE_EMULATOR_HOST": self.host, "SWEEP_INTERVAL_S": 0,
                "FIREBASE_AUTH_EMULATOR_HOST": self.host, **more}

    def write(self, path, **fields):
        reply = call(f"http://{self.host}/v1/projects/{services.PROJECT_ID}/databases/(default)/documents/{path}", "PATCH",
                     {"fields": firestore_emulator.typed(fields)}, token="owner")
        assert reply.status == 200, reply

    def delete(self, path):
        url = f"http://{self.host}/v1/projects/{services.PROJECT_ID}/databases/(default)/documents/{path}"
        assert call(url, "DELETE", token="owner").status == 200

    def account(self, uid, verb="", **more):
        reply = call(f"http://{self.host}/identitytoolkit.googleapis.com/v1/projects/{services.PROJECT_ID}/accounts{verb}", "POST",
                     {"localId": uid, **more}, token="owner")
        assert reply.status == 200, reply

    def member(self, claims, status="active"):
        self.write(f"members/{claims['kennitala']}", membership={"status": status})

    def user(self, claims, roles=ABSENT):
        self.write(f"users/{claims['uid']}", fullName="x", **({} if roles is ABSENT else {"roles": roles}))

    def person(self, status="active", roles=ABSENT, **more):
        """Somebody with an account and records."""
        claims = person(**more)
        self.account(claims["uid"])
        if status:
            self.member(claims, status)
        self.user(claims, roles)
        return claims


@pytest.fixture
def records(stack):
    return Records(stack)


@pytest.fixture
def checking(stack, records):
    return stack.start("elections", **records.settings())


@pytest.fixture
def boss(stack, records, checking):
    return sign_in(stack, checking, claims=records.person(roles=["superuser"], member=None))


def soon(what):
    """A change must take effect within the set delay; the machine may be slow, the delay is one second."""
    return wait_until(what, timeout_s=15, every_s=0.3)


def enter(stack, service, claims):
    # The role of the fixture's person is in the token as in the record, unless the test says otherwise.
    return Caller(service, claims, stack.cloud.token(**claims))


@pytest.fixture
def managing(stack, records, checking):
    claims = records.person(roles=["admin"], member=None)
    return enter(stack, checking, {**claims, "roles": ["member", "admin"]})


# --- membership ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document,record,proven", [
    ({"status": "active"}, "inactive", False), ({"status": "inactive"}, "active", True), ({"status": "active"}, None, True),
    (None, "active", True), ({"is_active": True}, None, True), ({"is_active": True}, "inactive", False),
    ({"status": "inactive", "is_active": True}, None, False), ({"is_active": "yes"}, None, False)])
def test_record_no_member_can_write_wins(stack, records, checking, managing, document, record, proven):
    """M-F02 where votes are cast: a status that the member once could write is no proof against the register's record."""
    claims = records.person(status=None, member=None)
    if document is not None:
        records.write(f"members/{claims['kennitala']}", membership=document)
    if record is not None:
        records.write(f"members/{claims['kennitala']}/server/membership", status=record)
    assert enter(stack, checking, claims).vote(managing.publish(), "Já").status == (201 if proven else 403)


@pytest.mark.parametrize("claim,status,proven", [
    # claim isMember, live record, proven member (requirements, words)
    (True, "active", True), (True, "inactive", False), (True, "", False), (True, None, False),
    (None, "active", True), (None, "inactive", False), (None, None, False),
    (False, "active", False), (False, "inactive", False), (False, None, False),
    ("true", "active", True), ("true", None, False)])
@pytest.mark.parametrize("roles", [["member"], [], ["member", "admin", "superuser"]])
def test_membership_claim_and_record_together(stack, records, checking, managing, claim, status, proven, roles):
    claims = person(member=claim, roles=roles)
    records.account(claims["uid"])
    records.user(claims, roles)
    if status is not None:
        records.member(claims, status)
    caller = enter(stack, checking, claims)
    election = managing.publish()
    assert caller.get(election).status == (200 if proven else 403)
    assert caller.vote(election, "Já").status == (201 if proven else 403)
    assert (election in {row["id"] for row in caller.list().json["elections"]}) == proven


def test_membership_lost_takes_effect_within_the_delay(stack, records, checking, managing):
    claims = records.person()
    caller, election = enter(stack, checking, claims), managing.publish()
    assert caller.get(election).status == 200
    records.member(claims, "inactive")
    soon(lambda: caller.get(election).status == 403)
    assert caller.vote(election, "Já").status == 403
    records.member(claims, "active")
    soon(lambda: caller.get(election).status == 200)
    records.delete(f"members/{claims['kennitala']}")
    soon(lambda: caller.get(election).status == 403)


def test_membership_of_a_new_login_without_the_claim_is_looked_up(stack, records, checking, managing):
    claims = records.person(member=None)
    caller, election = enter(stack, checking, claims), managing.publish()
    assert caller.vote(election, "Já").status == 201


# --- disabled and revoked --------------------------------------------------------------------------------------


def test_disabled_account_is_401_within_the_delay_on_every_route(stack, records, checking, managing):
    claims = records.person(roles=["admin"])
    caller = enter(stack, checking, {**claims, "roles": ["admin"]})
    election = managing.publish()
    assert caller.get(election).status == 200
    records.account(claims["uid"], ":update", disableUser=True)
    soon(lambda: caller.get(election).status == 401)
    for reply in (caller.list(), caller.vote(election, "Já"), caller.call("GET", ADMIN), caller.act(election, "pause")):
        assert reply.status == 401 and reply.json["code"] == "INVALID_AUTH_TOKEN"
    records.account(claims["uid"], ":update", disableUser=False)
    soon(lambda: caller.get(election).status == 200)


def test_deleted_account_is_401(stack, records, checking):
    caller = enter(stack, checking, person())
    assert caller.list().status == 401


def test_revoked_token_is_401_and_a_new_one_good(stack, records, checking):
    claims = records.person()
    now = int(time.time())
    old = enter(stack, checking, {**claims, "auth_time": now - 100})
    assert old.list().status == 200
    records.account(claims["uid"], ":update", validSince=str(now - 50))
    soon(lambda: old.list().status == 401)
    assert enter(stack, checking, {**claims, "auth_time": now - 50}).list().status == 200


# --- roles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token,record,manages,supers", [
    (["admin"], ["admin"], True, False), (["admin"], ["superuser"], True, False), (["superuser"], ["superuser"], True, True),
    (["superuser"], ["admin"], True, False), (["superuser"], [], False, False), (["admin"], ABSENT, False, False),
    (["admin"], "admin", False, False), (["superuser"], ["member"], False, False), (["member"], ["superuser"], False, False),
    (["superuser"], ["superadmin"], True, True), (["admin"], ["election-manager"], True, False)])
def test_operator_roles_need_token_and_record(stack, records, checking, managing, token, record, manages, supers):
    claims = records.person(roles=record, member=None)
    caller = enter(stack, checking, {**claims, "roles": token})
    election = managing.create()
    reply = caller.admin("GET", election)
    assert reply.status == (200 if manages else 403)
    if not manages and token != ["member"]:
        assert reply.json["code"] == "ROLE_VERIFICATION_FAILED"
    reply = caller.admin("DELETE", election)
    assert reply.status == (200 if supers else 403)
    eligible = manages and isinstance(record, list)
    admins = managing.publish(eligibility="admins")
    assert caller.vote(admins, "Já").status == (201 if eligible else 403)


def test_role_taken_away_bites_within_the_delay_and_leaves_a_row(stack, records, checking, managing):
    claims = records.person(roles=["admin"], member=None)
    caller = enter(stack, checking, {**claims, "roles": ["admin"]})
    election = caller.publish()
    records.user(claims, ["member"])
    soon(lambda: caller.admin("GET", election).status == 403)
    reply = caller.act(election, "close")
    assert reply.status == 403 and reply.json["code"] == "ROLE_VERIFICATION_FAILED"
    assert managing.admin("GET", election).json["election"]["status"] == "published"
    rows = stack.sql("select actor, success, details from elections.audit where election_id = %s and action = 'close_election'",
                     (election,))
    assert rows == [(claims["uid"], False, {"code": "unverified"})]


def test_events_lives_by_the_same_records(stack, records, managing):
    events = stack.start("events", **records.settings())
    claims = records.person(member=None)
    token = stack.cloud.token(**claims)
    election = managing.publish(answers=["yes", "no", "abstain"])
    assert events.get(f"/api/election?election_id={election}", token=token).status == 200
    records.member(claims, "inactive")
    soon(lambda: events.get(f"/api/election?election_id={election}", token=token).status == 403)
    records.account(claims["uid"], ":update", disableUser=True)
    soon(lambda: events.get(f"/api/election?election_id={election}", token=token).status == 401)


# --- the records are away --------------------------------------------------------------------------------------


@pytest.fixture
def link(stack, proxy, records):
    return proxy(int(records.host.rpartition(":")[2]))


def away(link):
    link.mode = "refuse"
    link.cut()


def start_behind(stack, link, **more):
    host = f"127.0.0.1:{link.port}"
    return stack.start("elections", **Records(stack, host).settings(ACCOUNT_TIMEOUT_MS=400, **more))


def test_records_away_a_true_claim_counts_an_absent_one_not(stack, records, link, managing):
    service = start_behind(stack, link)
    election = managing.publish()
    told, untold = (enter(stack, service, records.person(member=claim)) for claim in (True, None))
    away(link)
    assert told.vote(election, "Já").status == 201
    assert untold.vote(election, "Já").status == 403
    assert told.at(service).list().status == 200
    operator = enter(stack, service, {**records.person(roles=["admin"]), "roles": ["admin"]})
    assert operator.admin("GET", election).status == 200


def test_records_away_strict_is_503(stack, records, link, managing):
    service = start_behind(stack, link, ACCOUNT_STRICT="true")
    election = managing.publish()
    caller = enter(stack, service, records.person())
    away(link)
    for reply in (caller.vote(election, "Já"), caller.list(), caller.get(election)):
        assert reply.status == 503 and reply.headers["retry-after"]
    link.mode = "pass"
    soon(lambda: caller.vote(election, "Já").status in (201, 409))


def test_records_away_who_was_shut_out_stays_out(stack, records, link, managing):
    service = start_behind(stack, link)
    election = managing.publish()
    gone, ended, demoted = (records.person(roles=["admin"]) for _ in range(3))
    callers = [enter(stack, service, {**claims, "roles": ["admin"]}) for claims in (gone, ended, demoted)]
    records.account(gone["uid"], ":update", disableUser=True)
    records.member(ended, "inactive")
    records.user(demoted, [])
    before = [callers[0].get(election).status, callers[1].get(election).status, callers[2].admin("GET", election).status]
    away(link)
    time.sleep(CACHE_S + 0.2)
    after = [callers[0].get(election).status, callers[1].get(election).status, callers[2].admin("GET", election).status]
    assert before == after == [401, 403, 403]


def test_records_hanging_delay_one_look_up_and_then_nobody(stack, records, link, managing):
    service = start_behind(stack, link)
    election = managing.publish()
    callers = [enter(stack, service, records.person()) for _ in range(3)]
    link.mode = "hang"
    for caller in callers:
        assert caller.vote(election, "Já").status == 201
    begun = time.monotonic()
    for caller in callers:
        caller.get(election)
    assert time.monotonic() - begun < 5
    link.mode = "pass"
    link.cut()


# --- the cache -------------------------------------------------------------------------------------------------


def test_look_ups_are_one_per_account_not_per_request(stack, records, managing):
    service = stack.start("elections", **records.settings(ACCOUNT_CACHE_S=600))
    caller, election = enter(stack, service, records.person()), managing.publish()
    for _ in range(10):
        assert caller.get(election).status == 200
    caller.vote(election, "Já")
    assert service.metric("account_look_ups_total") == 1 and service.metric("account_cache_size") == 1
    assert service.metric("upstream_calls_total", upstream="google") <= 3


def test_look_up_is_repeated_before_it_is_old(stack, records, managing):
    service = stack.start("elections", **records.settings(ACCOUNT_CACHE_S=2))
    caller = enter(stack, service, records.person())
    assert caller.list().status == 200
    wait_until(lambda: service.metric("account_look_ups_total") >= 3, timeout_s=20, every_s=0.2)


def test_log_holds_no_person_whatever_the_records_say(stack, records, checking):
    claims = records.person(roles=["admin"])
    records.write(f"members/{claims['kennitala']}", membership={"status": {"odd": "Jón Jónsson"}}, profile={"name": "Jón Jónsson"})
    caller = enter(stack, checking, claims)
    assert caller.list().status == 200
    assert "Jón" not in checking.log_text() and claims["kennitala"] not in checking.log_text()
    odd = enter(stack, checking, {**person(), "uid": "odd/uid/" + secrets.token_hex(4)})
    assert odd.list().status == 401  # no such account; a document of that name cannot be
