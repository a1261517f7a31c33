"""What members and operators are told when the other service, or the database, says what it should not.

Elections is a stand-in that answers what the test says; the database refuses one function, or fails one table.
"""

import json
from contextlib import contextmanager

import pytest

from json_peer import JsonPeer
from pubsub import StandIn
from suite import canary, person, wait_until
from vote_queue_test import KEY, cast, queued, settled
from voting import (ballots, close_election, create_election, end_in_the_past, member, register, some_uuid, vote)

EXPIRES = "2099-01-01T00:00:00.000Z"


class Elections(JsonPeer):
    """answers: {route: (status, body)}; `before` runs first, the request held back."""

    def __init__(self):
        self.answers, self.before = {}, None
        super().__init__()

    def answer(self, path, headers, body):
        if self.before:
            self.before()
        return self.answers.get(path.partition("?")[0].rpartition("/")[2], (500, {}))


@pytest.fixture
def other():
    with Elections() as stand_in:
        yield stand_in


@pytest.fixture
def events(stack, other):
    return stack.start("events", ELECTIONS_SERVICE_URL=f"http://{other.host}")


@contextmanager
def refused(stack, schema, *functions):
    """The service may not call the functions meanwhile."""
    named = [stack.sql("select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = pronamespace"
                       " where nspname = %s and proname = %s", (schema, function))[0][0] for function in functions]
    try:
        for name in named:
            stack.sql(f"revoke execute on function {name} from {schema}")
        yield
    finally:
        for name in named:
            stack.sql(f"grant execute on function {name} to {schema}")


@contextmanager
def failing_ballots(stack, sqlstate):
    """No ballot can be stored meanwhile."""
    stack.sql("create function public.fails() returns trigger language plpgsql as"
              f" $$ begin raise exception 'of a test' using errcode = '{sqlstate}'; end $$")
    try:
        stack.sql("create trigger fails before insert on elections.ballots for each row execute function public.fails()")
        yield
    finally:
        stack.sql("drop function public.fails() cascade")


def is_internal(reply):
    text = json.dumps(reply.json)
    assert reply.status == 500 and "permission" not in text and "function" not in text, reply


# --- elections answers events ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer, status, code", [
    ((409, {"code": "ALREADY_VOTED"}), 409, "ALREADY_VOTED"), ((403, {}), 403, None), ((404, {}), 404, None),
    ((409, {"code": "OTHER"}), 503, None), ((422, {}), 503, None), ((201, {}), 503, None), ((201, {"expires_at": 7}), 503, None),
    ((200, {"expires_at": EXPIRES}), 503, None), ((500, {}), 503, None), ((429, {}), 503, None), ((401, {}), 503, None),
    ((201, []), 503, None), ((201, "no JSON"), 503, None), ((201, ""), 503, None)])
def test_token_when_elections_refuses_names_the_case_and_leaves_the_way_open(stack, events, other, answer, status, code):
    create_election(stack)
    _, token = member(stack)
    other.answers["register-token"] = answer
    refusal = events.post("/api/request-token", token=token)
    assert (refusal.status, refusal.json.get("code")) == (status, code) and "token" not in refusal.json, refusal
    assert (status == 503) == ("retry-after" in refusal.headers)
    other.answers["register-token"] = 201, {"expires_at": EXPIRES}

    def ask():
        reply = events.post("/api/request-token", token=token)
        return reply if reply.status != 503 else None  # the circuit may be open
    reply = wait_until(ask, every_s=0.3, timeout_s=20)
    assert reply.status == 200, "nothing of the refused one is in the way"
    canary(reply.json["token"])


@pytest.mark.parametrize("answer", [(500, {}), (404, {}), (200, {}), (200, {"voted": "yes"}), (200, {"voted": False}), (200, [])])
def test_live_token_is_told_whatever_elections_says_of_the_slot(stack, events, other, answer):
    create_election(stack)
    _, token = member(stack)
    other.answers = {"register-token": (201, {"expires_at": EXPIRES}), "slot-status": answer}
    canary(events.post("/api/request-token", token=token).json["token"])
    again = events.post("/api/request-token", token=token)
    assert again.status == 409 and again.json["code"] == "TOKEN_LIVE" and again.json["expires_at"] == EXPIRES


@pytest.mark.parametrize("answer", [(500, {}), (404, {}), (403, {}), (200, [])])
def test_my_status_is_no_answer_without_that_of_elections(stack, events, other, answer):
    create_election(stack)
    _, token = member(stack)
    other.answers["slot-status"] = answer
    reply = events.get("/api/my-status", token=token)
    assert reply.status in (502, 503) and "voted" not in reply.json, reply


