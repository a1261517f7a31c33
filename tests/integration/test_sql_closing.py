"""Closing, counting, sealing and secrecy (V-A5 to V-A16, V-B1 to V-B10, V-E6, V-F6, V-K12, V-O2, V-O11)."""

import collections
import secrets
import threading
import time
import uuid

import pytest

from test_sql_support import LOCK_NOT_AVAILABLE, Session, World, in_parallel, key, new_slot, world  # noqa: F401


def cast_many(world, election, count):
    """Votes over both paths; (slot, choice) of each in order of casting."""
    cast = []
    for i in range(count):
        slot, choice = new_slot(), secrets.choice(["yes", "no", "abstain"])
        if i % 2:
            assert world.cast(world.token(election, slot=slot, issue=1), choice, idem=(key(), key(), b"r"))["code"] == "accepted"
        else:
            assert world.vote(election, slot, [choice], idem=(key(), key(), b"r"))["code"] == "accepted"
        cast.append((slot, choice))
    return cast


def drain(world):
    """Close what other tests left behind."""
    while world.elections.call("elections.close_due", 1000, 0)["closed"]:
        pass


# --- results -------------------------------------------------------------------------------------------------------


def test_results_before_close_tell_nothing(world):
    election = world.published()
    cast_many(world, election, 4)
    for state in ("published", "paused"):
        if state == "paused":
            world.act("pause", election)
        reply = world.results(election)
        assert reply["code"] == "not_closed"
        assert all(reply[c] is None for c in ("totals", "total_voters", "total_selections", "winner", "tie", "counts", "sealed"))
        assert world.e("member_results", uuid.UUID(election), True, False)["code"] == "not_closed"
        assert world.v("results", uuid.UUID(election))["code"] == "not_closed"
        shown = world.e("get_election", uuid.UUID(election))["election"]
        assert shown["vote_count"] == 4 and "mismatch" not in shown["counts"] and "totals" not in shown
    assert world.results(world.draft())["code"] == "not_closed"
    assert world.results(str(uuid.uuid4()))["code"] == "not_found"


def test_results_count_one_election_only_with_zero_rows(world):
    election, other = world.published(answers=["a", "b", "c"]), world.published(answers=["a", "b", "c"])
    for choice in ["b", "b", "a"]:
        world.vote(election, selections=[choice])
    world.vote(other, selections=["c"])
    assert world.act("close", election)["code"] == "closed"
    reply = world.results(election)
    assert reply["code"] == "ok"
    assert reply["totals"] == [
        {"answer_id": "b", "text": "b", "votes": 2, "percentage": 66.67}, {"answer_id": "a", "text": "a", "votes": 1, "percentage": 33.33},
        {"answer_id": "c", "text": "c", "votes": 0, "percentage": 0},
    ]
    assert (reply["total_voters"], reply["total_selections"], reply["winner"]["answer_id"], reply["tie"]) == (3, 3, "b", None)
    assert reply["counts"]["mismatch"] == []


def test_results_tie_has_no_winner(world):
    election = world.published(answers=["a", "b", "c"])
    for choice in ["c", "a"]:
        world.vote(election, selections=[choice])
    world.act("close", election)
    reply = world.results(election)
    assert reply["winner"] is None and [t["answer_id"] for t in reply["tie"]] == ["a", "c"]


def test_results_without_votes(world):
    election = world.published()
    world.act("close", election)
    reply = world.results(election)
    assert (reply["winner"], reply["tie"], reply["total_voters"]) == (None, None, 0)
    assert [t["votes"] for t in reply["totals"]] == [0, 0, 0]


def test_results_multi_choice_percent_of_voters(world):
    election = world.published(answers=["a", "b", "c"], voting_type="multi-choice", max_selections=3)
    world.vote(election, selections=["a", "b", "c"])
    world.vote(election, selections=["a"])
    world.act("close", election)
    reply = world.results(election)
    assert (reply["total_voters"], reply["total_selections"]) == (2, 4)
    assert {t["answer_id"]: t["percentage"] for t in reply["totals"]} == {"a": 100, "b": 50, "c": 50}
    assert reply["counts"]["mismatch"] == []


