"""Operators' routes of elections: the rules of the contract's §2.5 as tables, shapes (openapi.yaml), audit, idempotency."""

import json
import secrets

import pytest

from elections_support import (ADMIN, UNKNOWN_ID, draft, elections, manager, member, set_state, sign_in,  # noqa: F401
                               superuser)
from suite import person
from voting import ORG, ballots, in_parallel, one

STATES = ("draft", "published", "paused", "closed", "archived", "ended", "early", "hidden")


# --- who may ---------------------------------------------------------------------------------------------------


EVERY_ROUTE = [("GET", ""), ("POST", ""), ("GET", "/{id}"), ("PATCH", "/{id}"), ("DELETE", "/{id}"), ("GET", "/{id}/results"),
               *(("POST", f"/{{id}}/{action}")
                 for action in ("open", "close", "pause", "resume", "archive", "hide", "unhide", "anonymize"))]
SUPERUSER_ONLY = [("DELETE", "/{id}"), ("POST", "/{id}/anonymize")]
OPERATORS = [
    # claims beside a kennitala, may manage, may do what superusers do
    ({"roles": ["admin"]}, True, False), ({"roles": ["superuser"]}, True, True), ({"roles": ["member", "admin", "superuser"]}, True, True),
    ({"roles": ["member"]}, False, False), ({"roles": []}, False, False), ({}, False, False), ({"roles": "admin"}, False, False),
    ({"roles": "superuser"}, False, False), ({"roles": {"0": "superuser"}}, False, False), ({"roles": [["superuser"]]}, False, False),
    ({"roles": ["Admin"]}, False, False), ({"roles": ["superadmin"]}, False, False), ({"role": "superadmin"}, True, True),
    ({"role": "election-manager"}, True, False), ({"role": "superuser"}, False, False), ({"role": True}, False, False),
    # The old single role takes precedence.
    ({"role": "election-manager", "roles": ["superuser"]}, True, False), ({"role": "x", "roles": ["superuser"]}, False, False),
    ({"role": "", "roles": ["superuser"]}, True, True)]


@pytest.mark.parametrize("roles,manages,supers", OPERATORS)
def test_admin_routes_follow_the_roles_of_the_token(stack, elections, roles, manages, supers):
    claims = {key: value for key, value in person(member=None).items() if key != "roles"}
    caller = sign_in(stack, elections, claims={**claims, **roles})
    for method, path in EVERY_ROUTE:
        reply = caller.call(method, ADMIN + path.replace("{id}", UNKNOWN_ID), None if method == "GET" else {})
        super_only = (method, path) in SUPERUSER_ONLY
        if supers if super_only else manages:
            assert reply.status in (200, 400, 404), (method, path, reply)
        else:
            assert reply.status == 403, (method, path, reply)
            assert reply.json["code"] == ("SUPERADMIN_REQUIRED" if super_only else "INSUFFICIENT_PERMISSIONS")
            assert set(reply.json) == {"error", "message", "code", "correlation_id"}  # no list of roles (V-D18)


@pytest.mark.parametrize("method,path", EVERY_ROUTE)
def test_admin_routes_without_a_good_token_are_401(elections, method, path):
    target = ADMIN + path.replace("{id}", UNKNOWN_ID)
    body = None if method == "GET" else {}
    assert elections.call(method, target, body).json["code"] == "MISSING_AUTH_TOKEN"
    reply = elections.call(method, target, body, token="x.y.z")
    assert reply.status == 401 and reply.json["code"] == "INVALID_AUTH_TOKEN" and "details" not in reply.json
    assert elections.call(method, target, body, headers={"X-API-Key": elections.stack.secret["s2s-key"]}).status == 401


def test_admin_refused_action_of_an_operator_is_in_the_trail_that_of_a_stranger_not(stack, manager, member):
    election = manager.create()
    assert manager.admin("DELETE", election).status == 403
    assert member.admin("DELETE", election).status == 403
    rows = stack.sql("select actor, success, details from elections.audit where election_id = %s and action = 'delete_election'",
                     (election,))
    assert rows == [(manager.claims["uid"], False, {"code": "superadmin"})]


