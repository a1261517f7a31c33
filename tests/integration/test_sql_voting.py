"""Registering tokens and casting votes: every code, held rows, parallel requests, tenants (V-A1 to V-A16, V-E2, V-E11, V-O3, V-O12)."""

import random
import uuid

import pytest

from test_sql_support import (LOCK_NOT_AVAILABLE, Session, World, in_parallel, key, new_hash, new_slot, world)  # noqa: F401

TEN_LONG = [f"{i} " + "ÞÆÐÖ ljósmóðir " * 13 for i in range(10)]


# --- register_token ------------------------------------------------------------------------------------------------


def test_register_current_election_when_none_named(world):
    election = world.published()
    reply = world.register()
    assert (reply["code"], reply["election_id"]) == ("registered", election)
    assert world.audit()[-1] == ("register_token", True, "s2s:events-1", "corr-4", "registered")


def test_register_no_election_at_all(world):
    assert world.register()["code"] == "no_election"
    assert world.register(str(uuid.uuid4()))["code"] == "no_election"
    assert world.audit()[-1][:2] == ("register_token", False)


@pytest.mark.parametrize(
    "arrange, code",
    [
        (lambda w: w.draft(), "not_published"),
        (lambda w: w.published(start="2999-01-01"), "not_started"),
        (lambda w: w.published(answers=["Jón", "Anna"]), "wrong_kind"),
        (lambda w: w.published(answers=["YES", "No"]), "registered"),
        (lambda w: w.published(answers=[{"id": "yes", "text": "Já"}, {"id": "no", "text": "Nei"}]), "registered"),
    ],
)
def test_register_state_of_election_decides(world, arrange, code):
    assert world.register(arrange(world))["code"] == code


@pytest.mark.parametrize("verb, code", [("pause", "not_published"), ("close", "ended"), ("hide", "no_election")])
def test_register_after_operator_action(world, verb, code):
    election = world.published()
    world.act(verb, election)
    assert world.register(election)["code"] == code


def test_register_end_passed_is_ended_though_nobody_closed(world):
    election = world.published(end="2999-01-01")
    world.finish(election)
    assert world.register(election)["code"] == "ended"
    assert world.register()["code"] == "ended"


def test_register_same_hash_twice_is_duplicate(world):
    election = world.published()
    first = world.token(election)
    assert world.register(election, token_hash=first)["code"] == "duplicate"


def test_register_hash_of_another_tenant_never_registers(world):
    other = World()
    first = world.token(world.published())
    election = other.published()
    assert other.register(election, token_hash=first)["code"] == "duplicate"
    assert world.cast(first)["code"] == "accepted"
    other.close()


def test_register_newer_issue_replaces_unused_token(world):
    election, slot = world.published(), new_slot()
    first = world.token(election, slot=slot, issue=1)
    second = world.token(election, slot=slot, issue=2)
    assert world.cast(first)["code"] == "unknown"
    assert world.e("token_status", first)["known"] is False
    assert world.cast(second)["code"] == "accepted"
    assert world.register(election, slot=slot, issue=3)["code"] == "voted"


def test_register_older_or_equal_issue_is_stale(world):
    election, slot = world.published(), new_slot()
    live = world.token(election, slot=slot, issue=5)
    assert world.register(election, slot=slot, issue=5)["code"] == "stale"
    assert world.register(election, slot=slot, issue=4)["code"] == "stale"
    assert world.register(election, slot=slot)["code"] == "stale"
    assert world.cast(live)["code"] == "accepted"


def test_register_after_member_vote_is_voted(world):
    election, slot = world.published(), new_slot()
    assert world.vote(election, slot)["code"] == "accepted"
    assert world.register(election, slot=slot, issue=1)["code"] == "voted"


