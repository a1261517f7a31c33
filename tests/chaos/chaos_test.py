"""A short evening under fire, and whether the harness would notice: see README.md. Long ones are `make chaos`."""

import pytest

from harness import Run, mutant_run
from mutants import MUTANTS

SEED = 20261128


@pytest.mark.timeout(300)
def test_votes_under_fire_are_kept_exactly_once():
    run = Run(20, SEED, race_s=6.0, votes=200, closings=2, faults=8)()
    run.report()
    assert not run.findings.violations
    made = run.findings.made
    # A check that was never made proves nothing.
    for name in ("an acknowledged ballot is stored as acknowledged", "a replay gets the same answer", "tally = recount",
                 "no vote after the close was acknowledged", "a replay settles what was in doubt", "canaries nowhere"):
        assert made[name] > 0, name
    assert run.facts["votes_stored"] >= 200 and run.facts["elections_closed"] >= 2


# What each is known by; it may break more than that.
KNOWN_BY = {
    "synchronous_commit=off": {"an acknowledged voter took part", "an acknowledged ballot is stored as acknowledged",
                               "a voter is acknowledged one ballot at most", "answers are stored as acknowledged"},
    "uniqueness dropped": {"a voter is acknowledged one ballot at most"},
    "two transactions": {"ballots per voter are one at most"},
    "409 on replay": {"a replay gets the same answer"},
    "close without waiting": {"tally = recount", "tally = what was acknowledged", "counts add up"},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    run = mutant_run(name, SEED)
    broken = {what for what, _ in run.findings.violations}
    assert broken & KNOWN_BY[name], broken