@pytest.mark.parametrize("bad", ["1", "x", "%20", "00000000-0000-4000-8000-0000000000000", "null", "%27", UNKNOWN_ID])
def test_admin_routes_unknown_or_malformed_id_is_404(superuser, bad):
    for method, path in EVERY_ROUTE:
        if "{id}" in path:
            reply = superuser.call(method, ADMIN + path.replace("{id}", bad), None if method == "GET" else {})
            assert reply.status == 404, (method, path, reply)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/x", "/debug/auth-check", "/elections/x/y/z", f"/elections/{UNKNOWN_ID}/reopen"])
def test_admin_unknown_path_is_401_to_strangers_else_404(elections, member, method, path):
    stranger = elections.call(method, "/api/admin" + path, headers={"Authorization": "Bearer abcdefghijklmnop"})
    assert stranger.status == 401 and b"abcdefgh" not in stranger.body
    reply = elections.call(method, "/api/admin" + path, token=member.token)
    assert reply.status == 404 and set(reply.json) == {"error", "message", "correlation_id"}


# --- create ----------------------------------------------------------------------------------------------------


def test_create_what_the_portal_sends_is_a_draft(manager):
    reply = manager.admin("POST", body=draft(title="  Kosning  ", question=" Hvað? "))
    made = reply.json["election"]
    assert reply.status == 201 and made["status"] == "draft" and made["description"] == ""
    assert made["title"] == "Kosning" and made["question"] == "Hvað?"
    assert made["created_by"] == made["updated_by"] == manager.claims["uid"]
    assert manager.admin("GET", made["id"]).json["election"]["title"] == "Kosning"


def test_create_least_body_has_the_defaults(manager):
    made = manager.admin("POST", body={"title": "a", "question": "b", "answers": ["x", "y"]}).json["election"]
    assert (made["voting_type"], made["max_selections"], made["eligibility"], made["description"]) == ("single-choice", 1, "members", "")
    assert made["scheduled_start"] is None and made["scheduled_end"] is None and made["duration_minutes"] is None


WHEN = {"start": "2100-01-01T10:00:00.000Z", "end": "2100-01-01T10:02:30.000Z"}


def test_create_schedule_under_either_name(manager):
    for first, second in (("scheduled_start", "scheduled_end"), ("voting_starts_at", "voting_ends_at")):
        made = manager.admin("POST", body=draft(**{first: WHEN["start"], second: WHEN["end"]})).json["election"]
        assert made["scheduled_start"] == made["voting_starts_at"] == WHEN["start"]
        assert made["scheduled_end"] == made["voting_ends_at"] == WHEN["end"]
        assert made["duration_minutes"] == 2.5


WRONG_TYPES = [1, True, [], {}, None]
CREATE_ERRORS = [
    *(("title", value) for value in (None, "", "   ", "\t\n", "x" * 256, *WRONG_TYPES)),
    *(("question", value) for value in (None, "", " ", "x" * 10001, *WRONG_TYPES)),
    *(("answers", value) for value in (
        None, "Já", {}, [], ["Já"], [1, 2], ["Já", 2], ["Já", None], ["Já", ""], ["Já", "  "], ["Já", "x" * 201], ["Já", "Já"],
        ["Já", "JÁ"], ["Já", " já "], [{"text": "a"}, {"answer_text": "A"}], [{"id": "x", "text": "a"}, {"id": "y", "text": "a"}],
        [{"id": "x"}, "X"], [{}, "a"], [{"text": ""}, "a"], [{"text": 1}, "a"], [{"id": ["a"]}, "b"], [["a"], ["b"]],
        [{"text": "a", "more": {"deep": 1}}, "b"], [{"text": "a", "more": [1]}, "b"], [{"text": "a", "n": 1e300}, "b"],
        [{"text": "a", "n": 1e-300}, "b"], [{"text": "a", "more": "x" * 5000}, "b"], [str(n) for n in range(201)], 7)),
    *(("voting_type", value) for value in ("", "ranked-choice", "SINGLE-CHOICE", *WRONG_TYPES)),
    *(("max_selections", value) for value in (0, -1, 2, 1.5, 1e300, "1", None, True, [], {})),
    *(("eligibility", value) for value in ("", "everybody", "Members", *WRONG_TYPES)),
    *(("description", value) for value in (1, True, [], {}, "x" * 20001)),
    *(("scheduled_start", value) for value in ("", "yesterday-ish", "2100-13-01", 1, True, [], {}, "infinity", "99999999-01-01")),
    *(("scheduled_end", value) for value in ("", "soon", "2100-02-30T00:00:00Z", 5, {}, "-infinity")),
]


