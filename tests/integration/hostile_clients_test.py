"""Clients that hold connections: slow heads, bodies and reads, idle and half-open ones, giant and endless bodies. Honest
clients are served meanwhile, nothing piles up, and everything is given back. The large numbers are in tests/soak."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak"))

from hostile import WAYS, Crowd, Honest  # noqa: E402
from suite import wait_until  # noqa: E402
from voting import ballots, create_election, register, vote  # noqa: E402

CROWD = 60
VOTES = 12


@pytest.fixture(name="elections")
def fixture_elections(stack):
    return stack.start("elections", READ_TIMEOUT_MS=1500, IDLE_TIMEOUT_MS=1500, ACCOUNT_CHECK="off")


def descriptors(service):
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_hostile_crowd_honest_voters_are_served_and_all_is_given_back(stack, elections, way):
    election = create_election(stack)
    tokens = [register(elections, election) for _ in range(VOTES)]
    before = descriptors(elections)
    with Crowd(elections.port, way, CROWD) as crowd:
        wait_until(lambda: crowd.opened >= CROWD)
        wait_until(lambda: crowd.ended > 0 or descriptors(elections) >= before + CROWD // 2)
        held = crowd.ended == 0
        with Honest(lambda: elections.get("/health").status == 200) as honest:
            assert [vote(elections, token).status for token in tokens] == [201] * VOTES
            # The server lets go of whoever holds on, whatever it is doing; who reads slowly does not see it yet.
            wait_until(lambda: crowd.ended > 0 or held and descriptors(elections) <= before + 3, timeout_s=60)
            wait_until(lambda: honest.served >= 20, timeout_s=60)
        assert honest.refused == []
    assert ballots(stack, election) == VOTES
    # The database's idle connections come and go; the crowd's are all gone.
    wait_until(lambda: descriptors(elections) <= before + 3, timeout_s=60)
    assert elections.alive()
    stuck = stack.sql("select count(*) from pg_stat_activity where state like 'idle in transaction%%'")
    assert stuck == [(0,)]
