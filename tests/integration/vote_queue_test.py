"""The queue fallback: 202 is no acknowledgement of recording, and what the receipt says is true (seeds, phase 3).

The database is taken away with a proxy in front of it; the queue is the stand-in of pubsub.py, and once Google's
own emulator.
"""

import base64
import json
import secrets
import threading

import pytest

from elections_support import DOCUMENT
from pubsub import DEAD_SUBSCRIPTION, TOPIC, Emulator, StandIn, why_no_emulator
from suite import canary, wait_until
from voting import ORG, ballots, close_election, create_election, in_parallel, one, register, token_hash, vote, voting_token

ASYNC = {"Prefer": "respond-async"}
KEY = "a key of the queue, of thirty-two bytes or more"


@pytest.fixture
def queue():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def elections(stack, proxy, queue):
    """An instance whose database can be taken away: elections.database.mode."""
    database = proxy(stack.postgres.port)
    service = start(stack, queue, database)
    yield service


def start(stack, queue, database, **env):
    service = stack.start("elections", DATABASE_PORT=database.port, VOTE_QUEUE="on", PUBSUB_EMULATOR_HOST=queue.host,
                          **{"DATABASE_POOL_CONNECTION_TIMEOUT": 300, "VOTE_QUEUE_KEY": KEY, **env})
    service.database = database
    return service


def take_away(service):
    service.database.mode = "refuse"
    service.database.cut()


def give_back(service):
    service.database.mode = "pass"


def queued(service, token, answer="yes", key=None):
    """Votes until the reply is 202; its body. A vote whose connection was cut in the middle is in doubt and gets 503."""
    def attempt():
        reply = cast(service, token, answer, key)
        return reply if reply.status != 503 else None
    reply = wait_until(attempt, timeout_s=20)
    assert reply.status == 202, reply
    DOCUMENT.check("POST", "/api/vote", reply)
    canary(reply.json["receipt"])
    return reply.json


def cast(service, token, answer="yes", key=None, headers=ASYNC):
    more = {"X-Idempotency-Key": key} if key else {}
    return service.post("/api/vote", {"answer": answer}, token=token, headers={**headers, **more})


def answered(service, token, answer="yes", key=None, headers=ASYNC):
    """The reply of the database. For a second after a failure it may be busy (503), and votes that may be queued still are (202)."""
    return wait_until(lambda: (r := cast(service, token, answer, key, headers)).status not in (202, 503) and r, timeout_s=20)


def status(service, receipt):
    reply = service.get("/api/vote-status", token=receipt)
    DOCUMENT.check("GET", "/api/vote-status", reply)
    return reply


def settled(service, receipt):
    """What the receipt says once it says anything."""
    def ask():
        reply = status(service, receipt)
        return reply.json if reply.status == 200 and reply.json["status"] != "queued" else None
    return wait_until(ask, timeout_s=30, every_s=0.1)


def wait_for_ballots(stack, election, count):
    """One statement, because votes come in meanwhile; then both tables must agree."""
    wait_until(lambda: stack.sql("select count(*) >= %s from elections.ballots where election_id = %s", (count, election))[0][0],
               timeout_s=30)


# --- off, and for whom it is on -----------------------------------------------------------------------------------


def test_queue_is_off_by_default(stack, proxy):
    database = proxy(stack.postgres.port)
    service = stack.start("elections", DATABASE_PORT=database.port, DATABASE_POOL_CONNECTION_TIMEOUT=300)
    token = register(service, create_election(stack))
    database.mode = "refuse"
    database.cut()
    assert cast(service, token).status == 503
    assert service.get("/api/vote-status", token="ab" * 32).status == 404
    assert not any("vote_queue" in name or "pubsub" in name for name in service.metrics())


def test_queue_without_key_does_not_start(stack):
    service = stack.start("elections", healthy=False, VOTE_QUEUE="on")
    assert service.wait() != 0
    assert "VOTE_QUEUE_KEY" in service.log_text()