@pytest.mark.parametrize(
    "end, asked, expected",
    [
        (None, None, "interval '24 hours'"), (None, "2999-01-01", "interval '24 hours'"),
        ("now() + interval '2 hours'", None, "interval '2 hours'"), ("now() + interval '2 hours'", "2999-01-01", "interval '2 hours'"),
    ],
)
def test_register_expiry_never_past_end_or_a_day(world, end, asked, expected):
    election = world.published()
    if end:
        world.set(election, scheduled_end=end)
    token = world.register(election, expires=asked)
    assert world.root.one(
        f"SELECT abs(extract(epoch FROM %s::timestamptz - (now() + {expected}))) < 60", token["expires_at"]
    ) == (True,)


def test_register_parallel_same_slot_one_live_token(world):
    election, slot = world.published(), new_slot()
    sessions = [Session("elections") for _ in range(4)]
    hashes = [new_hash() for _ in sessions]

    def job(session, token_hash, issue):
        return lambda: session.call(
            "elections.register_token", world.org, "k", token_hash, uuid.UUID(election), slot, issue, None, None)["code"]

    codes = in_parallel(*[job(s, h, i + 1) for i, (s, h) in enumerate(zip(sessions, hashes))])
    assert "registered" in codes and set(codes) <= {"registered", "stale", LOCK_NOT_AVAILABLE}
    assert world.root.one("SELECT count(*) FROM elections.voting_tokens WHERE election_id = %s AND NOT revoked", election) == (1,)
    assert [world.cast(h)["code"] for h in hashes].count("accepted") == 1
    for session in sessions:
        session.close()


# --- cast_token_vote -----------------------------------------------------------------------------------------------


def test_cast_token_accepted_once(world):
    election = world.published()
    token = world.token(election)
    assert world.cast(token, "YES")["code"] == "accepted"
    assert world.cast(token)["code"] == "used"
    assert world.root.rows("SELECT answer_id, answer_text FROM elections.ballots WHERE election_id = %s", election) == [("yes", "yes")]
    status = world.e("token_status", token)
    assert (status["known"], status["used"], status["question"]) == (True, True, "Question?")


def test_cast_token_stores_the_option_not_what_was_typed(world):
    election = world.published(answers=[{"id": "Yes", "text": "Já"}, {"id": "NO", "text": "Nei"}])
    assert world.cast(world.token(election), "no")["code"] == "accepted"
    assert world.root.rows("SELECT answer_id, answer_text FROM elections.ballots WHERE election_id = %s", election) == [("NO", "Nei")]


def test_cast_token_codes(world):
    election = world.published()
    token = world.token(election)
    assert world.cast(new_hash())["code"] == "unknown"
    assert world.cast(token, "maybe")["code"] == "bad_answer"
    world.act("hide", election)
    assert world.cast(token)["code"] == "paused"
    world.act("unhide", election)
    world.act("pause", election)
    assert world.cast(token)["code"] == "paused"
    world.act("resume", election)
    world.set(election, scheduled_start="now() + interval '1 hour'")
    assert world.cast(token)["code"] == "not_started"
    world.set(election, scheduled_start="NULL")
    world.root.rows("UPDATE elections.voting_tokens SET expires_at = now() WHERE token_hash = %s", token)
    assert world.cast(token)["code"] == "expired"
    world.act("close", election)
    assert world.cast(token)["code"] == "closed"
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (0,)


def test_cast_token_after_end_is_ended(world):
    election = world.published(end="2999-01-01")
    token = world.token(election)
    world.finish(election)
    assert world.cast(token)["code"] == "ended"
    assert world.results(election)["code"] == "ok"
    assert world.cast(token)["code"] == "ended"


def test_cast_token_instant_of_arrival_decides(world):
    election = world.published(end="2999-01-01")
    token = world.token(election)
    world.set(election, scheduled_end="now() - interval '2 seconds'")
    world.root.rows("UPDATE elections.voting_tokens SET expires_at = now() - interval '2 seconds' WHERE token_hash = %s", token)
    assert world.cast(token, waited=1000)["code"] == "ended"
    assert world.cast(token, waited=None)["code"] == "ended"
    assert world.cast(token, waited=-5000)["code"] == "ended"
    assert world.cast(token, waited=5000)["code"] == "accepted"


