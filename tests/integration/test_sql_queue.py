"""Recording votes that waited in a queue: once per receipt, by the instant of arrival, never after the count."""

import uuid

import pytest

from test_sql_support import LOCK_NOT_AVAILABLE, Session, World, in_parallel, key, new_hash, new_slot, world  # noqa: F401

EARLIER = "2016-01-01T00:00:00.000Z"
NO_KEY = (None, None, None)


def record(world, token, receipt=None, answer="yes", arrived=None, idem=NO_KEY, session=None):
    """The code; arrived None is a second ago."""
    session = session or world.elections
    arrived = arrived or session.one("select (now() - interval '1 second')::text")[0]
    return session.call("elections.record_queued_vote", world.org, receipt or key(), token, answer, uuid.uuid4(), arrived, *idem)["code"]


def ask(world, receipt):
    return world.e("queued_vote_status", receipt)["code"]


def ballots(world, election):
    return world.root.one("select count(*) from elections.ballots where election_id = %s", election)[0]


def test_recorded_once_per_receipt(world):
    election = world.published()
    token, receipt = world.token(election), key()
    assert ask(world, receipt) is None
    assert [record(world, token, receipt) for _ in range(3)] == ["accepted"] * 3
    assert ask(world, receipt) == "accepted" and ballots(world, election) == 1
    assert record(world, token) == "used", "another message of the same token"
    assert world.cast(token)["code"] == "used"


def test_deliveries_side_by_side_are_one_vote(world):
    sessions = [Session("elections") for _ in range(4)]
    election = world.published()
    for _ in range(10):
        token, receipt = world.token(election), key()
        codes = in_parallel(*[lambda s=s: record(world, token, receipt, session=s) for s in sessions])
        assert set(codes) <= {"accepted", LOCK_NOT_AVAILABLE} and "accepted" in codes
    assert ballots(world, election) == 10
    for session in sessions:
        session.close()


def test_arrival_before_the_end_counts_until_the_count(world):
    election = world.published()
    first, second = world.token(election), world.token(election)
    arrived = world.elections.one("select now()::text")[0]
    world.finish(election)
    world.set(election, scheduled_end="clock_timestamp()")
    assert world.cast(first)["code"] == "ended"
    assert record(world, second, arrived=arrived) == "accepted", "the end passed while it waited"
    late = world.elections.one("select now()::text")[0]
    assert record(world, first, arrived=late) == "ended"
    assert world.results(election)["total_voters"] == 1


def test_nothing_is_recorded_after_the_count(world):
    election = world.published()
    token, receipt = world.token(election), key()
    arrived = world.elections.one("select now()::text")[0]
    world.act("close", election)
    before = world.results(election)
    assert record(world, token, receipt, arrived=arrived) in ("closed", "ended")
    assert ask(world, receipt) in ("closed", "ended"), "and its sender is told so"
    assert world.results(election) == before
    assert world.e("seal_verify", uuid.UUID(election))["code"] == "ok"


def test_clock_ahead_cannot_reach_a_window_that_has_not_begun(world):
    election = world.published(end="2999-01-01")
    token = world.token(election)
    world.set(election, scheduled_start="now() + interval '1 hour'")
    assert record(world, token, arrived="2998-01-01T00:00:00Z") == "not_started"


def test_closing_under_way_postpones_and_stores_nothing(world):
    election = world.published()
    token, receipt = world.token(election), key()
    closer = Session("postgres")
    closer.connection.autocommit = False
    closer.rows("select pg_advisory_xact_lock(elections.lock_key(%s))", election)
    arguments = (world.org, receipt, token, "yes", uuid.uuid4(), EARLIER, *NO_KEY)
    assert world.elections.sqlstate("elections.record_queued_vote", *arguments) == LOCK_NOT_AVAILABLE
    closer.connection.rollback()
    closer.close()
    assert ask(world, receipt) is None
    assert record(world, token, receipt) == "accepted"


@pytest.mark.parametrize("case", ["unknown", "bad_answer", "paused", "hidden", "expired", "replaced"])
def test_refusals_are_stored(world, case):
    election = world.published()
    slot = new_slot()
    token, receipt, answer, expected = world.token(election, slot=slot, issue=1), key(), "yes", case
    if case == "unknown":
        token = new_hash()
    elif case == "bad_answer":
        answer = "perhaps"
    elif case == "paused":
        world.act("pause", election)
    elif case == "hidden":
        world.act("hide", election)
        expected = "paused"
    elif case == "expired":
        world.root.rows("update elections.voting_tokens set expires_at = now() - interval '1 hour' where token_hash = %s", token)
    else:
        world.token(election, slot=slot, issue=2)
        expected = "unknown"
    assert record(world, token, receipt, answer) == expected == ask(world, receipt)
    assert ballots(world, election) == 0


def test_idempotency_joins_queue_and_direct_way(world):
    election = world.published()
    token, idem = world.token(election), (key(), key(), b"sealed")
    assert record(world, token, idem=idem) == "accepted"
    assert world.cast(token, idem=idem) == {"code": "replayed", "reply": b"sealed"}
    other = world.token(election)
    direct = (key(), key(), b"sealed")
    assert world.cast(other, idem=direct)["code"] == "accepted"
    assert record(world, other, idem=direct) == "accepted", "it is the same request"
    assert record(world, world.token(election), idem=(direct[0], key(), b"x")) == "mismatch"
    assert ballots(world, election) == 2


def test_tenants_do_not_see_each_others_receipts(world):
    other = World()
    token, receipt = world.token(world.published()), key()
    assert record(world, token, receipt) == "accepted"
    assert ask(other, receipt) is None
    assert record(other, token) == "unknown"
    other.close()


def test_expired_outcomes_go_a_few_at_a_time(world):
    for _ in range(10):
        record(world, new_hash())
    world.root.rows("update elections.queued_votes set expires_at = date_trunc('minute', now()) - interval '1 minute' where org_id = %s", world.org)
    record(world, new_hash())
    assert world.root.one("select count(*) from elections.queued_votes where org_id = %s", world.org) == (7,)