def test_results_first_touch_after_end_closes(world):
    election = world.published(end="2999-01-01")
    world.vote(election)
    world.finish(election)
    shown = world.e("get_election", uuid.UUID(election))["election"]
    assert shown["status"] == "closed" and shown["closed_at"] == shown["scheduled_end"]
    reply = world.e("member_results", uuid.UUID(election), True, False)
    assert reply["code"] == "ok" and reply["total_voters"] == 1
    assert reply["election"]["closed_at"] == reply["election"]["scheduled_end"]
    assert world.audit(election)[-1] == ("close_election", True, "system", None, None)


def test_member_results_only_for_the_eligible(world):
    election = world.published(eligibility="members")
    world.act("close", election)
    ask = lambda *who: world.e("member_results", uuid.UUID(election), *who)["code"]  # noqa: E731
    assert (ask(True, False), ask(False, True), ask(False, False)) == ("ok", "not_eligible", "not_eligible")
    world.act("hide", election)
    assert ask(True, False) == "not_found"
    assert world.results(election)["code"] == "ok"


def test_results_parallel_first_touch_closes_once(world):
    election = world.published(end="2999-01-01")
    cast_many(world, election, 6)
    world.finish(election)
    sessions = [Session("elections") for _ in range(4)]
    replies = in_parallel(*[lambda s=s: s.call("elections.results", world.org, uuid.UUID(election)) for s in sessions])
    assert [r["code"] for r in replies] == ["ok"] * 4 and len({r["sealed"] for r in replies}) == 1
    assert [a[0] for a in world.audit(election)].count("close_election") == 1
    for session in sessions:
        session.close()


# --- closing while voting ------------------------------------------------------------------------------------------


def test_close_waits_for_vote_in_flight_and_counts_it(world):
    election = world.published()
    voter = Session("elections")
    voter.connection.autocommit = False
    assert world.vote(election, session=voter)["code"] == "accepted"
    done = []
    closer = Session("elections")
    thread = threading.Thread(target=lambda: done.append(closer.call("elections.close_election", world.org, "uid", None, uuid.UUID(election))))
    thread.start()
    while not world.root.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ExclusiveLock'"):
        time.sleep(0.01)
    assert not done
    # A vote that comes while closing waits is refused at once and told to retry.
    args = (world.org, uuid.UUID(election), new_slot(), True, False, ["yes"], [uuid.uuid4()], 0, None, None, None)
    assert world.elections.sqlstate("elections.cast_member_vote", *args) == LOCK_NOT_AVAILABLE
    voter.connection.commit()
    thread.join()
    assert done[0]["code"] == "closed"
    assert world.results(election)["total_voters"] == 1
    assert world.elections.call("elections.cast_member_vote", *args)["code"] == "closed"
    voter.close()
    closer.close()


def test_close_vote_rolled_back_in_flight_is_not_counted(world):
    election = world.published()
    voter = Session("elections")
    voter.connection.autocommit = False
    world.vote(election, session=voter)
    done = []
    closer = Session("elections")
    thread = threading.Thread(target=lambda: done.append(closer.call("elections.close_election", world.org, "uid", None, uuid.UUID(election))))
    thread.start()
    while not world.root.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ExclusiveLock'"):
        time.sleep(0.01)
    voter.connection.rollback()
    thread.join()
    assert world.results(election)["total_voters"] == 0
    voter.close()
    closer.close()