def test_client_that_does_not_understand_202_gets_503(stack, elections, queue):
    token = register(elections, create_election(stack))
    take_away(elections)
    for headers in ({}, {"Prefer": "return=minimal"}, {"Prefer": "respond-async-not"}):
        assert cast(elections, token, headers=headers).status == 503
    assert queue.published == []
    assert cast(elections, token, headers={"Prefer": "wait=10, Respond-Async"}).status in (202, 503)


def test_while_the_database_answers_nothing_is_queued(stack, elections, queue):
    election = create_election(stack)
    for _ in range(5):
        assert cast(elections, register(elections, election)).status == 201
    assert cast(elections, voting_token()).status == 404
    assert queue.published == [] and ballots(stack, election) == 5


# --- accepted, recorded -------------------------------------------------------------------------------------------


def test_vote_is_queued_told_and_recorded_once(stack, elections, queue):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(6)]
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens]
    assert len(set(receipts)) == 6
    reply = status(elections, receipts[0])
    assert reply.status == 503 and reply.headers["Retry-After"] == "5", "the database cannot be asked"
    assert ballots(stack, election) == 0
    give_back(elections)
    assert [settled(elections, receipt)["status"] for receipt in receipts] == ["recorded"] * 6
    assert ballots(stack, election) == 6
    assert all(answered(elections, token, headers={}).status == 409 for token in tokens)
    wait_until(lambda: queue.waiting() == [])
    assert elections.metric("vote_queue_done_total", outcome="recorded") == 6
    assert elections.metric("vote_queue_accepted_total", outcome="stored") == 6


def test_pool_exhausted_sends_votes_to_the_queue(stack, queue, proxy):
    """The other way a database cannot keep up: it answers, but every connection is taken."""
    service = start(stack, queue, proxy(stack.postgres.port), WORKERS=8, DATABASE_POOL_MAX=1, LOCK_TIMEOUT_MS=20000,
                    STATEMENT_TIMEOUT_MS=20000, REQUEST_BUDGET_MS=25000)
    election = create_election(stack)
    tokens = [register(service, election) for _ in range(8)]
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("lock table elections.participation in access exclusive mode")
    results = []
    first = threading.Thread(target=lambda: results.append(cast(service, tokens[0]).status))
    first.start()
    wait_until(lambda: service.metric("pg_pool_in_use") == 1)
    statuses = [reply.status for reply in in_parallel([lambda t=t: cast(service, t) for t in tokens[1:]])]
    assert set(statuses) == {202}
    holder.rollback()
    holder.close()
    first.join()
    assert results == [201]
    wait_for_ballots(stack, election, 8)
    assert ballots(stack, election) == 8


def test_message_tells_neither_token_nor_answer(stack, elections, queue):
    election = create_election(stack)
    tokens = {answer: register(elections, election) for answer in ("yes", "no", "abstain")}
    take_away(elections)
    for number, (answer, token) in enumerate(tokens.items()):
        queued(elections, token, answer, key=secrets.token_hex(16) if number else None)
    sealed = [base64.b64decode(data) for topic, data in queue.published if topic == TOPIC]
    assert len(sealed) >= 3 and len({len(data) for data in sealed}) == 1, "the length would tell"
    for data in sealed:
        for clear in (b"yes", b"abstain", ORG.encode(), election.encode(), *(t.encode() for t in tokens.values()),
                      *(token_hash(t).encode() for t in tokens.values())):
            assert clear not in data
    text = elections.log_text()
    assert not any(token in text or token_hash(token) in text for token in tokens.values())
    lines = [line for line in elections.logs() if line.get("route") in ("/api/vote", "/api/vote-status") and line["status"] < 400]
    assert lines and not any({"client", "caller", "correlation_id", "user_agent"} & line.keys() for line in lines)
    give_back(elections)
    wait_for_ballots(stack, election, 3)


# --- the same vote again ------------------------------------------------------------------------------------------


def test_messages_delivered_twice_are_recorded_once(stack, elections, queue):
    queue.repeat = 3
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(4)]
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens]
    give_back(elections)
    wait_until(lambda: queue.waiting() == [], timeout_s=30)
    assert ballots(stack, election) == 4
    assert [settled(elections, receipt)["status"] for receipt in receipts] == ["recorded"] * 4