def test_cast_token_waiting_time_is_bounded(world):
    election = world.published(end="2999-01-01")
    token = world.token(election)
    world.set(election, scheduled_end="now() - interval '1 minute'")
    assert world.cast(token, waited=3_600_000)["code"] == "ended"


def test_cast_token_other_tenant_unknown(world):
    other = World()
    token = world.token(world.published())
    assert other.cast(token)["code"] == "unknown"
    assert other.e("token_status", token)["known"] is False
    assert world.cast(token)["code"] == "accepted"
    other.close()


def test_cast_token_one_person_one_ballot_over_both_paths(world):
    election, slot = world.published(), new_slot()
    token = world.token(election, slot=slot, issue=1)
    assert world.vote(election, slot)["code"] == "accepted"
    assert world.cast(token)["code"] == "used"
    other_slot = new_slot()
    assert world.cast(world.token(election, slot=other_slot, issue=1))["code"] == "accepted"
    assert world.vote(election, other_slot)["code"] == "used"
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (2,)


def test_cast_token_row_held_fails_at_once(world):
    election = world.published()
    token = world.token(election)
    world.root.connection.autocommit = False
    world.root.rows("SELECT 1 FROM elections.voting_tokens WHERE token_hash = %s FOR UPDATE", token)
    args = (world.org, token, "yes", uuid.uuid4(), 0, None, None, None)
    assert world.elections.sqlstate("elections.cast_token_vote", *args) == LOCK_NOT_AVAILABLE
    world.root.connection.rollback()
    world.root.connection.autocommit = True
    assert world.elections.call("elections.cast_token_vote", *args)["code"] == "accepted"


def test_votes_election_row_held_do_not_wait(world):
    election = world.published()
    token = world.token(election)
    world.root.connection.autocommit = False
    world.root.rows("SELECT 1 FROM elections.elections WHERE id = %s FOR UPDATE", election)
    world.elections.rows("SET lock_timeout = '200ms'")
    assert world.cast(token)["code"] == "accepted"
    assert world.vote(election)["code"] == "accepted"
    world.root.connection.rollback()
    world.root.connection.autocommit = True


def test_votes_lock_no_row_that_voters_share(world):
    """While a vote is uncommitted nothing but its own rows is locked or written (V-E17)."""
    election, token = world.published(), None
    token = world.token(election)
    voter = Session("elections")
    voter.connection.autocommit = False
    assert world.cast(token, session=voter)["code"] == "accepted"
    assert world.vote(election, session=voter)["code"] == "accepted"
    assert world.root.rows("SELECT id FROM elections.elections WHERE id = %s FOR UPDATE NOWAIT", election)
    assert world.root.rows("SELECT id FROM elections.organisations WHERE id = %s FOR UPDATE NOWAIT", world.org)
    assert world.root.rows("SELECT org_id FROM elections.audit_heads WHERE org_id = %s FOR UPDATE NOWAIT", world.org)
    voter.connection.rollback()
    voter.close()


def test_cast_token_parallel_same_token_one_ballot(world):
    election = world.published()
    sessions = [Session("elections") for _ in range(4)]
    for _ in range(10):
        token = world.token(election)
        codes = in_parallel(*[lambda s=s: world.cast(token, session=s)["code"] for s in sessions])
        assert codes.count("accepted") == 1 and set(codes) <= {"accepted", "used", LOCK_NOT_AVAILABLE}
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (10,)
    for session in sessions:
        session.close()


# --- idempotency of votes ------------------------------------------------------------------------------------------


