"""The life of an election when several act at once, when nobody acts, and when parts fail (V-O6, V-A15, V-E5, V-E6)."""

import random
import secrets
import threading
import time

import pytest

from elections_support import Caller, manager, member, set_state, sign_in, superuser  # noqa: F401
from suite import person, wait_until
from voting import ORG, ballots, end_in_the_past, in_parallel, one


def stored_status(stack, election):
    rows = stack.sql("select status from elections.elections where id = %s", (election,))
    return rows[0][0] if rows else None


# --- several at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action,states", [("open", "draft"), ("close", "published"), ("pause", "published"), ("resume", "paused"),
                                           ("archive", "closed"), ("hide", "draft"), ("unhide", "hidden")])
def test_transition_many_at_once_happens_once(stack, action, states):
    operators = [sign_in(stack, roles=("admin",)) for _ in range(6)]
    election = set_state(stack, operators[0], states)
    replies = in_parallel([lambda operator=operator: operator.act(election, action) for operator in operators])
    assert sorted(reply.status for reply in replies) == [200] + [400] * 5
    rows = stack.sql("select success from elections.audit where election_id = %s and action = %s", (election, f"{action}_election"))
    assert sorted(row[0] for row in rows) == [False] * 5 + [True]
    times = stack.sql("select published_at, closed_at from elections.elections where id = %s", (election,))
    for operator in operators:
        operator.act(election, action)
    assert stack.sql("select published_at, closed_at from elections.elections where id = %s", (election,)) == times


def later(what):
    time.sleep(random.random() * 0.03)
    return what()


def test_interleavings_end_as_some_serial_order(stack):
    """open, patch, close, delete and votes at once, many times: nobody votes on a changed question (V-O6)."""
    operators = [sign_in(stack, roles=("superuser",), member=None) for _ in range(5)]  # five, so that none meets the limit of a minute
    seen = set()
    for _ in range(25):
        election = operators[0].create(question="before")
        people = [person() for _ in range(4)]
        voters = [Caller(operators[0].service, claims, token) for claims, token in zip(people, stack.cloud.tokens(people))]
        replies = in_parallel([
            lambda: later(lambda: operators[0].act(election, "open")),
            lambda: later(lambda: operators[1].admin("PATCH", election, body={"question": "after", "answers": ["a", "b"]})),
            lambda: later(lambda: operators[2].admin("DELETE", election)),
            lambda: later(lambda: operators[3].act(election, "close")),
            *(lambda voter=voter: later(lambda: voter.vote(election, "Já")) for voter in voters)])
        opened, patched, deleted, closed = (reply.status for reply in replies[:4])
        accepted = [reply.status for reply in replies[4:]].count(201)
        seen.add((opened, patched, deleted, closed, accepted > 0))
        order = [row[0] for row in stack.sql("select action from elections.audit where election_id = %s and success order by seq",
                                             (election,))]
        row = stack.sql("select question, status from elections.elections where id = %s", (election,))
        # The trail is the serial order, and replies and rows agree with it.
        assert (deleted == 200) == (row == []) == ("delete_election" in order)
        assert (opened == 200) == ("open_election" in order) and (closed == 200) == ("close_election" in order)
        if deleted == 200:
            assert order[-1] == "delete_election" and accepted == 0
            assert opened != 200 or "close_election" in order  # a published one is never removed
            assert stack.sql("select 1 from elections.ballots where election_id = %s", (election,)) == []
            continue
        assert row[0][0] == ("after" if "update_election" in order else "before")
        if "open_election" in order and "update_election" in order:
            assert order.index("update_election") < order.index("open_election") and accepted == 0  # "Já" is no option then
        assert row[0][1] == ("closed" if closed == 200 else "published" if opened == 200 else "draft")
        assert ballots(stack, election) == accepted
        if closed == 200:
            results = operators[4].admin("GET", election, "results")
            assert results.status == 200, results
            assert results.json["total_voters"] == accepted
    assert len(seen) > 3, "the calls hardly met; the test shows little"
    assert one(stack, "select ok from elections.audit_verify(%s)", (ORG,), user="elections") == (True,)


