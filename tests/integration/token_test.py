"""events: GET /api/election, POST /api/request-token, GET /api/my-status, /api/my-token, /api/results."""

import secrets
import threading

import pytest

from suite import canary, is_iso_time, person, remember_token, wait_until
from voting import (close_election, create_election, end_in_the_past, in_parallel, member, some_uuid, vote)


@pytest.fixture
def events(stack):
    return stack.service("events")


@pytest.fixture
def elections(stack):
    return stack.service("elections")


def ask(events, token, body=None, key=None, query=""):
    headers = {"X-Idempotency-Key": key} if key else {}
    reply = events.post(f"/api/request-token{query}", body, token=token, headers=headers)
    if reply.status == 200:
        canary(reply.json["token"])
    return reply


def test_token_journey_from_request_to_result(stack, events, elections):
    election = create_election(stack, title="The journey")
    _, token = member(stack)
    shown = events.get("/api/election", token=token)
    assert shown.status == 200 and shown.json["id"] == election
    assert shown.json["title"] == "The journey" and shown.json["question_text"] == "Shall we?"
    assert shown.json["status"] == "published" and shown.json["status_message"].startswith("Active")
    assert is_iso_time(shown.json["voting_starts_at"]) and is_iso_time(shown.json["voting_ends_at"])
    assert events.get("/api/my-status", token=token).json == {"token_issued": False, "voted": False}

    issued = ask(events, token)
    assert issued.status == 200 and len(issued.json["token"]) == 64 and is_iso_time(issued.json["expires_at"])
    assert issued.json["success"] is True and issued.json["message"] and issued.json["note"]
    assert "no-store" in issued.headers["cache-control"]
    status = events.get("/api/my-status", token=token).json
    assert (status["token_issued"], status["voted"], status["voted_at"], status["expired"]) == (True, False, None, False)
    assert is_iso_time(status["token_issued_at"])

    assert events.get("/api/results", token=token).status == 403
    assert vote(elections, issued.json["token"]).status == 201
    status = events.get("/api/my-status", token=token).json
    assert status["voted"] is True and status["voted_at"].endswith(":00.000Z"), "to the minute"

    end_in_the_past(stack, election)
    result = events.get(f"/api/results?election_id={election}", token=token)
    assert result.status == 200 and result.json["election_id"] == election
    assert result.json["election_status"] == "closed" and result.json["total_ballots"] == 1
    assert result.json["results"] == {"yes": 1, "no": 0, "abstain": 0} and is_iso_time(result.json["fetched_at"])


def test_token_twice_is_409_with_a_way_out(stack, events, elections):
    create_election(stack)
    _, token = member(stack)
    first = ask(events, token)
    again = ask(events, token)
    assert again.status == 409 and again.json["code"] == "TOKEN_LIVE" and "replace" in again.json["hint"]
    assert is_iso_time(again.json["expires_at"])
    new = ask(events, token, {"replace": True})
    assert new.status == 200 and new.json["token"] != first.json["token"]
    assert vote(elections, first.json["token"]).status == 404, "the lost one stops working"
    assert vote(elections, new.json["token"]).status == 201
    for body in (None, {"replace": True}):
        voted = ask(events, token, body)
        assert voted.status == 409, "a member who has voted gets none, ever"


def test_token_after_voting_is_409_even_when_the_old_one_expired(stack, events, elections):
    election = create_election(stack)
    _, token = member(stack)
    assert vote(elections, ask(events, token).json["token"]).status == 201
    stack.sql("update events.issues set expires_at = now() - interval '1 second' where election_id = %s", (election,))
    stack.sql("update elections.voting_tokens set expires_at = now() - interval '1 second' where election_id = %s",
              (election,))
    reply = ask(events, token)
    assert reply.status == 409 and reply.json["code"] == "ALREADY_VOTED"


def test_token_expired_unused_is_replaced(stack, events, elections):
    election = create_election(stack)
    _, token = member(stack)
    ask(events, token)
    stack.sql("update events.issues set issued_at = now() - interval '2 hours', claimed_at = now() - interval '2 hours',"
              " expires_at = now() - interval '1 second' where election_id = %s", (election,))
    assert events.get("/api/my-status", token=token).json["expired"] is True
    assert vote(elections, ask(events, token).json["token"]).status == 201


def test_token_in_parallel_gives_exactly_one(stack, events, elections):
    create_election(stack)
    _, token = member(stack)
    replies = in_parallel([lambda: ask(events, token)] * 12)
    given = [reply for reply in replies if reply.status == 200]
    assert len(given) == 1 and {reply.status for reply in replies} <= {200, 409}
    assert all(reply.json["token"] for reply in given)
    assert vote(elections, given[0].json["token"]).status == 201