@pytest.mark.parametrize("field", sorted({field for field, _ in CREATE_ERRORS}))
def test_create_and_patch_wrong_field_is_400_that_names_it(stack, field):
    operator = sign_in(stack, stack.start("elections", ADMIN_LIMIT_PER_MINUTE=10000), roles=("admin",))
    election = operator.create()
    before = operator.admin("GET", election).json["election"]
    for value in [value for name, value in CREATE_ERRORS if name == field]:
        reply = operator.admin("POST", body=draft(**{field: value}))
        assert reply.status == 400 and reply.json["field"] == field and field in reply.json["message"], (value, reply)
        reply = operator.admin("PATCH", election, body={field: value})
        assert reply.status == 400 and reply.json["field"] == field, (value, reply)
        assert operator.admin("GET", election).json["election"] == before


def test_create_missing_fields_in_the_order_of_the_contract(manager):
    body = {"description": 1}
    for field in ("title", "question", "answers"):
        assert manager.admin("POST", body=body).json["field"] == field
        body[field] = draft()[field]
    assert manager.admin("POST", body=body).json["field"] == "description"
    assert manager.admin("POST", body=[]).json["field"] == "title"
    assert manager.admin("POST", body=b"x=1", headers={"Content-Type": "application/x-www-form-urlencoded"}).json["field"] == "title"


def test_create_end_before_start_is_400(manager):
    for start, end in ((WHEN["end"], WHEN["start"]), (WHEN["start"], WHEN["start"])):
        reply = manager.admin("POST", body=draft(scheduled_start=start, scheduled_end=end))
        assert reply.status == 400 and reply.json["field"] == "scheduled_end"


@pytest.mark.parametrize("kind,options,most,status", [
    ("multi-choice", 3, 1, 201), ("multi-choice", 3, 3, 201), ("multi-choice", 3, 4, 400), ("multi-choice", 200, 200, 201),
    ("single-choice", 3, 1, 201), ("single-choice", 3, 2, 400)])
def test_create_max_selections_from_one_to_all(manager, kind, options, most, status):
    reply = manager.admin("POST", body=draft(voting_type=kind, max_selections=most, answers=[f"kostur {n}" for n in range(options)]))
    assert reply.status == status


def test_create_large_body_is_read_and_larger_is_413(manager):
    fields = draft(description="é" * 20000)
    assert 40000 < len(json.dumps(fields, ensure_ascii=False).encode()) < 65536
    reply = manager.admin("POST", body=json.dumps(fields, ensure_ascii=False).encode(), headers={"Content-Type": "application/json"})
    assert reply.status == 201 and reply.json["election"]["description"] == "é" * 20000
    assert manager.admin("POST", body=draft(description="x" * 70000)).status == 413


def test_create_twice_within_seconds_is_one_election(stack, manager):
    body = draft()
    first, again = manager.admin("POST", body=body), manager.admin("POST", body=body)
    assert (first.status, again.status) == (201, 201) and first.json["election"]["id"] == again.json["election"]["id"]
    other = sign_in(stack, roles=("admin",)).admin("POST", body=body)
    assert other.json["election"]["id"] != first.json["election"]["id"]
    ids = {reply.json["election"]["id"] for reply in in_parallel([lambda: manager.admin("POST", body=draft(title="samtímis"))] * 6)}
    assert len(ids) == 1