def test_close_among_many_votes_every_accepted_vote_counts(world):
    election = world.published()
    accepted = collections.Counter()
    others = set()
    stop = threading.Event()

    def vote_on():
        session = Session("elections")
        while not stop.is_set():
            try:
                code = world.vote(election, session=session)["code"]
            except Exception as error:  # noqa: BLE001 - the code is what the test is about
                code = error.pgcode
            if code == "accepted":
                accepted[threading.get_ident()] += 1
            else:
                others.add(code)
        session.close()

    threads = [threading.Thread(target=vote_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    while sum(accepted.values()) < 40:
        time.sleep(0.01)
    assert world.act("close", election)["code"] == "closed"
    reply = world.results(election)
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert others <= {"closed", LOCK_NOT_AVAILABLE} and "closed" in others
    assert reply["total_voters"] == reply["total_selections"] == sum(accepted.values())
    assert world.results(election) == reply
    assert world.e("seal_verify", uuid.UUID(election))["code"] == "ok"


def test_close_due_closes_all_tenants_after_grace(world):
    other = World()
    mine, theirs, open_one = world.published(end="2999-01-01"), other.published(end="2999-01-01"), world.published(end="2999-01-01")
    other.act("pause", theirs)
    drain(world)
    world.finish(mine)
    other.finish(theirs)
    assert world.elections.call("elections.close_due", 100)["closed"] == 0
    assert world.elections.call("elections.close_due", 100, 0)["closed"] == 2
    assert world.elections.call("elections.close_due", 100, 0)["closed"] == 0
    status = lambda e: world.root.one("SELECT status, closed_at = scheduled_end FROM elections.elections WHERE id = %s", e)  # noqa: E731
    assert status(mine) == status(theirs) == ("closed", True)
    assert status(open_one)[0] == "published"
    other.close()


def test_close_due_skips_an_election_in_use(world):
    election = world.published(end="2999-01-01")
    voter = Session("elections")
    voter.connection.autocommit = False
    world.vote(election, session=voter)
    drain(world)
    root = Session("postgres")
    root.rows("UPDATE elections.elections SET scheduled_end = now() - interval '1 minute' WHERE id = %s", election)
    assert world.elections.call("elections.close_due", 100, 0)["closed"] == 0
    voter.connection.commit()
    assert world.elections.call("elections.close_due", 100, 0)["closed"] == 1
    assert world.results(election)["total_voters"] == 1
    voter.close()
    root.close()


def test_close_due_honours_its_limit(world):
    elections = [world.published(end="2999-01-01") for _ in range(3)]
    drain(world)
    for election in elections:
        world.finish(election)
    assert world.elections.call("elections.close_due", 2, 0)["closed"] == 2
    assert world.elections.call("elections.close_due", 2, 0)["closed"] == 1


# --- secrecy -------------------------------------------------------------------------------------------------------


def test_after_close_nothing_pairs_voters_with_ballots(world):
    """Neither transaction ids, places, order, ids nor times lead from a participation or a token to a ballot (V-B6)."""
    election = world.published()
    cast = cast_many(world, election, 60)
    ids = {r[0] for r in world.root.rows("SELECT id FROM elections.ballots WHERE election_id = %s", election)}
    links = "SELECT count(DISTINCT b.xmin::text) FROM elections.ballots b JOIN elections.participation p ON p.xmin = b.xmin WHERE b.election_id = %s"
    assert world.root.one(links, election) == (60,)
    world.act("close", election)

    for table in ("ballots", "participation", "voting_tokens"):
        xmins = world.root.rows(f"SELECT DISTINCT xmin::text, cmax::text FROM elections.{table} WHERE election_id = %s", election)
        assert len(xmins) == 1, table
    assert world.root.one(
        "SELECT count(*) FROM elections.idempotency i JOIN elections.ballots b ON i.xmin = b.xmin WHERE b.election_id = %s", election
    ) == (0,)

    ballots = world.root.rows("SELECT id, answer_id, voted_at FROM elections.ballots WHERE election_id = %s ORDER BY ctid", election)
    assert {b[2] for b in ballots} == {None}
    assert not ids & {b[0] for b in ballots}
    by_place = [b[1] for b in ballots]
    assert collections.Counter(by_place) == collections.Counter(c for _, c in cast)
    assert by_place != [c for _, c in cast]

    voters = [bytes(r[0]) for r in world.root.rows("SELECT voter FROM elections.participation WHERE election_id = %s ORDER BY ctid", election)]
    assert voters == sorted(s for s, _ in cast)
    by_voter = [dict(cast)[v] for v in voters]
    by_id = [r[0] for r in world.root.rows("SELECT answer_id FROM elections.ballots WHERE election_id = %s ORDER BY id", election)]
    assert by_voter != by_place and by_voter != by_id
    hashes = [r[0] for r in world.root.rows("SELECT token_hash FROM elections.voting_tokens WHERE election_id = %s ORDER BY ctid", election)]
    assert hashes == sorted(hashes)
    assert world.root.one("SELECT count(*) FROM elections.voting_tokens WHERE election_id = %s AND slot IS NOT NULL", election) == (0,)


def test_shuffle_agrees_with_casting_order_only_by_chance(world):
    """Over several closings the first ballot cast lands anywhere."""
    places = set()
    for _ in range(6):
        election = world.published(answers=[f"option {i}" for i in range(12)])
        for i in range(12):
            world.vote(election, selections=[f"option {i}"])
        world.act("close", election)
        order = [r[0] for r in world.root.rows("SELECT answer_id FROM elections.ballots WHERE election_id = %s ORDER BY ctid", election)]
        places.add(order.index("option 0"))
        assert order != sorted(order, key=lambda o: int(o.split()[1]))
    assert len(places) > 1


def test_after_close_selections_of_one_voter_cannot_be_grouped(world):
    election = world.published(answers=["a", "b", "c", "d"], voting_type="multi-choice", max_selections=4)
    for _ in range(8):
        world.vote(election, selections=["a", "b", "c", "d"])
    world.act("close", election)
    order = [r[0] for r in world.root.rows("SELECT answer_id FROM elections.ballots WHERE election_id = %s ORDER BY ctid", election)]
    assert order != ["a", "b", "c", "d"] * 8
    assert len(world.root.rows("SELECT DISTINCT xmin::text FROM elections.ballots WHERE election_id = %s", election)) == 1


def test_no_column_of_a_ballot_is_stored_with_a_person(world):
    """Beside election and tenant, no value occurs both in a ballot and in any other table (V-B1, V-B2)."""
    election = world.published()
    cast_many(world, election, 6)
    for closed in (False, True):
        if closed:
            world.act("close", election)
        ids = [str(r[0]) for r in world.root.rows("SELECT id FROM elections.ballots WHERE election_id = %s", election)]
        for table in ("voting_tokens", "participation", "idempotency", "audit", "nonces", "results"):
            text = "\n".join(r[0] for r in world.root.rows(f"SELECT t::text FROM elections.{table} t"))
            assert not any(i in text for i in ids), table
        text = "\n".join(r[0] for r in world.root.rows("SELECT t::text FROM events.issues t UNION ALL SELECT t::text FROM events.idempotency t"))
        assert not any(i in text for i in ids)


def test_stored_times_of_votes_are_minutes(world):
    election = world.published()
    cast_many(world, election, 4)
    for sql in ("SELECT voted_at FROM elections.ballots WHERE election_id = %s", "SELECT voted_at FROM elections.participation WHERE election_id = %s"):
        assert all(r[0].second == r[0].microsecond == 0 for r in world.root.rows(sql, election))
    assert all(r[0].second == r[0].microsecond == 0 for r in world.root.rows("SELECT expires_at FROM elections.idempotency WHERE org_id = %s", world.org))


def test_audit_and_results_hold_no_voter_or_ballot(world):
    election = world.published()
    cast = cast_many(world, election, 6)
    world.act("close", election)
    text = "\n".join(r[0] for r in world.root.rows("SELECT t::text FROM elections.audit t WHERE org_id = %s", world.org))
    assert not any(slot.hex() in text for slot, _ in cast)


def test_has_voted_and_refusal_stay_right_after_close_and_anonymize(world):
    election, slot = world.published(), new_slot()
    world.vote(election, slot)
    assert world.e("anonymize_election", "uid-s", None, uuid.UUID(election))["code"] == "wrong_status"
    world.act("close", election)
    for _ in range(2):
        reply = world.e("anonymize_election", "uid-s", None, uuid.UUID(election))
        assert (reply["code"], reply["anonymized_count"]) == ("anonymized", 0)
    assert world.e("anonymize_election", "uid-s", None, uuid.uuid4())["code"] == "not_found"
    assert world.e("get_member_election", uuid.UUID(election), slot, True, False)["election"]["has_voted"] is True
    assert world.e("get_member_election", uuid.UUID(election), new_slot(), True, False)["election"]["has_voted"] is False
    assert world.vote(election, slot)["code"] == "closed"


def test_token_status_answers_after_close(world):
    election = world.published()
    used, unused = world.token(election), world.token(election)
    world.cast(used)
    world.act("close", election)
    assert [(s["known"], s["used"]) for s in (world.e("token_status", used), world.e("token_status", unused))] == [(True, True), (True, False)]
    assert (world.cast(used)["code"], world.cast(unused)["code"]) == ("used", "closed")


# --- seals and mismatches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE elections.ballots SET answer_id = 'no' WHERE ctid = (SELECT min(ctid) FROM elections.ballots WHERE election_id = %(e)s AND answer_id = 'yes')",
        "DELETE FROM elections.ballots WHERE ctid = (SELECT min(ctid) FROM elections.ballots WHERE election_id = %(e)s)",
        "INSERT INTO elections.ballots SELECT election_id, gen_random_uuid(), org_id, answer_id, answer_text FROM elections.ballots WHERE election_id = %(e)s LIMIT 1",
        "UPDATE elections.results SET totals = jsonb_set(totals, '{0,votes}', '99') WHERE election_id = %(e)s",
        "UPDATE elections.results SET total_voters = total_voters + 1 WHERE election_id = %(e)s",
        "UPDATE elections.results SET sealed = sha256('x') WHERE election_id = %(e)s",
    ],
)
def test_seal_finds_any_change(world, tamper):
    election = world.published()
    for _ in range(3):
        world.vote(election, selections=["yes"])
    world.act("close", election)
    assert world.e("seal_verify", uuid.UUID(election))["code"] == "ok"
    with world.root.connection.cursor() as cursor:
        cursor.execute(tamper, {"e": election})
        assert cursor.rowcount == 1
    assert world.e("seal_verify", uuid.UUID(election))["code"] == "broken"