def test_token_same_idempotency_key_gives_the_same_token(stack, events, elections):
    create_election(stack)
    _, token = member(stack)
    key = secrets.token_hex(8)
    first, again = ask(events, token, key=key), ask(events, token, key=key)
    assert (first.status, again.status) == (200, 200) and first.json == again.json
    _, other = member(stack)
    assert ask(events, other, key=key).json["token"] != first.json["token"], "the key is the caller's own"
    rows = stack.sql("select reply from events.idempotency where reply is not null")
    assert rows and all(first.json["token"].encode() not in bytes(row[0]) for row in rows)


def test_token_while_an_earlier_request_runs_is_409_and_not_for_ever(stack, events):
    """Also under one key: "still running" is not the final answer that the key is answered with from then on."""
    election = create_election(stack)
    _, token = member(stack)
    assert ask(events, token).status == 200
    stack.sql("update events.issues set state = 'pending', claimed_at = clock_timestamp(), issued_at = null,"
              " expires_at = null where election_id = %s", (election,))
    key = secrets.token_hex(8)
    reply = ask(events, token, key=key)
    assert reply.status == 409 and "still running" in reply.json["message"] and reply.headers["retry-after"] == "1"
    stack.sql("update events.issues set state = 'failed' where election_id = %s", (election,))
    assert ask(events, token, key=key).status == 200


def test_token_is_stored_nowhere(stack, events):
    create_election(stack)
    claims, token = member(stack)
    issued = ask(events, token).json["token"]
    for schema in ("events", "elections"):
        for (table,) in stack.sql("select table_name from information_schema.tables where table_schema = %s", (schema,)):
            text = str(stack.sql(f"select string_agg(t::text, ' ') from {schema}.{table} t"))
            assert issued not in text and claims["kennitala"] not in text and claims["uid"] not in text, table


def test_token_kennitala_with_and_without_hyphen_is_one_person(stack, events):
    create_election(stack)
    claims = person()
    plain = stack.cloud.token(**claims)
    number = claims["kennitala"]
    hyphen = stack.cloud.token(**{**claims, "kennitala": f"{number[:6]}-{number[6:]}"})
    assert ask(events, hyphen).status == 200
    assert ask(events, plain).status == 409


def test_token_outside_the_window_is_403_and_nothing_published_404(stack, events):
    election = create_election(stack)
    _, token = member(stack)
    query = f"?election_id={election}"
    stack.sql("update elections.elections set scheduled_start = now() + interval '5 minutes' where id = %s", (election,))
    early = ask(events, token, query=query)
    assert early.status == 403
    assert events.get(f"/api/election{query}", token=token).json["status_message"].startswith("Scheduled")
    end_in_the_past(stack, election)
    assert ask(events, token, query=query).status == 403
    assert events.get(f"/api/election{query}", token=token).json["status_message"].startswith("Ended")
    assert ask(events, token, query=f"?election_id={some_uuid()}").status == 404
    assert ask(events, token, query="?election_id=nonsense").status == 404


def test_token_nothing_published_is_404_everywhere(own_stack):
    events = own_stack.service("events")
    own_stack.sql("update elections.elections set status = 'draft', published_at = null")
    _, token = member(own_stack)
    assert events.get("/api/election", token=token).status == 404
    assert ask(events, token).status == 404
    assert events.get("/api/results", token=token).status == 404
    assert events.get("/api/my-status", token=token).json == {"token_issued": False, "voted": False}


def test_token_for_an_election_without_yes_and_no_is_403(stack, events):
    election = create_election(stack, answers=["Anna", "Björn"])
    _, token = member(stack)
    assert ask(events, token, query=f"?election_id={election}").status == 403
    close_election(stack, election)


def test_tokens_of_two_elections_are_independent(stack, events, elections):
    one_id, two_id = create_election(stack), create_election(stack)
    _, token = member(stack)
    first = ask(events, token, query=f"?election_id={one_id}")
    second = ask(events, token, query=f"?election_id={two_id}")
    assert (first.status, second.status) == (200, 200)
    assert vote(elections, first.json["token"]).status == 201
    assert vote(elections, second.json["token"]).status == 201


@pytest.mark.parametrize("body", [{"replace": "yes"}, {"replace": 1}, {"replace": []}])
def test_token_replace_of_a_wrong_type_is_400(stack, events, body):
    create_election(stack)
    _, token = member(stack)
    reply = ask(events, token, body)
    assert reply.status == 400 and "replace" in reply.json["message"]