def test_cast_token_idempotency_replays_and_refuses_another_request(world):
    election = world.published()
    token, idem, print_, = world.token(election), key(), key()
    first = world.cast(token, idem=(idem, print_, b"sealed reply"))
    assert (first["code"], first["reply"]) == ("accepted", b"sealed reply")
    again = world.cast(token, idem=(idem, print_, b"another reply"))
    assert (again["code"], again["reply"]) == ("replayed", b"sealed reply")
    other = world.cast(token, idem=(idem, key(), b"x"))
    assert (other["code"], other["reply"]) == ("mismatch", None)
    assert world.cast(token, idem=(key(), print_, b"x"))["code"] == "used"


def test_cast_token_idempotency_survives_closing(world):
    election = world.published()
    token, idem, print_ = world.token(election), key(), key()
    world.cast(token, idem=(idem, print_, b"sealed reply"))
    world.act("close", election)
    assert world.cast(token, idem=(idem, print_, b"x"))["code"] == "replayed"


def test_cast_refused_stores_no_idempotency(world):
    election = world.published()
    token, idem, print_ = world.token(election), key(), key()
    assert world.cast(token, "maybe", idem=(idem, print_, b"x"))["code"] == "bad_answer"
    assert world.cast(token, "yes", idem=(idem, print_, b"y"))["code"] == "accepted"


def test_cast_idempotency_expired_key_counts_as_new(world):
    election = world.published()
    idem = key()
    world.cast(world.token(election), idem=(idem, key(), b"x"))
    world.root.rows("UPDATE elections.idempotency SET expires_at = date_trunc('minute', now() - interval '1 hour') WHERE key = %s", idem)
    assert world.cast(world.token(election), idem=(idem, key(), b"y"))["code"] == "accepted"


def test_cast_idempotency_other_tenant_does_not_see_it(world):
    other = World()
    idem, print_ = key(), key()
    world.cast(world.token(world.published()), idem=(idem, print_, b"mine"))
    assert other.cast(other.token(other.published()), idem=(idem, print_, b"theirs"))["code"] == "accepted"
    other.close()


def test_cast_parallel_same_key_same_reply(world):
    election = world.published()
    sessions = [Session("elections") for _ in range(4)]
    for _ in range(5):
        voter, idem, print_ = new_slot(), key(), key()
        replies = in_parallel(*[
            lambda s=s: world.vote(election, voter, idem=(idem, print_, b"one reply"), session=s) for s in sessions
        ])
        taken = [r for r in replies if r != LOCK_NOT_AVAILABLE]
        assert [r["code"] for r in taken].count("accepted") == 1
        assert {r["reply"] for r in taken} == {b"one reply"}
    for session in sessions:
        session.close()


def test_cast_parallel_same_key_two_voters_one_vote(world):
    election = world.published()
    sessions = [Session("elections") for _ in range(4)]
    idem = key()
    replies = in_parallel(*[
        lambda s=s: world.vote(election, new_slot(), idem=(idem, key(), b"r"), session=s)["code"] for s in sessions
    ])
    assert replies.count("accepted") == 1 and set(replies) <= {"accepted", "mismatch", LOCK_NOT_AVAILABLE}
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (1,)
    for session in sessions:
        session.close()


# --- cast_member_vote ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "eligibility, member, admin, allowed",
    [
        ("members", True, False, True), ("members", False, True, False), ("members", False, False, False),
        ("admins", True, False, False), ("admins", False, True, True), ("admins", True, True, True),
        ("all", False, False, True), ("members", None, True, False), ("admins", True, None, False),
    ],
)
def test_member_vote_eligibility(world, eligibility, member, admin, allowed):
    election = world.published(eligibility=eligibility)
    reply = world.vote(election, member=member, admin=admin)
    assert reply["code"] == ("accepted" if allowed else "not_eligible")
    seen = world.e("get_member_election", uuid.UUID(election), new_slot(), member, admin)
    assert seen["code"] == ("ok" if allowed else "not_eligible")
    listed = world.e("list_member_elections", member, admin, None, 50, 0)
    assert listed["total"] == (1 if allowed else 0)