# --- list and get ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query,limit", [("", 50), ("?limit=0", 50), ("?limit=-1", 1), ("?limit=201", 200), ("?limit=abc", 50),
                                         ("?limit=99999999999999999999", 200)])
def test_admin_list_odd_paging_falls_back(manager, query, limit):
    assert manager.call("GET", ADMIN + query).json["pagination"]["limit"] == limit


def test_admin_list_filters(stack, manager):
    word = "Ðæþ" + secrets.token_hex(6)
    by_state = {state: set_state(stack, manager, state, title=f"{word} {state}") for state in STATES}

    def found(query):
        reply = manager.call("GET", f"{ADMIN}?{query}")
        assert reply.status == 200
        ids = {row["id"] for row in reply.json["elections"]}
        return {state for state, election in by_state.items() if election in ids}
    search = "search=" + word.lower().replace("ð", "%C3%B0").replace("æ", "%C3%A6").replace("þ", "%C3%BE")
    assert found(search) == set(STATES) - {"hidden"}
    assert found(search + "&includeHidden=true") == set(STATES)
    for value in ("false", "TRUE", "1", "yes", ""):
        assert found(f"{search}&includeHidden={value}") == set(STATES) - {"hidden"}
    assert found(search + "&status=closed") == {"closed", "ended"}
    assert found(search + "&status=draft") == {"draft"}
    assert found("search=" + secrets.token_hex(12)) == set()
    assert found("search=%25") == set() == found("search=" + "_____")
    for bad in ("open", "x", "Draft", "closed "):
        assert manager.call("GET", f"{ADMIN}?status={bad.replace(' ', '%20')}").status == 400
    assert manager.call("GET", f"{ADMIN}?search={'x' * 401}").status == 400
    audited = str(stack.sql("select details from elections.audit"))
    assert word.lower() not in audited  # searching leaves no text behind (V-F8)


def test_admin_list_and_get_count_voters_as_numbers(stack, manager, member):
    election = manager.publish(title="talning " + secrets.token_hex(4))
    assert member.vote(election, "Já").status == 201
    row = next(row for row in manager.call("GET", ADMIN).json["elections"] if row["id"] == election)
    assert row["vote_count"] == 1
    detail = manager.admin("GET", election).json["election"]
    assert (detail["vote_count"], detail["total_votes"]) == (1, 1)


# --- transitions -----------------------------------------------------------------------------------------------


ALLOWED = {"open": {"draft"}, "close": {"published", "paused", "early", "hidden"}, "pause": {"published", "early", "hidden"},
           "resume": {"paused"}, "archive": {"closed", "ended"}, "hide": set(STATES) - {"hidden"}, "unhide": {"hidden"},
           "anonymize": {"closed", "archived", "ended"}}
BECOMES = {"open": "published", "close": "closed", "pause": "paused", "resume": "published", "archive": "archived"}


@pytest.mark.parametrize("action", ALLOWED)
@pytest.mark.parametrize("state", STATES)
def test_transition_from_every_state(stack, superuser, state, action):
    election = set_state(stack, superuser, state)
    before = superuser.admin("GET", election).json["election"]
    key = secrets.token_hex(8)
    reply = superuser.admin("POST", election, action, {}, key=key, headers={"X-Correlation-ID": f"test-{election}"})
    after = superuser.admin("GET", election).json["election"]
    allowed = state in ALLOWED[action]
    assert reply.status == (200 if allowed else 400), reply
    if allowed:
        assert after["status"] == BECOMES.get(action, before["status"])
        assert after["hidden"] == {"hide": True, "unhide": False}.get(action, before["hidden"])
        if "election" in reply.json:
            assert reply.json["election"]["status"] == after["status"]
    else:
        assert (after["status"], after["hidden"]) == (before["status"], before["hidden"]) and reply.json["code"] == "WRONG_STATUS"
    # Exactly one row, refused or not, with actor and correlation id (V-F2); repeating the call under its key adds none.
    again = superuser.admin("POST", election, action, {}, key=key)
    assert (again.status, again.json) == (reply.status, reply.json) and again.headers["idempotent-replayed"] == "true"
    rows = stack.sql("select actor, correlation, success from elections.audit where election_id = %s and correlation = %s",
                     (election, f"test-{election}"))
    assert rows == [(superuser.claims["uid"], f"test-{election}", allowed)]
    # Done twice under another key is refused, but for what is repeatable.
    if allowed:
        twice = superuser.admin("POST", election, action, {}, key=secrets.token_hex(8))
        assert twice.status == (200 if action == "anonymize" else 400)