def test_acknowledgement_lost_means_another_delivery_and_one_vote(stack, elections, queue):
    queue.refuse_acks, queue.ack_deadline_s = True, 0.1
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    receipt = queued(elections, token)["receipt"]
    give_back(elections)
    wait_until(lambda: elections.metric("vote_queue_done_total", outcome="recorded") >= 2, timeout_s=30)
    queue.refuse_acks = False
    wait_until(lambda: queue.waiting() == [], timeout_s=30)
    assert ballots(stack, election) == 1 and settled(elections, receipt)["recorded"] is True


def test_client_that_asks_again_directly_is_counted_once(stack, elections, queue):
    """The database comes back before the queue is worked off: the retry is recorded, the message finds it so."""
    election = create_election(stack)
    keyed, bare = register(elections, election), register(elections, election)
    take_away(elections)
    first = queued(elections, keyed, key="a-key-of-the-phone")
    second = queued(elections, bare)
    queue.mode = "fail"  # nothing is pulled
    give_back(elections)
    direct = answered(elections, keyed, key="a-key-of-the-phone")
    assert direct.status == 201 and direct.json["ballot_id"] != first["ballot_id"]
    assert answered(elections, bare).status == 201
    queue.mode = "pass"
    assert settled(elections, first["receipt"])["status"] == "recorded", "it is the same request"
    told = settled(elections, second["receipt"])
    assert (told["status"], told["code"]) == ("refused", "ALREADY_VOTED")
    assert ballots(stack, election) == 2


def test_direct_retry_after_recording_gets_the_stored_reply(stack, elections):
    token, key = register(elections, create_election(stack)), secrets.token_hex(12)
    take_away(elections)
    body = queued(elections, token, key=key)
    give_back(elections)
    settled(elections, body["receipt"])
    again = answered(elections, token, key=key)
    assert (again.status, again.json["ballot_id"], again.headers["Idempotent-Replayed"]) == (201, body["ballot_id"], "true")
    assert answered(elections, token, "no", key=key).status == 422


def test_two_answers_under_one_key_are_one_vote(stack, elections, queue):
    election = create_election(stack)
    token, key = register(elections, election), secrets.token_hex(12)
    take_away(elections)
    receipts = [queued(elections, token, answer, key)["receipt"] for answer in ("yes", "no")]
    give_back(elections)
    outcomes = sorted(settled(elections, receipt)["status"] for receipt in receipts)
    assert outcomes == ["recorded", "refused"] and ballots(stack, election) == 1


# --- the queue fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fail", "deny", "swallow"])
def test_queue_down_is_503_as_without_it(stack, elections, queue, mode):
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    queue.mode = mode
    for _ in range(3):
        reply = cast(elections, token)
        assert reply.status == 503 and reply.headers["Retry-After"] == "1"
    queue.mode = "pass"
    give_back(elections)
    # The retry is told the truth, also when a lost answer left the vote in the queue after all.
    final = wait_until(lambda: (r := vote(elections, token)).status != 503 and r, timeout_s=30)
    assert final.status in ((201, 409) if mode == "swallow" else (201,)), final
    wait_until(lambda: queue.waiting() == [], timeout_s=30)
    assert ballots(stack, election) == 1


def test_slow_queue_is_waited_for_within_bounds(stack, queue, proxy):
    service = start(stack, queue, proxy(stack.postgres.port), VOTE_QUEUE_TIMEOUT_MS=300)
    election = create_election(stack)
    token = register(service, election)
    take_away(service)
    queue.mode, queue.delay_s = "hang", 3
    assert cast(service, token).status == 503
    queue.delay_s = 0.05
    receipt = queued(service, token)["receipt"]
    give_back(service)
    queue.mode = "pass"
    assert settled(service, receipt)["status"] in ("recorded", "refused")
    wait_until(lambda: queue.waiting() == [], timeout_s=30)
    assert ballots(stack, election) == 1


# --- the worker fails ---------------------------------------------------------------------------------------------