def test_member_vote_codes(world):
    assert world.vote(uuid.uuid4())["code"] == "not_found"
    assert world.vote(world.draft())["code"] == "not_found"
    single = world.published()
    multi = world.published(voting_type="multi-choice", max_selections=2, answers=["a", "b", "c"])
    assert world.vote(single, selections=[])["code"] == "empty"
    bad = world.vote(single, selections=["yes", "perhaps"])
    assert (bad["code"], bad["offending"]) == ("bad_answer", ["perhaps"])
    assert world.vote(single, selections=["yes", "no"])["code"] == "wrong_count"
    assert world.vote(multi, selections=["a", "b", "c"])["code"] == "too_many"
    doubled = world.vote(multi, selections=["a", "a"])
    assert (doubled["code"], doubled["offending"]) == ("duplicate_answer", ["a"])
    assert world.vote(multi, selections=["a", "Q", None])["offending"] == ["Q", None]
    voter = new_slot()
    assert world.vote(multi, voter, selections=["c", "a"])["code"] == "accepted"
    assert world.vote(multi, voter, selections=["b"])["code"] == "used"
    assert world.vote(single, selections=["yes"] * 2000)["code"] == "wrong_count"
    world.act("hide", single)
    assert world.vote(single)["code"] == "not_found"
    world.act("pause", multi)
    assert world.vote(multi, selections=["a"])["code"] == "paused"
    world.act("close", multi)
    assert world.vote(multi, selections=["a"])["code"] == "closed"
    world.act("archive", multi)
    assert world.vote(multi, selections=["a"])["code"] == "closed"
    later = world.published(start="2999-01-01")
    assert world.vote(later)["code"] == "not_started"
    over = world.published(end="2999-01-01")
    world.finish(over)
    assert world.vote(over)["code"] == "ended"


def test_member_vote_any_name_the_portal_derives(world):
    answers = [
        {"id": "a1", "answer_id": "x1", "text": "Anna", "answer_text": "Anna Jónsdóttir"}, {"answer_text": "Jón", "display_order": 1},
        "Þórunn", {"text": "Auð"}, {"answer_id": "only"},
    ]
    election = world.published(answers=answers)
    for name, stored in [("a1", ("a1", "Anna")), ("x1", ("a1", "Anna")), ("Anna", ("a1", "Anna")), ("Anna Jónsdóttir", ("a1", "Anna")),
                         ("Jón", ("Jón", "Jón")), ("Þórunn", ("Þórunn", "Þórunn")), ("Auð", ("Auð", "Auð")), ("only", ("only", "only"))]:
        before = world.root.rows("SELECT id::text, answer_id, answer_text FROM elections.ballots WHERE election_id = %s", election)
        assert world.vote(election, selections=[name])["code"] == "accepted", name
        after = world.root.rows("SELECT id::text, answer_id, answer_text FROM elections.ballots WHERE election_id = %s", election)
        assert [r[1:] for r in set(after) - set(before)] == [stored]


def test_member_vote_ten_long_options(world):
    election = world.published(answers=TEN_LONG, voting_type="multi-choice", max_selections=10)
    assert all(len(option) <= 200 for option in TEN_LONG)
    assert world.vote(election, selections=TEN_LONG)["code"] == "accepted"
    world.act("close", election)
    results = world.results(election)
    assert sorted(t["text"] for t in results["totals"]) == sorted(TEN_LONG)
    assert all(t["votes"] == 1 and t["percentage"] == 100 for t in results["totals"])
    assert (results["total_voters"], results["total_selections"]) == (1, 10)


def test_member_vote_ballot_ids_must_match_selections(world):
    election = world.published()
    state = world.elections.sqlstate(
        "elections.cast_member_vote", world.org, uuid.UUID(election), new_slot(), True, False, ["yes"], [uuid.uuid4(), uuid.uuid4()], 0,
        None, None, None)
    assert state == "22023"