@pytest.mark.parametrize("answer", [(200, {}), (200, {"results": [1]}), (404, {}), (500, {}), (200, [])])
def test_results_that_are_none_keep_their_shape(stack, events, other, answer):
    election = create_election(stack)
    _, token = member(stack)
    end_in_the_past(stack, election)
    other.answers["results"] = answer
    reply = events.get(f"/api/results?election_id={election}", token=token)
    assert reply.status == 200 and reply.json["results"] is None and reply.json["error"], reply


def test_token_overtaken_while_elections_was_asked_is_409_and_not_given(stack, events, other):
    """Its lease ran out and another request took the slot: only that one's token is live."""
    election = create_election(stack)
    _, token = member(stack)
    other.answers["register-token"] = 201, {"expires_at": EXPIRES}
    other.before = lambda: stack.sql("update events.issues set issue_no = issue_no + 1 where election_id = %s", (election,))
    reply = events.post("/api/request-token", token=token)
    assert reply.status == 409 and "token" not in reply.json and "faster" in reply.json["message"], reply


# --- the database refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("functions", [("claim_issue",), ("confirm_issue",), ("confirm_issue", "release_issue")])
def test_token_when_the_database_refuses_is_no_token(stack, events, other, functions):
    create_election(stack)
    _, token = member(stack)
    other.answers["register-token"] = 201, {"expires_at": EXPIRES}
    with refused(stack, "events", *functions):
        is_internal(events.post("/api/request-token", token=token))
    reply = events.post("/api/request-token", token=token)
    if "release_issue" in functions:
        assert reply.status == 409 and reply.headers["retry-after"] == "1", "the lease has to run out"
    else:
        assert reply.status == 200, reply
        canary(reply.json["token"])


def test_token_refused_by_elections_and_not_released_waits_for_the_lease(stack, events, other):
    create_election(stack)
    _, token = member(stack)
    other.answers["register-token"] = 403, {}
    with refused(stack, "events", "release_issue"):
        assert events.post("/api/request-token", token=token).status == 403
    assert events.post("/api/request-token", token=token).status == 409


def test_routes_when_the_database_refuses_are_500_without_its_words(stack, events):
    election = create_election(stack)
    claims, token = member(stack, roles=("member", "superuser"))
    elections = stack.service("elections")
    with refused(stack, "events", "issue_status"):
        is_internal(events.get("/api/my-status", token=token))
    resetting = stack.start("events", ADMIN_RESET_ENABLED="true", ALLOWED_RESET_UIDS=claims["uid"])
    with refused(stack, "events", "reset_election"):
        is_internal(resetting.post("/api/admin/reset-election", {"scope": "mine", "election_id": election}, token=token))
    with refused(stack, "elections", "voted_in"):
        is_internal(elections.get("/api/elections", token=token))
    with refused(stack, "elections", "results"):
        is_internal(elections.signed("GET", f"/api/s2s/results?election_id={election}"))
    with refused(stack, "elections", "slot_status"):
        is_internal(elections.signed("GET", f"/api/s2s/slot-status?election_id={election}&slot={'ab' * 32}"))


def test_stored_reply_that_cannot_be_opened_is_500_and_the_vote_counts_once(stack):
    elections = stack.service("elections")
    election = create_election(stack)
    token, key = register(elections, election), some_uuid()
    _, signed_in = member(stack)
    body = {"answer_ids": ["yes"]}
    path, headers = f"/api/elections/{election}/vote", {"X-Idempotency-Key": some_uuid()}
    assert vote(elections, token, key=key).status == 201
    assert elections.post(path, body, token=signed_in, headers=headers).status == 201
    stack.sql("update elections.idempotency set reply = '\\x00'")
    is_internal(vote(elections, token, key=key))
    is_internal(elections.post(path, body, token=signed_in, headers=headers))
    assert ballots(stack, election) == 2


# --- the vote queue -------------------------------------------------------------------------------------------


@pytest.fixture
def queue():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def queueing(stack, queue):
    return stack.start("elections", VOTE_QUEUE="on", PUBSUB_EMULATOR_HOST=queue.host, VOTE_QUEUE_KEY=KEY)


@pytest.mark.parametrize("sqlstate, status", [("57014", 202), ("53100", 202), ("53200", 202), ("55P03", 503), ("40001", 503),
                                              ("XX000", 500)])
def test_vote_the_database_undid_for_want_of_strength_is_queued_no_other(stack, queue, queueing, sqlstate, status):
    election = create_election(stack)
    token = register(queueing, election)
    with failing_ballots(stack, sqlstate):
        reply = cast(queueing, token)
        assert reply.status == status and ballots(stack, election) == 0, reply
        assert bool(queue.published) == (status == 202)
    if status == 202:
        assert settled(queueing, canary(reply.json["receipt"]))["status"] == "recorded"
        assert ballots(stack, election) == 1