def test_transition_key_with_another_request_is_422(manager):
    election, key = manager.publish(), secrets.token_hex(8)
    assert manager.act(election, "pause", key=key).status == 200
    assert manager.act(election, "resume", key=key).status == 422
    assert manager.act(election, "pause", {"x": 1}, key=key).status == 422
    for bad in ("", " ", "x" * 129, "a b", "é"):
        assert manager.service.post(f"{ADMIN}/{election}/resume", {}, token=manager.token,
                                    headers={"X-Idempotency-Key": bad.encode().decode("latin-1")}).status == 400


@pytest.mark.parametrize("method,action,body", [("POST", "", None), ("PATCH", None, {"title": "Nýr titill"}), ("DELETE", None, None)])
def test_write_repeated_under_one_key_at_once_has_one_effect(stack, superuser, method, action, body):
    body = body or (draft() if method == "POST" else {})
    election = "" if method == "POST" else superuser.create()
    key = secrets.token_hex(8)
    replies = in_parallel([lambda: superuser.admin(method, election, body=body, key=key)] * 8)
    good = [reply for reply in replies if reply.status in (200, 201)]
    assert good and all(reply.json == good[0].json for reply in good)
    assert {reply.status for reply in replies} <= {200, 201, 409}  # 409: still being worked on
    verb = {"POST": "create", "PATCH": "update", "DELETE": "delete"}[method] + "_election"
    identity = election or good[0].json["election"]["id"]
    assert stack.sql("select count(*) from elections.audit where election_id = %s and action = %s", (identity, verb)) == [(1,)]


def test_open_takes_and_keeps_the_schedule(manager):
    election = manager.create(scheduled_start="2100-01-01T00:00:00Z", scheduled_end="2100-01-01T01:00:00Z")
    reply = manager.act(election, "open", {"voting_ends_at": "2100-01-01T02:00:00.000Z", "scheduled_end": "2100-01-01T03:00:00.000Z"})
    opened = reply.json["election"]
    assert opened["scheduled_start"] == "2100-01-01T00:00:00.000Z" and opened["scheduled_end"] == "2100-01-01T02:00:00.000Z"
    assert opened["published_at"] == opened["opened_at"] is not None


@pytest.mark.parametrize("body,field", [
    ({"voting_starts_at": "soon"}, "voting_starts_at"), ({"voting_ends_at": "2100-13-01"}, "voting_ends_at"),
    ({"voting_starts_at": 5}, "voting_starts_at"), ({"scheduled_end": {}}, "scheduled_end"), ({"scheduled_start": True}, "scheduled_start"),
    ({"voting_ends_at": ""}, "voting_ends_at")])
def test_open_wrong_time_is_400_that_names_it_and_is_audited(stack, manager, body, field):
    election = manager.create()
    reply = manager.act(election, "open", body)
    assert reply.status == 400 and reply.json["field"] == field
    assert manager.admin("GET", election).json["election"]["status"] == "draft"
    rows = stack.sql("select success, details from elections.audit where election_id = %s and action = 'open_election'", (election,))
    assert rows == [(False, {"code": "bad_time"})]


@pytest.mark.parametrize("body", [
    {"voting_ends_at": "2001-01-01T00:00:00Z"}, {"voting_starts_at": "2100-01-02T00:00:00Z", "voting_ends_at": "2100-01-01T00:00:00Z"},
    {"voting_ends_at": "-infinity"}, {"voting_starts_at": "infinity"}])