def test_member_vote_parallel_same_voter_one_ballot(world):
    election = world.published()
    sessions = [Session("elections") for _ in range(4)]
    for _ in range(10):
        voter = new_slot()
        codes = in_parallel(*[lambda s=s: world.vote(election, voter, session=s)["code"] for s in sessions])
        assert codes.count("accepted") == 1 and set(codes) <= {"accepted", "used", LOCK_NOT_AVAILABLE}
    assert world.root.one("SELECT count(*) FROM elections.ballots WHERE election_id = %s", election) == (10,)
    for session in sessions:
        session.close()


def test_member_vote_never_waits_for_own_uncommitted_vote(world):
    election, voter = world.published(), new_slot()
    other = Session("elections")
    other.connection.autocommit = False
    assert world.vote(election, voter, session=other)["code"] == "accepted"
    world.elections.rows("SET statement_timeout = '2s'")
    assert world.elections.sqlstate(
        "elections.cast_member_vote", world.org, uuid.UUID(election), voter, True, False, ["yes"], [uuid.uuid4()], 0, None, None, None
    ) == LOCK_NOT_AVAILABLE
    other.connection.rollback()
    assert world.vote(election, voter)["code"] == "accepted"
    other.close()


# --- status --------------------------------------------------------------------------------------------------------


def test_slot_status_follows_the_slot(world):
    election, slot = world.published(), new_slot()

    def ask():
        s = world.e("slot_status", uuid.UUID(election), slot)
        return s["registered"], s["voted"], s["voted_at"] is not None, s["expires_at"] is not None

    assert ask() == (False, False, False, False)
    token = world.token(election, slot=slot, issue=1)
    assert ask() == (True, False, False, True)
    world.cast(token)
    assert ask() == (True, True, True, True)
    assert world.e("slot_status", uuid.UUID(election), slot)["voted_at"].endswith(":00.000Z")
    world.act("close", election)
    assert ask()[1:3] == (True, True)


def test_voted_in_lists_only_where_the_voter_voted(world):
    elections = [world.published() for _ in range(3)]
    slots = [new_slot() for _ in elections]
    world.vote(elections[0], slots[0])
    world.vote(elections[2], slots[2])
    asked = world.e("voted_in", [uuid.UUID(e) for e in elections], [s.hex() for s in slots])
    assert sorted(asked["elections"]) == sorted([elections[0], elections[2]])
    assert world.e("voted_in", [uuid.UUID(elections[0])], [slots[1].hex()])["elections"] == []


# --- tenants -------------------------------------------------------------------------------------------------------


def test_two_tenants_one_connection_random_order(world):
    """A reused connection never carries one tenant's rows into another's statement."""
    rng = random.Random(20261122)
    other = World()
    other.elections.close()
    other.elections = world.elections
    state = {}
    for w in (world, other):
        election = w.published()
        state[w] = {"election": election, "tokens": [w.token(election) for _ in range(10)], "votes": 0}
    for _ in range(60):
        mine, foreign = (world, other) if rng.random() < 0.5 else (other, world)
        own, alien = state[mine], state[foreign]
        step = rng.randrange(6)
        if step == 0 and own["tokens"]:
            assert mine.cast(own["tokens"].pop())["code"] == "accepted"
            own["votes"] += 1
        elif step == 1 and alien["tokens"]:
            assert mine.cast(alien["tokens"][0])["code"] == "unknown"
        elif step == 2:
            assert mine.vote(alien["election"])["code"] == "not_found"
        elif step == 3:
            assert mine.vote(own["election"])["code"] == "accepted"
            own["votes"] += 1
        elif step == 4:
            seen = mine.e("list_elections", None, True, None, 50, 0)
            assert [e["id"] for e in seen["elections"]] == [own["election"]]
            assert seen["elections"][0]["vote_count"] == own["votes"]
        else:
            assert mine.e("current_election")["election_id"] == own["election"]
            assert mine.act("close", alien["election"])["code"] == "not_found"
        assert mine.elections.one("SELECT coalesce(current_setting('app.org_id', true), '')") == ("",)
    other.elections = Session("elections")
    other.close()