def test_worker_killed_in_the_middle_of_recording(stack, elections, queue, proxy):
    queue.ack_deadline_s = 0.5
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(5)]
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens]
    # The answer of the record never reaches the worker; then it is killed.
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("lock table elections.queued_votes in access exclusive mode")
    give_back(elections)
    wait_until(lambda: stack.sql("select 1 from pg_stat_activity where usename = 'elections' and wait_event_type = 'Lock'"), timeout_s=20)
    elections.kill()
    holder.rollback()
    holder.close()
    other = start(stack, queue, proxy(stack.postgres.port))
    assert [settled(other, receipt)["status"] for receipt in receipts] == ["recorded"] * 5
    assert ballots(stack, election) == 5


def test_terminate_leaves_no_message_half_done(stack, elections, queue, proxy):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(8)]
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens]
    give_back(elections)
    assert elections.stop() == 0
    assert len(queue.waiting()) + len(set(queue.acknowledged)) == 8
    queue.deliver_now()
    other = start(stack, queue, proxy(stack.postgres.port))
    assert [settled(other, receipt)["status"] for receipt in receipts] == ["recorded"] * 8
    assert ballots(stack, election) == 8


def test_poison_is_put_aside_and_blocks_nobody(stack, elections, queue):
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    poison = [b"", b"no box", secrets.token_bytes(1600)]
    for data in poison:
        queue.publish(TOPIC, {"messages": [{"data": base64.b64encode(data).decode()}]})
    receipt = queued(elections, token)["receipt"]
    give_back(elections)
    assert settled(elections, receipt)["status"] == "recorded"
    wait_until(lambda: queue.waiting() == [], timeout_s=30)
    assert sorted(map(base64.b64decode, queue.waiting(DEAD_SUBSCRIPTION))) == sorted(poison)
    assert elections.metric("vote_queue_done_total", outcome="poison") == 3
    assert elections.alive()


def test_message_of_another_key_is_kept_for_who_has_it(stack, elections, queue, proxy):
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    receipt = queued(elections, token)["receipt"]
    elections.kill()
    other = start(stack, queue, proxy(stack.postgres.port), VOTE_QUEUE_KEY="another key, thirty-two bytes long as well")
    wait_until(lambda: len(queue.waiting(DEAD_SUBSCRIPTION)) == 1, timeout_s=30)
    assert other.get("/api/vote-status", token=receipt).status == 404
    assert ballots(stack, election) == 0
    other.stop()
    # The operator gives the key back and publishes what was put aside.
    data, = queue.waiting(DEAD_SUBSCRIPTION)
    queue.publish(TOPIC, {"messages": [{"data": data}]})
    right = start(stack, queue, proxy(stack.postgres.port))
    assert settled(right, receipt)["status"] == "recorded" and ballots(stack, election) == 1


# --- the window and the close -------------------------------------------------------------------------------------


def test_closed_before_recording_is_refused_and_said_so(stack, elections, queue):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(3)]
    assert cast(elections, tokens[0]).status == 201
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens[1:]]
    close_election(stack, election)
    counted = one(stack, "select total_voters, sealed from elections.results(%s, %s)", (ORG, election), user="elections")
    give_back(elections)
    for receipt in receipts:
        told = settled(elections, receipt)
        assert (told["status"], told["recorded"], told["code"]) == ("refused", False, "ENDED")
    assert one(stack, "select total_voters, sealed from elections.results(%s, %s)", (ORG, election), user="elections") == counted
    assert counted[0] == 1 == ballots(stack, election)
    assert one(stack, "select code from elections.seal_verify(%s, %s)", (ORG, election), user="elections")[0] == "ok"


def test_close_racing_with_the_worker_counts_what_was_told(stack, elections, queue):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(20)]
    take_away(elections)
    receipts = [queued(elections, token)["receipt"] for token in tokens]
    give_back(elections)
    wait_for_ballots(stack, election, 3)
    close_election(stack, election)
    told = [settled(elections, receipt) for receipt in receipts]
    recorded = sum(one_told["recorded"] for one_told in told)
    assert {one_told.get("code") for one_told in told if not one_told["recorded"]} <= {"ENDED"}
    total = one(stack, "select total_voters from elections.results(%s, %s)", (ORG, election), user="elections")[0]
    assert total == recorded == ballots(stack, election), "recorded and counted are the same votes"