def test_open_with_an_end_that_cannot_be_is_400(manager, body):
    election = manager.create()
    reply = manager.act(election, "open", body)
    assert reply.status == 400 and reply.json["code"] == "BAD_SCHEDULE"


def test_open_hidden_draft_is_400(manager):
    election = manager.create()
    assert manager.act(election, "hide").status == 200
    assert manager.act(election, "open").json["code"] == "HIDDEN"
    assert manager.act(election, "unhide").status == 200
    assert manager.act(election, "open").status == 200


# --- patch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("field,value", [("question", "Önnur?"), ("answers", ["x", "y"]), ("voting_type", "multi-choice"),
                                         ("max_selections", 1), ("eligibility", "all")])
def test_patch_frozen_fields_only_of_drafts(stack, manager, state, field, value):
    election = set_state(stack, manager, state)
    before = manager.admin("GET", election).json["election"]
    reply = manager.admin("PATCH", election, body={field: value, "title": "Nýr"})
    after = manager.admin("GET", election).json["election"]
    if state == "draft":
        assert reply.status == 200 and after[field] == value and after["title"] == "Nýr"
    else:
        assert reply.status == 400 and reply.json["code"] == "NOT_DRAFT" and after == before


@pytest.mark.parametrize("state", STATES)
def test_patch_words_in_every_state(stack, manager, state):
    election = set_state(stack, manager, state)
    reply = manager.admin("PATCH", election, body={"title": "Nýr titill", "description": None})
    assert reply.status == 200 and reply.json["election"]["title"] == "Nýr titill" and reply.json["election"]["description"] == ""
    other = sign_in(stack, roles=("admin",))
    empty = other.admin("PATCH", election, body={})
    assert empty.status == 200 and empty.json["election"]["updated_by"] == other.claims["uid"]
    assert {**empty.json["election"], "updated_by": 0, "updated_at": 0} == {**reply.json["election"], "updated_by": 0, "updated_at": 0}


@pytest.mark.parametrize("state,body,status", [
    ("published", {"voting_ends_at": "2100-01-01T00:00:00Z"}, 200), ("published", {"scheduled_end": "2001-01-01T00:00:00Z"}, 400),
    ("early", {"scheduled_end": "2099-01-01T00:00:00Z"}, 400), ("early", {"scheduled_start": "2099-01-01T00:00:00Z"}, 200),
    ("paused", {"voting_ends_at": "2100-01-01T00:00:00Z"}, 200), ("closed", {"voting_ends_at": "2100-01-01T00:00:00Z"}, 400),
    ("archived", {"voting_ends_at": "2100-01-01T00:00:00Z"}, 400), ("ended", {"voting_ends_at": "2100-01-01T00:00:00Z"}, 400),
    ("ended", {"voting_ends_at": None}, 400), ("draft", {"scheduled_end": "2001-01-01T00:00:00Z"}, 200)])
def test_patch_schedule_only_while_the_end_lies_ahead(stack, manager, state, body, status):
    election = set_state(stack, manager, state)
    reply = manager.admin("PATCH", election, body=body)
    assert reply.status == status, reply
    if state == "ended":
        assert manager.admin("GET", election).json["election"]["status"] == "closed"


# --- delete ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_delete_without_votes(stack, superuser, state):
    election = set_state(stack, superuser, state)
    title = superuser.admin("GET", election).json["election"]["title"]
    reply = superuser.admin("DELETE", election)
    if state in ("published", "early", "hidden"):
        assert reply.status == 400 and reply.json["code"] == "WRONG_STATUS"
        return
    assert reply.status == 200 and reply.json["election_id"] == election and reply.json["title"] == title
    assert superuser.admin("GET", election).status == 404 and superuser.admin("DELETE", election).status == 404
    rows = stack.sql("select action, success from elections.audit where election_id = %s order by seq desc limit 2", (election,))
    assert rows == [("delete_election", False), ("delete_election", True)]


