"""Every pair of actions on one election, the first held open on its connection while the second arrives (V-O6, V-E2 to V-E6, V-A16).

Whatever the two are, the election ends as if one had come after the other, or the second was told to come back (55P03) and did nothing.
What either order gives is not written down here: it is what the same two do one after the other.
"""

import threading
import time
import uuid

import psycopg2
import pytest

from test_sql_support import LOCK_NOT_AVAILABLE, Session, new_hash, new_slot, world  # noqa: F401

ACTIONS = ("open", "question", "title", "end", "close", "pause", "resume", "archive", "hide", "delete", "vote", "register", "results")
STATES = ("draft", "published", "paused", "voted in", "ended", "closed")


def election_in(world, state):
    if state == "draft":
        return world.draft()
    election = world.published(end="2999-01-01")
    if state in ("voted in", "ended"):
        assert world.vote(election)["code"] == "accepted"
    if state in ("paused", "closed"):
        world.act({"paused": "pause", "closed": "close"}[state], election)
    if state == "ended":
        world.finish(election)
    return election


def call(world, session, election, action):
    """What the action answers: its code, or the SQLSTATE it failed with."""
    identity, by = uuid.UUID(election), (world.org, f"uid-{action}", "corr")
    try:
        if action == "vote":
            return world.vote(election, session=session)["code"]
        if action == "register":
            return session.call("elections.register_token", world.org, "events-1", new_hash(), identity, new_slot(), 1, None, "corr")["code"]
        if action == "results":
            return session.call("elections.results", world.org, identity)["code"]
        if action == "open":
            return session.call("elections.open_election", *by, identity, None, None)["code"]
        if action in ("question", "title", "end"):
            fields = {"question": {"question": "Changed?", "answers": ["yes", "no", "more"]}, "title": {"title": "Changed"},
                      "end": {"scheduled_end": "2998-01-01T00:00:00Z"}}[action]
            return session.call("elections.update_election", *by, identity, fields)["code"]
        return session.call(f"elections.{action}_election", *by, identity)["code"]
    except psycopg2.Error as error:
        return error.pgcode


def observed(world, election):
    """All that is left of it, without what differs between any two elections."""
    row = world.root.rows("SELECT status, question, title LIKE 'Changed', hidden, extract(year FROM scheduled_end), published_at IS NULL,"
                          " closed_at IS NULL FROM elections.elections WHERE id = %s", election)
    counts = tuple(world.root.one(f"SELECT count(*) FROM elections.{table} WHERE election_id = %s", election)[0]
                   for table in ("ballots", "participation", "voting_tokens", "results"))
    counted = world.root.rows("SELECT total_voters, total_selections, counts ->> 'mismatch' FROM elections.results WHERE election_id = %s", election)
    trail = sorted((action, success) for action, success, *_ in world.audit(election))
    return row, counts, counted, trail


def serial(world, known, state, *actions):
    """The answers and what is left when one comes after the other; looked up once."""
    if (state, *actions) not in known:
        election = election_in(world, state)
        answers = [call(world, world.elections, election, action) for action in actions]
        known[state, *actions] = answers, observed(world, election)
    return known[state, *actions]


def overlap(world, sessions, election, first, second, ending):
    """Both answers; the first's transaction ends when the second has ended or waits for it."""
    holder, other = sessions
    pid = other.connection.info.backend_pid
    holder.connection.autocommit = False
    answers = [call(world, holder, election, first), None]

    def run():
        answers[1] = call(world, other, election, second)
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not world.root.rows("SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", pid):
        time.sleep(0.001)
    getattr(holder.connection, ending)()
    thread.join()
    holder.connection.autocommit = True
    return answers


@pytest.mark.parametrize("state,ending", [*((state, "commit") for state in STATES), *((state, "rollback") for state in ("published", "voted in", "ended"))])
def test_every_pair_ends_as_one_after_the_other(world, state, ending):
    sessions, known, met = [Session("elections"), Session("elections")], {}, set()
    for first in ACTIONS:
        for second in ACTIONS:
            election = election_in(world, state)
            answers = overlap(world, sessions, election, first, second, ending)
            left = observed(world, election)
            if ending == "rollback":
                legal = [([answers[0], *serial(world, known, state, second)[0]], serial(world, known, state, second)[1])]
                nothing = serial(world, known, state)[1]
            else:
                there, back = serial(world, known, state, first, second), serial(world, known, state, second, first)
                legal = [there, (back[0][::-1], back[1])]
                nothing = serial(world, known, state, first)[1]
            if answers[1] == LOCK_NOT_AVAILABLE:
                assert left == nothing, (first, second)
                met.add("refused")
            else:
                assert (answers, left) in legal, (first, second, answers, left, legal)
                met.add("done")
    assert met == {"refused", "done"} or state in ("draft", "closed")
    assert world.e("audit_verify")["ok"] is True
    for session in sessions:
        session.close()


def test_end_moved_while_it_passed_is_not_closed_by_who_waited(world):
    """The operator was in time and is told so: who found the old end passed, and waited for the row, looks again."""
    election = world.published(end="2999-01-01")
    world.set(election, scheduled_end="now() + interval '1.5 seconds'")
    holder, reader = Session("elections"), Session("elections")
    holder.connection.autocommit = False
    assert call(world, holder, election, "end") == "updated"
    while not world.root.one("SELECT elections.due(e) FROM elections.elections e WHERE e.id = %s", election)[0]:
        time.sleep(0.01)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call(world, reader, election, "results")))
    thread.start()
    while thread.is_alive() and not world.root.rows("SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                                                    reader.connection.info.backend_pid):
        time.sleep(0.001)
    assert not answers, "it waits for the operator"
    holder.connection.commit()
    thread.join()
    assert answers == ["not_closed"]
    assert world.root.one("SELECT status, extract(year FROM scheduled_end) FROM elections.elections WHERE id = %s", election) == ("published", 2998)
    assert world.vote(election)["code"] == "accepted"
    holder.close()
    reader.close()