def test_seal_of_an_open_election(world):
    assert world.e("seal_verify", uuid.UUID(world.published()))["code"] == "not_closed"
    assert world.e("seal_verify", uuid.uuid4())["code"] == "not_found"


def test_close_records_stuffing(world):
    election = world.published()
    world.vote(election)
    token = world.token(election)
    # What somebody with the owner's rights might try.
    world.root.rows(
        "INSERT INTO elections.ballots (election_id, id, org_id, answer_id, answer_text) VALUES (%s, gen_random_uuid(), %s, 'other', 'x')",
        election, world.org)
    world.root.rows("UPDATE elections.voting_tokens SET used = true WHERE token_hash = %s", token)
    world.act("close", election)
    counts = world.results(election)["counts"]
    assert (counts["issued"], counts["registered"], counts["used"], counts["cast"]) == (0, 1, 1, 1)
    assert sorted(counts["mismatch"]) == [
        "registered_without_issue", "selections_without_participation", "unknown_answers", "used_without_participation"]


def test_close_with_issues_has_no_mismatch(world):
    election, slot = world.published(), new_slot()
    claim = world.v("claim_issue", uuid.UUID(election), slot, False, 5000, uuid.uuid4())
    token = world.register(election, slot=slot, issue=claim["issue_no"])
    assert world.v("confirm_issue", uuid.UUID(election), slot, claim["issue_no"], token["expires_at"])["confirmed"]
    world.cast(token["hash"])
    world.act("close", election)
    assert world.results(election)["counts"] == {"issued": 1, "registered": 1, "replaced": 0, "used": 1, "cast": 1, "mismatch": []}