@pytest.mark.parametrize("state", ["closed", "archived"])
def test_delete_with_votes_takes_two_superusers(stack, superuser, member, state):
    election = superuser.publish()
    assert member.vote(election, "Já").status == 201
    assert superuser.act(election, "pause").status == 200
    assert superuser.admin("DELETE", election).json["code"] == "HAS_VOTES"
    superuser.close(election)
    if state == "archived":
        superuser.act(election, "archive")
    results = superuser.admin("GET", election, "results").json
    for _ in range(2):  # one person alone never, however often
        reply = superuser.admin("DELETE", election)
        assert reply.status == 400 and reply.json["code"] == "SECOND_CONFIRMATION_REQUIRED"
    assert sign_in(stack, roles=("admin",)).admin("DELETE", election).status == 403
    assert ballots(stack, election) == 1 and member.results(election).status == 200
    second = sign_in(stack, roles=("superuser",))
    assert second.admin("DELETE", election).status == 200
    assert member.get(election).status == 404 and ballots(stack, election) == 0
    for table in ("results", "voting_tokens", "elections"):
        column = "id" if table == "elections" else "election_id"
        assert stack.sql(f"select 1 from elections.{table} where {column} = %s", (election,)) == []
    details = stack.sql("select actor, details from elections.audit where election_id = %s and action = 'delete_election' and success",
                        (election,))
    assert len(details) == 1 and details[0][0] == second.claims["uid"]
    assert details[0][1]["first_actor"] == superuser.claims["uid"] and details[0][1]["sealed"] == results["sealed"]
    assert details[0][1]["total_voters"] == 1
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


def test_delete_confirmation_of_yesterday_counts_no_more(stack, superuser, member):
    election = superuser.publish()
    member.vote(election, "Já")
    superuser.close(election)
    # A refusal as it would stand in the trail of yesterday; written below the trigger that keeps the trail as it is.
    stack.sql("""insert into elections.audit select id, 1000000000 + (random() * 1e9)::int, now() - interval '25 hours',
        'delete_election', false, 'uid-somebody', 'c', %s, '{"code": "has_ballots", "from": "closed"}', null, null, '', ''
        from elections.organisations where id = %s""", (election, ORG))
    try:
        assert superuser.admin("DELETE", election).json["code"] == "SECOND_CONFIRMATION_REQUIRED"
    finally:
        stack.sql("alter table elections.audit disable trigger refuse_change;"
                  "delete from elections.audit where actor = 'uid-somebody'; alter table elections.audit enable trigger refuse_change")
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


# --- anonymize -------------------------------------------------------------------------------------------------


def test_anonymize_is_repeatable_and_keeps_one_vote(stack, superuser, member):
    election = superuser.publish()
    assert member.vote(election, "Já").status == 201
    assert superuser.act(election, "anonymize").status == 400
    superuser.close(election)
    for _ in range(2):
        reply = superuser.act(election, "anonymize")
        assert reply.status == 200 and reply.json["anonymized_count"] == 0 and reply.json["election_status"] == "closed"
    assert member.get(election).json["election"]["has_voted"] is True
    assert superuser.admin("GET", election, "results").json["total_voters"] == 1


# --- audit -----------------------------------------------------------------------------------------------------


def test_audit_every_action_of_a_life_is_one_row(stack, superuser):
    election = superuser.create()
    steps = [("PATCH", "", {"title": "Nýr"}, "update_election"), ("PATCH", "", {"title": ""}, "update_election"),
             ("POST", "hide", {}, "hide_election"), ("POST", "open", {}, "open_election"), ("POST", "unhide", {}, "unhide_election"),
             ("POST", "open", {}, "open_election"), ("POST", "pause", {}, "pause_election"), ("POST", "resume", {}, "resume_election"),
             ("POST", "close", {}, "close_election"), ("POST", "archive", {}, "archive_election"),
             ("POST", "anonymize", {}, "anonymize_election"), ("DELETE", "", {}, "delete_election")]
    wanted = [("create_election", True)]
    for number, (method, action, body, name) in enumerate(steps):
        reply = superuser.admin(method, election, action, body, headers={"X-Correlation-ID": f"{election}.{number}"})
        assert reply.headers["x-correlation-id"] == f"{election}.{number}"
        wanted.append((name, reply.status == 200))
    rows = stack.sql("select action, success, actor, correlation from elections.audit where election_id = %s order by seq", (election,))
    assert [row[:2] for row in rows] == wanted and wanted.count(("open_election", False)) == 1
    assert {row[2] for row in rows} == {superuser.claims["uid"]}
    assert [row[3] for row in rows[1:]] == [f"{election}.{number}" for number in range(len(steps))]
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


