"""Closing that takes long: it has a limit of its own, keeps nobody else waiting, and ends as a whole or not at all."""

import contextlib
import threading

import pytest

from elections_support import manager, member, sign_in, superuser  # noqa: F401
from suite import person, wait_until
from voting import create_election, end_in_the_past, in_parallel, register, vote, voting_token, token_hash

# Less than a slow closing takes, so that only the limit of its own lets it end.
SHORT = {"STATEMENT_TIMEOUT_MS": 400, "REQUEST_BUDGET_MS": 800, "LOCK_TIMEOUT_MS": 300}
CLOSING = "select pid from pg_stat_activity where wait_event = 'PgSleep' and usename in ('elections', 'events')"


@contextlib.contextmanager
def slow(stack, election, seconds):
    """Closing that election takes so much longer, just before its audit row; what still runs at the end is stopped."""
    name = "slow_" + election.replace("-", "")
    stack.sql(f"create function public.{name}() returns trigger language plpgsql as "
              f"$$ begin perform pg_sleep({seconds}); return new; end $$; "
              f"create trigger {name} before insert on elections.results for each row when (new.election_id = '{election}') "
              f"execute function public.{name}()")
    try:
        yield
    finally:
        stack.sql(f"select pg_terminate_backend(pid) from ({CLOSING}) closing")
        stack.sql(f"drop trigger {name} on elections.results; drop function public.{name}()")


def status(stack, election):
    return stack.sql("select status from elections.elections where id = %s", (election,))[0][0]


def begin(what):
    """The thread and, once it has ended, what the call gave."""
    replies = []
    thread = threading.Thread(target=lambda: replies.append(what()))
    thread.start()
    return thread, replies