def test_patch_that_waited_for_the_opening_is_refused(stack, manager):
    """Two connections, one holding the row as open does: the patch is judged when it is written, not when it was sent."""
    election = manager.create(question="before")
    holder = stack.connect("elections", autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select code from elections.open_election(%s, 'other', 'c', %s, null, null)", (ORG, election))
        assert cursor.fetchone() == ("opened",)
        reply = []
        patch = threading.Thread(target=lambda: reply.append(manager.admin("PATCH", election, body={"question": "after"})))
        patch.start()
        time.sleep(0.3)
        assert not reply
        holder.commit()
    patch.join()
    holder.close()
    assert reply[0].status == 400 and reply[0].json["code"] == "NOT_DRAFT"
    assert manager.admin("GET", election).json["election"]["question"] == "before"


def test_delete_that_waited_for_the_opening_is_refused(stack, superuser):
    election = superuser.create()
    holder = stack.connect("elections", autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select code from elections.open_election(%s, 'other', 'c', %s, null, null)", (ORG, election))
        reply = []
        delete = threading.Thread(target=lambda: reply.append(superuser.admin("DELETE", election)))
        delete.start()
        time.sleep(0.3)
        holder.commit()
    delete.join()
    holder.close()
    assert reply[0].status == 400 and stored_status(stack, election) == "published"


def test_write_while_the_row_is_held_too_long_is_503_and_changes_nothing(stack, manager):
    service = stack.start("elections", LOCK_TIMEOUT_MS=200)
    election = manager.create()
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select 1 from elections.elections where id = %s for update", (election,))
        reply = manager.at(service).act(election, "open", key="k-1")
        assert reply.status == 503 and reply.headers["retry-after"] == "1" and reply.json["retryAfter"] == 1
        holder.rollback()
    holder.close()
    # The key is free again: the same call may be repeated, and then happens.
    assert manager.at(service).act(election, "open", key="k-1").status == 200


def test_vote_while_paused_is_refused_and_goes_on_after(stack, manager, member):
    election = manager.publish()
    manager.act(election, "pause")
    assert member.vote(election, "Já").json["code"] == "PAUSED"
    manager.act(election, "resume")
    assert member.vote(election, "Já").status == 201


def test_vote_window_is_inclusive_at_the_instant_of_arrival(stack, manager, member):
    election = manager.publish()
    stack.sql("update elections.elections set scheduled_start = now() + interval '1.5 seconds' where id = %s", (election,))
    assert member.vote(election, "Já").json["code"] == "NOT_STARTED"
    assert wait_until(lambda: (reply := member.vote(election, "Já")).status == 201 and reply, timeout_s=8, every_s=0.4)


# --- when nobody acts ------------------------------------------------------------------------------------------


def test_end_passed_closes_by_the_sweep_although_nobody_asks(stack, manager, member):
    election = manager.publish()
    assert member.vote(election, "Já").status == 201
    service = stack.start("elections", SWEEP_INTERVAL_S=1)
    end_in_the_past(stack, election)
    wait_until(lambda: stored_status(stack, election) == "closed", timeout_s=20)
    results = stack.sql("select total_voters from elections.results where election_id = %s", (election,))
    assert results == [(1,)]
    rows = stack.sql("select actor, success from elections.audit where election_id = %s and action = 'close_election'", (election,))
    assert rows == [("system", True)]
    service.wait_log(lambda line: line["message"] == "closed elections whose end had passed")


def test_end_passed_is_closed_by_the_first_who_asks(stack, member):
    """With no sweep, no operator and a new process: nothing has to run at the instant of the end."""
    service = stack.start("elections", SWEEP_INTERVAL_S=0)
    boss = sign_in(stack, service, roles=("superuser",))
    election = boss.publish()
    voter = member.at(service)
    assert voter.vote(election, "Já").status == 201
    end_in_the_past(stack, election)
    service.restart()
    listed = next(row for row in voter.list().json["elections"] if row["id"] == election)
    detail = voter.get(election).json["election"]
    assert listed["status"] == detail["status"] == "closed" and detail["closed_at"] == detail["scheduled_end"]
    late = sign_in(stack, service)
    assert late.vote(election, "Já").json["code"] == "ENDED"
    results = voter.results(election).json
    assert results["total_voters"] == 1 and results["status"] == "closed" and stored_status(stack, election) == "closed"
    # What could be read can never be followed by more voting (V-K12).
    assert boss.admin("PATCH", election, body={"voting_ends_at": "2100-01-01T00:00:00Z"}).status == 400
    assert boss.act(election, "resume").status == 400 and boss.act(election, "open").status == 400
    assert late.vote(election, "Já").status == 403


def test_end_passed_with_everybody_asking_at_once_counts_once(stack, manager, member):
    election = manager.publish()
    assert member.vote(election, "Já").status == 201
    end_in_the_past(stack, election)
    voters = [sign_in(stack) for _ in range(8)]
    replies = in_parallel([lambda voter=voter: voter.results(election) for voter in voters])
    assert {reply.status for reply in replies} <= {200, 503} and {str(reply.json["results"]) for reply in replies if reply.status == 200}
    good = [reply.json for reply in replies if reply.status == 200]
    assert all(results == good[0] for results in good)
    rows = stack.sql("select 1 from elections.audit where election_id = %s and action = 'close_election'", (election,))
    assert len(rows) == 1


def test_paused_past_its_end_is_closed_too(stack, manager, member):
    election = set_state(stack, manager, "paused")
    end_in_the_past(stack, election)
    assert member.get(election).json["election"]["status"] == "closed"
    assert manager.act(election, "resume").status == 400
    assert member.results(election).status == 200


def test_sweep_stops_at_once_with_the_service(stack):
    service = stack.start("elections", SWEEP_INTERVAL_S=3600)
    begun = time.monotonic()
    assert service.stop() == 0 and time.monotonic() - begun < 10


def test_sweep_outlives_a_database_that_is_away(stack, proxy):
    link = proxy(stack.postgres.port)
    service = stack.start("elections", SWEEP_INTERVAL_S=1, DATABASE_PORT=link.port)
    link.mode = "refuse"
    link.cut()
    service.wait_log(lambda line: line["message"] == "sweep failed", timeout_s=20)
    link.mode = "pass"
    boss = sign_in(stack, service, roles=("admin",))
    wait_until(lambda: service.get("/health/ready").status == 200, timeout_s=20)
    election = boss.publish(title="eftir hlé " + secrets.token_hex(4))
    end_in_the_past(stack, election)
    wait_until(lambda: stored_status(stack, election) == "closed", timeout_s=20)


# --- when parts fail -------------------------------------------------------------------------------------------


def test_vote_whose_answer_is_lost_is_told_on_retry(stack, proxy, manager, member):
    """The commit happened, the answer did not arrive: the retry under the same key gets the 201 (V-E10, V-K13)."""
    link = proxy(stack.postgres.port)
    service = stack.start("elections", SWEEP_INTERVAL_S=0, DATABASE_PORT=link.port, STATEMENT_TIMEOUT_MS=1000, REQUEST_BUDGET_MS=1500)
    election, key, voter = manager.publish(), secrets.token_hex(8), member.at(service)
    assert voter.get(election).status == 200  # keys are fetched, a connection is open
    link.mode = "swallow"
    assert voter.vote(election, "Já", key=key).status == 503
    link.mode = "pass"
    link.cut()
    reply = wait_until(lambda: (told := voter.vote(election, "Já", key=key)).status != 503 and told, timeout_s=20)
    assert reply.status == 201 and ballots(stack, election) == 1