def test_audit_row_that_cannot_be_written_means_nothing_happened(stack, superuser):
    election = superuser.create()
    stack.sql("alter table elections.audit add constraint no_more check (action <> 'open_election') not valid")
    try:
        reply = superuser.act(election, "open")
    finally:
        stack.sql("alter table elections.audit drop constraint no_more")
    assert reply.status == 500 and "audit" not in reply.json["message"]
    assert superuser.admin("GET", election).json["election"]["status"] == "draft"


# --- limits and App Check --------------------------------------------------------------------------------------


def test_limit_of_operators_and_readers(stack):
    service = stack.start("elections", ADMIN_LIMIT_PER_MINUTE=3, READ_LIMIT_PER_MINUTE=4, VOTE_LIMIT_PER_MINUTE=2)
    boss, voter, other = sign_in(stack, service, roles=("admin",)), sign_in(stack, service), sign_in(stack, service)
    replies = [boss.call("GET", ADMIN) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert [reply.headers["ratelimit-remaining"] for reply in replies[:3]] == ["2", "1", "0"]
    assert replies[0].headers["ratelimit-policy"] == "3;w=60" and replies[0].headers["ratelimit-limit"] == "3"
    assert replies[3].json["error"] == "RATE_LIMIT_EXCEEDED" and replies[3].json["retryAfter"] == "1 minute"
    # The window slides: the next one may be as far away as two of them.
    assert 1 <= int(replies[3].headers["retry-after"]) <= 120 and 1 <= int(replies[3].headers["ratelimit-reset"]) <= 120
    assert [voter.list().status for _ in range(5)] == [200] * 4 + [429]
    assert other.list().status == 200  # the same address, another person
    # Only failures count against voting (V-G3).
    assert [voter.vote(UNKNOWN_ID, "x").status for _ in range(3)] == [404, 404, 429]


@pytest.mark.parametrize("group,path", [("APP_CHECK_MEMBER_MODE", "/api/elections"), ("APP_CHECK_ADMIN_MODE", ADMIN),
                                        ("APP_CHECK_MODE", "/api/token-status")])
def test_app_check_is_a_setting_of_each_group(stack, group, path):
    groups = ("APP_CHECK_MEMBER_MODE", "APP_CHECK_ADMIN_MODE", "APP_CHECK_MODE")
    enforcing = stack.start("elections", **{name: "enforce" if name == group else "off" for name in groups})
    boss = sign_in(stack, enforcing, roles=("admin",))
    tokens = {"/api/token-status": "0" * 64}
    for target in ("/api/elections", ADMIN, "/api/token-status"):
        usual = 404 if target == "/api/token-status" else 200
        token = tokens.get(target, boss.token)
        reply = enforcing.get(target, token=token)
        if target != path:
            assert reply.status == usual
            continue
        assert reply.status == 403 and reply.json["code"] == "MISSING_APP_CHECK_TOKEN"
        bad = enforcing.get(target, token=token, headers={"X-Firebase-AppCheck": "x"})
        assert bad.status == 403 and bad.json["code"] == "INVALID_APP_CHECK_TOKEN"
        good = enforcing.get(target, token=token, headers={"X-Firebase-AppCheck": stack.cloud.app_check()})
        assert good.status == usual


def test_app_check_monitored_is_counted_and_goes_on(stack):
    service = stack.start("elections", APP_CHECK_MEMBER_MODE="monitor")
    caller = sign_in(stack, service)
    before = service.metric("app_check_failures_total")
    assert caller.list().status == 200 and service.metric("app_check_failures_total") == before + 1