@pytest.mark.parametrize("spoil,code", [
    (lambda stack, election, token: stack.sql("update elections.elections set status = 'paused' where id = %s", (election,)), "PAUSED"),
    (lambda stack, election, token: stack.sql("update elections.voting_tokens set expires_at = now() - interval '1 hour' where token_hash = %s",
                                              (token_hash(token),)), "TOKEN_EXPIRED"),
    (lambda stack, election, token: stack.sql("delete from elections.voting_tokens where token_hash = %s", (token_hash(token),)), None),
], ids=["paused", "expired", "unknown"])
def test_refusals_are_told_by_the_receipt(stack, elections, queue, spoil, code):
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    receipt = queued(elections, token)["receipt"]
    spoil(stack, election, token)
    give_back(elections)
    told = settled(elections, receipt)
    assert told["status"] == "refused" and told.get("code") == code and told["message"]
    assert ballots(stack, election) == 0


# --- receipts -----------------------------------------------------------------------------------------------------


def test_receipts_that_are_not_ours_are_not_looked_up(stack, elections):
    token = register(elections, create_election(stack))
    take_away(elections)
    receipt = queued(elections, token)["receipt"]
    flipped = receipt[:-1] + ("0" if receipt[-1] != "0" else "1")
    older = "00000000" + receipt[8:]
    for bad in (flipped, older, receipt[:-2], receipt + "00", "zz" * 32, "a" * 64):
        assert status(elections, bad).status == 404, "without the database, too"
    assert elections.get("/api/vote-status").status == 401
    assert elections.get(f"/api/vote-status?receipt={receipt}").status == 401
    give_back(elections)
    assert settled(elections, receipt)["status"] == "recorded"
    assert status(elections, receipt).headers["Cache-Control"].startswith("no-store")


def test_receipt_row_names_neither_voter_nor_ballot_and_expires(stack, elections):
    election = create_election(stack)
    token = register(elections, election)
    take_away(elections)
    body = queued(elections, token)
    give_back(elections)
    settled(elections, body["receipt"])
    rows = stack.sql("select to_jsonb(q)::text from elections.queued_votes q")
    for (row,) in rows:
        assert set(json.loads(row)) == {"org_id", "receipt", "outcome", "expires_at"}
        for value in (token_hash(token), body["ballot_id"], body["receipt"], election):
            assert value not in row
    stack.sql("update elections.queued_votes set expires_at = date_trunc('minute', now() - interval '2 minutes')")
    assert status(elections, body["receipt"]).json["status"] == "queued", "nothing is known any more"
    other = register(elections, election)
    take_away(elections)
    receipt = queued(elections, other)["receipt"]
    give_back(elections)
    settled(elections, receipt)
    assert stack.sql("select count(*) from elections.queued_votes where expires_at < now() - interval '1 minute'")[0][0] == max(0, len(rows) - 4)


# --- Google's emulator --------------------------------------------------------------------------------------------


@pytest.mark.timeout(420)
@pytest.mark.skipif(why_no_emulator() is not None, reason=str(why_no_emulator()))
def test_with_googles_emulator(stack, proxy):
    with Emulator() as emulator:
        service = start(stack, emulator, proxy(stack.postgres.port), VOTE_QUEUE_TIMEOUT_MS=4000)
        election = create_election(stack)
        tokens = [register(service, election) for _ in range(25)]
        emulator.publish(TOPIC, b"poison")
        take_away(service)
        receipts = [queued(service, token)["receipt"] for token in tokens]
        give_back(service)
        assert [settled(service, receipt)["status"] for receipt in receipts] == ["recorded"] * 25
        assert ballots(stack, election) == 25
        put_aside = wait_until(lambda: emulator.waiting(DEAD_SUBSCRIPTION), timeout_s=30)
        assert [base64.b64decode(data) for data in put_aside] == [b"poison"]
        assert emulator.waiting() == [], "everything is acknowledged"