def test_my_token_is_400_with_a_hint(stack, events):
    _, token = member(stack)
    reply = events.get("/api/my-token", token=token)
    assert reply.status == 400 and reply.json["hint"]


@pytest.mark.parametrize("method, path", [("GET", "/api/election"), ("POST", "/api/request-token"), ("GET", "/api/my-status"),
                                          ("GET", "/api/my-token"), ("GET", "/api/results")])
def test_routes_want_a_proven_member(stack, events, method, path):
    assert events.call(method, path).status == 401
    assert events.call(method, path, token="nonsense").status == 401
    for claims, status in ((person(member=False), 403), (person(member=None), 403), (person(isMember="true", member=None), 403)):
        assert events.call(method, path, token=stack.cloud.token(**claims)).status == status
    without = person()
    del without["kennitala"]
    assert events.call(method, path, token=stack.cloud.token(**without)).status == 401
    bad = person(kennitala="123")
    assert events.call(method, path, token=stack.cloud.token(**bad)).status == 401
    old = stack.cloud.token(**person(), ttl_s=-60)
    assert events.call(method, path, token=old).status == 401
    foreign = stack.cloud.token(**person(), project="another-project")
    assert events.call(method, path, token=foreign).status == 401


def test_identity_token_altered_is_401(stack, events):
    _, token = member(stack)
    head, payload, signature = token.split(".")
    flipped = signature[:-10] + ("A" if signature[-10] != "A" else "B") + signature[-9:]
    for altered in (f"{head}.{payload}.{flipped}", f"{head}.{payload}.", f"{head}.{payload}",
                    f"eyJhbGciOiJub25lIn0.{payload}.", f"{head}.{payload}.{signature}.x"):
        remember_token(token)
        assert events.get("/api/election", token=altered).status == 401


def test_results_when_elections_is_away_keep_their_shape(stack, proxy):
    election = create_election(stack)
    way = proxy(stack.service("elections").port)
    events = stack.start("events", ELECTIONS_SERVICE_URL=way.url, ELECTIONS_TIMEOUT_MS="200")
    _, token = member(stack)
    end_in_the_past(stack, election)
    query = f"?election_id={election}"
    way.mode = "refuse"
    reply = events.get(f"/api/results{query}", token=token)
    assert reply.status == 200 and reply.json["results"] is None and reply.json["total_ballots"] == 0
    assert reply.json["error"] and reply.json["message"] and "fetched_at" not in reply.json
    way.mode = "pass"


@pytest.mark.parametrize("mode", ["refuse", "hang", "swallow"])
def test_token_when_elections_fails_is_503_and_the_member_may_ask_again(stack, elections, proxy, mode):
    election = create_election(stack)
    way = proxy(elections.port)
    events = stack.start("events", ELECTIONS_SERVICE_URL=way.url, ELECTIONS_TIMEOUT_MS="200", REQUEST_BUDGET_MS="1500",
                         STATEMENT_TIMEOUT_MS="1000")
    _, token = member(stack)
    way.mode = mode
    failed = ask(events, token)
    assert failed.status == 503 and failed.headers["retry-after"] and "token" not in failed.json
    assert events.get("/health").status == 200
    way.mode = "pass"
    way.cut()

    again = wait_until(lambda: (lambda reply: reply if reply.status == 200 else None)(ask(events, token)), timeout_s=15,
                       every_s=0.3)
    assert vote(elections, again.json["token"]).status == 201
    live = stack.sql("select count(*) from elections.voting_tokens where election_id = %s and not used and not revoked",
                     (election,))
    assert live == [(0,)]


def test_election_hanging_partner_delays_nobody_else(stack, elections, proxy):
    create_election(stack)
    way = proxy(elections.port)
    events = stack.start("events", ELECTIONS_SERVICE_URL=way.url, ELECTIONS_TIMEOUT_MS="400", WORKERS="8",
                         REQUEST_BUDGET_MS="2500", STATEMENT_TIMEOUT_MS="2000")
    way.mode = "hang"
    members = [member(stack)[1] for _ in range(4)]
    _, reader = member(stack)

    askers = [threading.Thread(target=ask, args=(events, token)) for token in members]
    for asker in askers:
        asker.start()
    replies = [events.get("/api/election", token=reader).status for _ in range(5)]
    for asker in askers:
        asker.join()
    assert replies == [200] * 5
    way.mode = "pass"
    way.cut()