def test_queued_vote_the_database_calls_malformed_is_put_aside(stack, queue, queueing):
    election = create_election(stack)
    token = register(queueing, election)
    with failing_ballots(stack, "53100"):
        queued(queueing, token)
        wait_until(lambda: queueing.metric("vote_queue_done_total", outcome="postponed"))
        stack.sql("create or replace function public.fails() returns trigger language plpgsql as"
                  " $$ begin raise exception 'of a test' using errcode = '22023'; end $$")
        queue.deliver_now()
        wait_until(lambda: queue.waiting() == [], timeout_s=20)
    assert queueing.metric("vote_queue_done_total", outcome="poison") == 1 and ballots(stack, election) == 0


@pytest.mark.parametrize("setting, name", [
    ("VOTE_QUEUE_TOPIC", "no/name"), ("VOTE_QUEUE_DEAD_TOPIC", "1st"), ("VOTE_QUEUE_SUBSCRIPTION", "ab"),
    ("VOTE_QUEUE_TOPIC", "a" * 256), ("VOTE_QUEUE_TOPIC", "_ab"), ("VOTE_QUEUE_TOPIC", "~ab")])
def test_queue_with_a_bad_name_does_not_start(stack, setting, name):
    service = stack.start("elections", healthy=False, VOTE_QUEUE="on", VOTE_QUEUE_KEY=KEY, **{setting: name})
    assert service.wait() != 0 and "no valid name" in service.log_text()


# --- what is asked for ----------------------------------------------------------------------------------------


def test_election_closed_before_its_end_says_so(stack):
    election = create_election(stack)
    _, token = member(stack)
    close_election(stack, election)
    shown = stack.service("events").get(f"/api/election?election_id={election}", token=token)
    assert shown.status == 200 and shown.json["status_message"] == "Closed", shown


def test_register_token_bad_time_or_slot_is_400(stack):
    elections = stack.service("elections")
    election = create_election(stack)
    for more in ({"expires_at": "tomorrow"}, {"expires_at": "2099-13-01T00:00:00Z"}, {"expires_at": ""}, {"expires_at": 7},
                 {"slot": 7}, {"slot": "x"}):
        reply = elections.signed("POST", "/api/s2s/register-token", {"token_hash": "ab" * 32, "election_id": election, **more})
        assert reply.status == 400, (more, reply)


def test_request_token_replace_null_is_as_without_it(stack):
    create_election(stack)
    _, token = member(stack)
    reply = stack.service("events").post("/api/request-token", {"replace": None}, token=token)
    assert reply.status == 200, reply
    canary(reply.json["token"])


def test_member_vote_many_unknown_answers_names_the_first_few(stack):
    elections = stack.service("elections")
    election = create_election(stack, voting_type="multi-choice", max_selections=3)
    _, token = member(stack)
    reply = elections.post(f"/api/elections/{election}/vote", {"answer_ids": [f"wrong-{i}" for i in range(9)]}, token=token)
    assert reply.status == 400
    shown = [i for i in range(9) if f"wrong-{i}" in reply.json["message"]]
    assert shown in ([], [0, 1, 2, 3, 4]), reply


def test_reset_of_a_named_election(stack):
    """However its id is written, and of no other."""
    claims = person(roles=("member", "superuser"))
    token = stack.cloud.token(**claims)
    events = stack.start("events", ADMIN_RESET_ENABLED="true", ALLOWED_RESET_UIDS=f",{claims['uid']}", ADMIN_RESET_MIN_INTERVAL_SEC="0")
    path, named, other = "/api/admin/reset-election", create_election(stack), create_election(stack)
    for election in (named, other):
        canary(events.post(f"/api/request-token?election_id={election}", token=token).json["token"])
    for bad in ("x", "", 7):
        assert events.post(path, {"scope": "mine", "election_id": bad}, token=token).status == 404, bad
    stack.sql("update elections.organisations set reset_allowed = true")
    try:
        reply = events.post(path, {"scope": "mine", "election_id": named.upper()}, token=token)
        assert reply.status == 200 and reply.json["actions"] == [{"action": "reset"}], reply
        assert events.post(path, {"scope": "mine", "election_id": some_uuid()}, token=token).status == 404
        issued = [events.get(f"/api/my-status?election_id={election}", token=token).json["token_issued"] for election in (named, other)]
        assert issued == [False, True]
        assert events.post(path, {"scope": "mine", "election_id": None}, token=token).status in (200, 404), "the current one"
    finally:
        stack.sql("update elections.organisations set reset_allowed = false")