def test_close_takes_longer_than_any_other_statement_may(stack, manager, member):
    service = stack.start("elections", **SHORT, SWEEP_INTERVAL_S=0)
    election = manager.publish()
    assert member.vote(election, "Já").status == 201
    with slow(stack, election, 1.5):
        reply = manager.at(service).act(election, "close", key="close-1")
    assert reply.status == 200 and reply.json["election"]["status"] == "closed"
    assert manager.at(service).act(election, "close", key="close-1").json == reply.json
    assert member.results(election).json["total_voters"] == 1
    # The limit was that statement's alone: the connection it ran on has the usual one again.
    other = manager.create()
    holder = stack.connect(autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("select 1 from elections.elections where id = %s for update", (other,))
        assert [manager.at(service).admin("PATCH", other, body={"title": "x"}).status for _ in range(4)] == [503] * 4
    holder.close()


def test_close_beyond_its_own_limit_is_503_and_nothing_has_happened(stack, manager, member):
    service = stack.start("elections", CLOSE_TIMEOUT_MS=700, SWEEP_INTERVAL_S=0)
    election = manager.publish()
    assert member.vote(election, "Já").status == 201
    with slow(stack, election, 30):
        reply = manager.at(service).act(election, "close", key="close-1")
    assert reply.status == 503 and reply.headers["retry-after"]
    assert status(stack, election) == "published"
    assert sign_in(stack).vote(election, "Nei").status == 201
    assert manager.at(service).act(election, "close", key="close-1").status == 200, "the same call may be repeated"
    assert member.results(election).json["total_voters"] == 2


@pytest.mark.parametrize("ask", ["member", "operator", "service", "archive", "events"])
def test_first_to_ask_after_the_end_has_the_time_closing_takes(stack, manager, member, ask):
    elections, events = (stack.start(name, **SHORT) for name in ("elections", "events"))
    election = manager.publish(answers=["yes", "no", "abstain"])
    assert member.vote(election, "yes").status == 201
    end_in_the_past(stack, election)
    operator = stack.cloud.token(**person(roles=("admin",)))
    with slow(stack, election, 1.5):
        reply = {"member": lambda: member.at(elections).results(election),
                 "operator": lambda: manager.at(elections).admin("GET", election, "results"),
                 "archive": lambda: manager.at(elections).act(election, "archive"),
                 "service": lambda: elections.signed("GET", f"/api/s2s/results?election_id={election}"),
                 "events": lambda: events.get(f"/api/admin/elections/{election}/results", token=operator)}[ask]()
    assert reply.status == 200, reply
    assert status(stack, election) == ("archived" if ask == "archive" else "closed")


def test_events_close_takes_longer_than_any_other_statement_may(stack):
    events = stack.start("events", **SHORT)
    election = create_election(stack)
    with slow(stack, election, 1.5):
        reply = events.post(f"/api/admin/elections/{election}/close", token=stack.cloud.token(**person(roles=("admin",))))
    assert reply.status == 200 and reply.json["status"] == "closed"


def test_while_one_election_closes_everything_else_goes_on(stack, manager, superuser, member):
    """Votes, registrations, new drafts and other closings, and who asks for the result is told to come back."""
    service = stack.start("elections")  # three workers, three connections
    closing, other, third = (manager.publish(answers=["yes", "no", "abstain"]) for _ in range(3))
    token = register(service, closing)
    with slow(stack, closing, 60):
        closer, replies = begin(lambda: superuser.at(service).act(closing, "close"))
        wait_until(lambda: stack.sql(CLOSING))
        voters = [sign_in(stack, service) for _ in range(12)]
        assert in_parallel([lambda voter=voter: voter.vote(other, "yes").status for voter in voters]) == [201] * 12
        assert vote(service, register(service, other)).status == 201
        assert manager.at(service).admin("PATCH", other, body={"title": "Nýr"}).status == 200
        assert manager.at(service).act(third, "close").status == 200
        # In the one being closed: refused for now, not queued.
        for refused in (member.at(service).vote(closing, "yes"), vote(service, token),
                        service.signed("POST", "/api/s2s/register-token", {"token_hash": token_hash(voting_token()), "election_id": closing}),
                        manager.at(service).act(closing, "close")):
            assert refused.status == 503 and refused.headers["retry-after"], refused
        assert member.at(service).results(closing).status == 403, "not closed, until it is"
        assert not replies, "all this was while it closed"
        stack.sql(f"select pg_cancel_backend(pid) from ({CLOSING}) closing")
        closer.join()
    assert replies[0].status == 503 and status(stack, closing) == "published"
    assert member.vote(closing, "yes").status == 201 and vote(service, token).status == 201


def test_readers_of_a_result_being_counted_leave_room_for_votes(stack, manager):
    """Many ask for a result while it is counted: each is told to come back, and votes elsewhere find a connection."""
    service = stack.start("elections")
    ended, other = manager.publish(), manager.publish()
    end_in_the_past(stack, ended)
    readers, voters = [sign_in(stack, service) for _ in range(4)], [sign_in(stack, service) for _ in range(6)]
    with slow(stack, ended, 60):
        first, replies = begin(lambda: sign_in(stack, service).results(ended))
        wait_until(lambda: stack.sql(CLOSING))
        statuses = in_parallel([lambda reader=reader: reader.results(ended).status for reader in readers]
                               + [lambda voter=voter: voter.vote(other, "Já").status for voter in voters])
        assert statuses == [503] * 4 + [201] * 6 and not replies
        stack.sql(f"select pg_cancel_backend(pid) from ({CLOSING}) closing")
        first.join()
    assert sign_in(stack, service).results(ended).status == 200


def test_sweep_closes_what_takes_long_one_at_a_time(stack, manager, member):
    service = stack.start("elections", **SHORT, SWEEP_INTERVAL_S=1)
    large, small = manager.publish(), manager.publish()
    assert member.vote(large, "Já").status == 201
    with slow(stack, large, 1.5):
        for election in (large, small):
            end_in_the_past(stack, election)
        stack.sql("update elections.elections set scheduled_end = now() - interval '1 minute' where id = %s", (large,))
        wait_until(lambda: status(stack, large) == status(stack, small) == "closed", timeout_s=30)
    ended = stack.sql("select count(distinct xmin::text) from elections.results where election_id in (%s, %s)", (large, small))
    assert ended == [(2,)], "two transactions: the small one and the audit trail did not wait for the large one's end"
    assert not [line for line in service.logs() if line["message"] == "sweep failed"]


def test_stop_does_not_wait_for_a_long_closing(stack, manager, member):
    """What the sweep is closing goes on in the database, as any statement whose caller is gone does."""
    election = manager.publish()
    assert member.vote(election, "Já").status == 201
    with slow(stack, election, 9):
        end_in_the_past(stack, election)
        service = stack.start("elections", SWEEP_INTERVAL_S=1)
        wait_until(lambda: stack.sql(CLOSING), timeout_s=30)
        assert service.stop(timeout_s=20) == 0
        wait_until(lambda: status(stack, election) == "closed", timeout_s=30)
    assert member.results(election).json["total_voters"] == 1
