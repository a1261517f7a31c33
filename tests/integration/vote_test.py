"""POST /api/vote and GET /api/token-status: what a voting token can do, and what it cannot."""

import json
import secrets
import time

import pytest

from suite import call, is_iso_time, s2s_headers
from voting import (ORG, ballots, close_election, create_election, end_in_the_past, in_parallel, one, register,
                    some_uuid, token_hash, vote, vote_until_told, voting_token)


@pytest.fixture
def elections(stack):
    return stack.service("elections")


def test_vote_first_time_is_stored_and_acknowledged(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    reply = vote(elections, token)
    assert reply.status == 201
    assert reply.json["success"] is True and reply.json["message"]
    assert "no-store" in reply.headers["cache-control"]
    stored = stack.sql("select id::text, answer_id, extract(second from voted_at) from elections.ballots where election_id = %s",
                       (election,))
    assert stored == [(reply.json["ballot_id"], "yes", 0)]


def test_vote_second_time_is_409_and_leaves_one_ballot(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    assert vote(elections, token).status == 201
    again = vote(elections, token, "no")
    assert again.status == 409 and again.json["error"] == "Conflict" and "already voted" in again.json["message"]
    assert ballots(stack, election) == 1


@pytest.mark.parametrize("body", [{}, {"answer": "maybe"}, {"answer": "YES"}, {"answer": 1}, {"answer": None}, {"answer": ["yes"]},
                                  {"answer": {"a": 1}}, {"answer": True}, {"Answer": "yes"}, []])
def test_vote_wrong_answer_is_400_before_the_token_is_looked_at(elections, body):
    reply = elections.post("/api/vote", body, token=voting_token())
    assert reply.status == 400 and reply.json["error"] == "Bad Request"


def test_vote_unknown_fields_are_ignored(stack, elections):
    token = register(elections, create_election(stack))
    assert elections.post("/api/vote", {"answer": "abstain", "more": {"x": []}}, token=token).status == 201


def test_vote_unknown_token_is_404_and_no_bearer_401(elections):
    assert vote(elections, voting_token()).status == 404
    assert vote(elections, "short").status == 404
    assert elections.post("/api/vote", {"answer": "yes"}).status == 401
    assert elections.post("/api/vote", {"answer": "yes"}, headers={"Authorization": "Basic abc"}).status == 401


def test_vote_outside_the_window_is_403(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    end_in_the_past(stack, election)
    assert vote(elections, token).status == 403
    early = create_election(stack)
    token = register(elections, early)
    stack.sql("update elections.elections set scheduled_start = now() + interval '10 minutes' where id = %s", (early,))
    assert vote(elections, token).status == 403
    assert ballots(stack, election) == 0 and ballots(stack, early) == 0


def test_vote_with_an_expired_token_is_403(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    stack.sql("update elections.voting_tokens set expires_at = now() - interval '1 second' where token_hash = %s",
              (token_hash(token),))
    reply = vote(elections, token)
    assert reply.status == 403 and reply.json["code"] == "TOKEN_EXPIRED"


def test_vote_counts_only_where_the_token_was_registered(stack, elections):
    here, there = create_election(stack), create_election(stack)
    assert vote(elections, register(elections, here)).status == 201
    assert (ballots(stack, here), ballots(stack, there)) == (1, 0)


def test_vote_after_close_is_403_and_nothing_is_stored(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    close_election(stack, election)
    assert vote(elections, token).status in (403, 404)
    assert ballots(stack, election) == 0


def test_vote_same_key_and_request_gets_the_same_answer(stack, elections):
    election = create_election(stack)
    token, key = register(elections, election), secrets.token_hex(16)
    first, again = vote(elections, token, key=key), vote(elections, token, key=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json and again.headers["idempotent-replayed"] == "true"
    assert vote(elections, token, "no", key=key).status == 422
    assert vote(elections, token, key=secrets.token_hex(16)).status == 409
    assert ballots(stack, election) == 1


def test_vote_stored_reply_is_sealed(stack, elections):
    election = create_election(stack)
    reply = vote(elections, register(elections, election), key=secrets.token_hex(16))
    rows = stack.sql("select reply from elections.idempotency where reply is not null")
    assert rows and all(reply.json["ballot_id"].encode() not in bytes(row[0]) for row in rows)


def test_vote_one_token_at_once_from_many_is_stored_once(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    # Ten: nine losers stay within the ten failures a token has in a minute, so the limiter does not speak first.
    statuses = in_parallel([lambda: vote(elections, token).status] * 10)
    assert statuses.count(201) == 1 and set(statuses) <= {201, 409, 503}
    assert ballots(stack, election) == 1


def test_vote_one_key_at_once_from_many_gets_one_answer(stack, elections):
    election = create_election(stack)
    token, key = register(elections, election), secrets.token_hex(16)
    replies = in_parallel([lambda: vote_until_told(elections, token, key)] * 16)
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["ballot_id"] for reply in replies}) == 1
    assert ballots(stack, election) == 1


def test_vote_while_the_token_row_is_held_is_503_at_once(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    before = elections.metric("pg_lock_refusals_total")
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select 1 from elections.voting_tokens where token_hash = %s for update", (token_hash(token),))
        reply = vote(elections, token)
        holder.rollback()
    holder.close()
    assert reply.status == 503 and reply.headers["retry-after"] == "1" and reply.json["retryAfter"] == 1
    assert elections.metric("pg_lock_refusals_total") == before + 1
    assert vote(elections, token).status == 201


def test_vote_of_others_goes_on_while_one_row_is_held(stack, elections):
    election = create_election(stack)
    held, free = register(elections, election), register(elections, election)
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select 1 from elections.voting_tokens where token_hash = %s for update", (token_hash(held),))
        assert vote(elections, free).status == 201
        holder.rollback()
    holder.close()


def test_vote_three_hundred_at_once_from_one_address_are_all_taken(stack, elections):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(300)]
    statuses = in_parallel([lambda token=token: vote_until_told(elections, token).status for token in tokens])
    assert statuses.count(201) == 300
    assert ballots(stack, election) == 300


def test_token_status_tells_whether_it_is_spent(stack, elections):
    election = create_election(stack, title="Shown title")
    token = register(elections, election)
    reply = elections.get("/api/token-status", token=token)
    assert reply.status == 200
    assert reply.json["valid"] is True and reply.json["used"] is False
    assert is_iso_time(reply.json["registered_at"])
    assert (reply.json["election_title"], reply.json["election_question"]) == ("Shown title", "Shall we?")
    assert vote(elections, token).status == 201
    assert elections.get("/api/token-status", token=token).json["used"] is True
    assert elections.get("/api/token-status", token=voting_token()).status == 404
    assert elections.get("/api/token-status").status == 401


def test_vote_log_line_of_an_accepted_vote_names_nobody(stack, elections):
    election = create_election(stack)
    mark = elections.log_mark()
    reply = vote(elections, register(elections, election))
    line = elections.wait_log(lambda line: line.get("route") == "/api/vote" and line.get("status") == 201, mark)
    assert not {"correlation_id", "client", "caller", "user_agent"} & set(line)
    text = json.dumps(line)
    assert reply.json["ballot_id"] not in text and '"yes"' not in text and election not in text


def test_vote_log_line_of_a_failed_vote_keeps_its_correlation_id(elections):
    mark = elections.log_mark()
    elections.post("/api/vote", {"answer": "no"}, token=voting_token(), headers={"X-Correlation-ID": "failed-vote-1"})
    line = elections.wait_log(lambda line: line.get("correlation_id") == "failed-vote-1", mark)
    assert line["status"] == 404 and line["error"] == "ERR_NOT_FOUND" and line["severity"] == "INFO"


def test_vote_many_failures_of_one_token_are_429(elections):
    token = voting_token()
    statuses = [vote(elections, token).status for _ in range(12)]
    assert statuses[:10] == [404] * 10 and statuses[-1] == 429
    assert vote(elections, voting_token()).status == 404, "another token of the same address is not affected"


def test_results_are_refused_before_the_end_and_right_after_it(stack, elections):
    election = create_election(stack)
    for answer in ("yes", "yes", "no"):
        assert vote(elections, register(elections, election), answer).status == 201
    path = f"/api/s2s/results?election_id={election}"
    before = elections.signed("GET", path)
    assert before.status == 403 and "2" not in json.dumps(before.json.get("results", ""))
    end_in_the_past(stack, election)
    after = elections.signed("GET", path)
    assert after.status == 200
    assert after.json["total_ballots"] == 3
    assert after.json["results"] == {"yes": 2, "no": 1, "abstain": 0}
    assert after.json["election_status"] == "closed"


def test_close_ballots_cannot_be_paired_with_participation(stack, elections):
    election = create_election(stack)
    shown = [vote(elections, register(elections, election)).json["ballot_id"] for _ in range(20)]
    close_election(stack, election)
    ids = {row[0] for row in stack.sql("select id::text from elections.ballots where election_id = %s", (election,))}
    assert len(ids) == 20 and not ids & set(shown), "ballots have new ids"
    by_transaction = stack.sql(
        "select count(*) from elections.ballots b join elections.participation p on b.xmin::text = p.xmin::text"
        " join elections.elections e on e.id = b.election_id where b.election_id = %s group by b.xmin::text",
        (election,))
    assert by_transaction in ([], [(400,)]), "either no common transaction, or one for all: nothing to pair"


def test_database_role_can_read_neither_table(stack):
    for role in ("elections", "events"):
        for table in ("ballots", "participation", "voting_tokens", "audit", "idempotency"):
            with pytest.raises(Exception, match="permission denied"):
                stack.sql(f"select 1 from elections.{table}", user=role)


# --- registering --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body, word", [
    ({}, "token_hash"), ({"token_hash": None}, "token_hash"), ({"token_hash": 7}, "token_hash"),
    ({"token_hash": "a" * 63}, "token_hash"), ({"token_hash": "A" * 64}, "token_hash"),
    ({"token_hash": "g" * 64}, "token_hash"), ({"token_hash": "a" * 64, "election_id": "x"}, "election_id"),
    ({"token_hash": "a" * 64, "election_id": 5}, "election_id"), ({"token_hash": "a" * 64, "slot": "zz"}, "slot"),
    ({"token_hash": "a" * 64, "slot": "ab"}, "slot"), ({"token_hash": "a" * 64, "issue_no": "1"}, "issue_no"),
    ({"token_hash": "a" * 64, "issue_no": -1}, "issue_no"), ({"token_hash": "a" * 64, "issue_no": 1.5}, "issue_no"),
    ({"token_hash": "a" * 64, "expires_at": "tomorrow"}, "expires_at"),
])
def test_register_bad_field_is_400_and_names_it(elections, body, word):
    reply = elections.signed("POST", "/api/s2s/register-token", body)
    assert reply.status == 400 and word in reply.json["message"]


def test_register_without_an_election_takes_the_current_one(stack, elections):
    election = create_election(stack)
    token = voting_token()
    reply = elections.signed("POST", "/api/s2s/register-token", {"token_hash": token_hash(token)})
    assert reply.status == 201 and reply.json["token_hash"] == token_hash(token)
    assert reply.json["election_id"] == election
    again = elections.signed("POST", "/api/s2s/register-token", {"token_hash": token_hash(token)})
    assert again.status == 409


def test_register_for_an_unknown_election_is_404(elections):
    reply = elections.signed("POST", "/api/s2s/register-token",
                             {"token_hash": token_hash(voting_token()), "election_id": some_uuid()})
    assert reply.status == 404


def test_register_again_for_a_slot_kills_the_older_token(stack, elections):
    election, slot = create_election(stack), secrets.token_hex(32)
    old = register(elections, election, slot=slot, issue_no=1)
    new = register(elections, election, slot=slot, issue_no=2)
    assert vote(elections, old).status == 404
    assert vote(elections, new).status == 201
    late = elections.signed("POST", "/api/s2s/register-token",
                            {"token_hash": token_hash(voting_token()), "election_id": election, "slot": slot,
                             "issue_no": 3})
    assert late.status == 409 and late.json["code"] == "ALREADY_VOTED"


def test_register_that_was_long_on_its_way_replaces_nothing(stack, elections):
    election, slot = create_election(stack), secrets.token_hex(32)
    new = register(elections, election, slot=slot, issue_no=2)
    late = elections.signed("POST", "/api/s2s/register-token",
                            {"token_hash": token_hash(voting_token()), "election_id": election, "slot": slot,
                             "issue_no": 1})
    assert late.status == 409 and late.json["code"] == "STALE_ISSUE"
    assert vote(elections, new).status == 201


def test_register_repeated_under_one_key_is_applied_once(stack, elections):
    election, token = create_election(stack), voting_token()
    body = {"token_hash": token_hash(token), "election_id": election}
    key = {"X-Idempotency-Key": secrets.token_hex(8)}
    first = elections.signed("POST", "/api/s2s/register-token", body, headers=key)
    again = elections.signed("POST", "/api/s2s/register-token", body, headers=key)
    assert (first.status, again.status) == (201, 201) and first.json == again.json
    other = {**body, "token_hash": token_hash(voting_token())}
    assert elections.signed("POST", "/api/s2s/register-token", other, headers=key).status == 422


def test_register_writes_one_audit_row_without_slot_or_hash(stack, elections):
    election, slot, token = create_election(stack), secrets.token_hex(32), voting_token()
    register(elections, election, token=token, slot=slot)
    rows = stack.sql("select action, actor, audit::text from elections.audit where election_id = %s and actor like 's2s:%%'",
                     (election,))
    assert len(rows) == 1 and rows[0][1] == "s2s:events-1"
    assert slot not in rows[0][2] and token_hash(token) not in rows[0][2]
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


def test_register_a_hall_of_400_is_not_limited(stack, elections):
    election = create_election(stack)
    statuses = in_parallel([lambda: elections.signed(
        "POST", "/api/s2s/register-token",
        {"token_hash": token_hash(voting_token()), "election_id": election}).status] * 400)
    assert statuses.count(201) == 400


# --- signatures ---------------------------------------------------------------------------------------------


PATH = "/api/s2s/results"


def test_signature_missing_or_wrong_is_401_in_one_shape(elections):
    good = dict(timestamp=int(time.time()), nonce=secrets.token_urlsafe(24))
    replies = [
        elections.get(PATH),
        elections.get(PATH, headers={"X-API-Key": elections.stack.secret["s2s-key"]}),
        elections.signed("GET", PATH, secret="x" * 64),
        elections.signed("GET", PATH, key_id="nobody"),
        elections.signed("GET", PATH, timestamp=good["timestamp"] - 301),
        elections.signed("GET", PATH, timestamp=good["timestamp"] + 302),
        elections.signed("GET", PATH, nonce="short"),
        elections.signed("GET", PATH, headers={"X-Signature": "AAAA"}),
    ]
    assert {reply.status for reply in replies} == {401}
    assert len({(reply.json["error"], reply.json["message"]) for reply in replies}) == 1


def test_signature_replayed_is_401_also_at_another_instance(stack, elections):
    nonce = secrets.token_urlsafe(24)
    assert elections.signed("GET", PATH, nonce=nonce).status != 401
    assert elections.signed("GET", PATH, nonce=nonce).status == 401
    other = stack.start("elections")
    assert other.signed("GET", PATH, nonce=nonce).status == 401


def test_signature_does_not_fit_an_altered_call(elections):
    body = json.dumps({"token_hash": "a" * 64}).encode()
    headers = {"Content-Type": "application/json",
               **s2s_headers(elections.stack.secret["s2s-key"], "POST", "/api/s2s/register-token", body)}
    altered = body.replace(b"a" * 64, b"b" * 64)
    assert call(elections.url + "/api/s2s/register-token", "POST", altered, headers).status == 401
    assert call(elections.url + "/api/s2s/register-token?x=1", "POST", body, headers).status == 401


def test_signature_both_keys_are_good_while_rotating(stack):
    new = secrets.token_hex(32)
    service = stack.start("elections", S2S_KEYS=f"events-1:{stack.secret['s2s-key']},events-2:{new}")
    assert service.signed("GET", PATH).status != 401
    assert service.signed("GET", PATH, key_id="events-2", secret=new).status != 401


def test_old_api_key_is_accepted_only_when_switched_on(stack):
    service = stack.start("elections", S2S_API_KEY_ALLOWED="true")
    assert service.get(PATH, headers={"X-API-Key": stack.secret["s2s-key"]}).status != 401
    assert service.get(PATH, headers={"X-API-Key": "wrong"}).status == 401
    assert service.get("/api/elections", headers={"X-API-Key": stack.secret["s2s-key"]}).status in (401, 404)
