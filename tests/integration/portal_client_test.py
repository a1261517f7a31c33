"""deploy/portal/ekklesia-client.js, run by Node, against the real services behind a network that fails."""

import json
import os
import re
import shutil
import subprocess

import pytest

from flaky import Flaky
from suite import evidence
from voting import ballots, create_election, in_parallel, register, voting_token

PEERS = os.path.join(evidence.ROOT, "tests", "peers")
NODE = shutil.which("node")
BUSY = b'{"error":"Service Temporarily Unavailable","message":"Busy.","retryAfter":1}'

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run_client(base_url, calls, **job):
    done = subprocess.run([NODE, os.path.join(PEERS, "portal_client.mjs")], input=json.dumps(
        {"baseUrl": base_url, "calls": calls, **job}), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def vote_call(token, answer="yes", act=None):
    return {"method": "POST", "path": "/api/vote", "body": {"answer": answer}, "act": act,
            "headers": {"Authorization": f"Bearer {token}"}}


@pytest.fixture
def elections(stack):
    return stack.service("elections")


@pytest.fixture
def flaky(elections):
    proxy = Flaky(f"127.0.0.1:{elections.port}", busy=BUSY)
    yield proxy
    proxy.close()


def ask(flaky, calls, **job):
    return run_client(f"http://{flaky.host}", calls, **job)


def test_client_rules_without_a_network_hold():
    done = subprocess.run([NODE, "--test", os.path.join(PEERS, "portal_client_rules.mjs")], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"# pass (\d+)", done.stdout).group(1)) >= 20


def test_client_vote_without_trouble_is_one_request(stack, elections, flaky):
    election = create_election(stack)
    result, = ask(flaky, [vote_call(register(elections, election))])
    assert result["body"]["success"] is True and len(flaky.seen) == 1
    assert ballots(stack, election) == 1


def test_client_vote_injected_503_is_stored_once_after_the_pause_it_names(stack, elections, flaky):
    election = create_election(stack)
    flaky.fail("/api/vote", times=1)  # two would use up the 3 s on a busy machine; the rules test has them
    result, = ask(flaky, [vote_call(register(elections, election))])
    assert result["body"]["success"] is True and len(flaky.seen) == 2
    assert ballots(stack, election) == 1
    assert result["began"][1] - result["began"][0] >= 990  # Retry-After: 1, less a timer's rounding


@pytest.mark.parametrize("fault", ["after", "cut"])
def test_client_vote_lost_reply_gives_the_first_ballot_id(stack, elections, flaky, fault):
    election = create_election(stack)
    flaky.fail("/api/vote", fault, times=2)
    result, = ask(flaky, [vote_call(register(elections, election))])
    assert len(result["began"]) == 3
    assert stack.sql("select id::text from elections.ballots where election_id = %s", (election,)) == [
        (result["body"]["ballot_id"],)]


def test_client_vote_never_answered_is_unknown_and_the_same_act_tells(stack, elections, flaky):
    election = create_election(stack)
    token = register(elections, election)
    flaky.fail("/api/vote", "after", times=3)
    lost, told = ask(flaky, [vote_call(token, act="press"), vote_call(token, act="press")])
    assert lost["error"]["unknown"] is True and lost["error"]["status"] == 0 and lost["error"]["attempts"] == 3
    assert told["body"]["success"] is True
    assert ballots(stack, election) == 1


def test_client_vote_hanging_service_is_given_up(stack, elections, flaky):
    election = create_election(stack)
    flaky.fail("/api/vote", "hang", times=1)
    result, = ask(flaky, [vote_call(register(elections, election))], attemptTimeoutMs=500)
    assert result["body"]["success"] is True and len(flaky.seen) == 2


def test_client_final_answers_are_asked_once(stack, elections, flaky):
    token = register(elections, create_election(stack))
    used, again, unknown, bad = ask(flaky, [
        vote_call(token), vote_call(token), vote_call(voting_token()), vote_call(token, "maybe")])
    assert used["body"]["success"] is True
    assert [result["error"]["status"] for result in (again, unknown, bad)] == [409, 404, 400]
    assert "already voted" in again["error"]["message"]
    assert all(result["error"]["attempts"] == 1 for result in (again, unknown, bad)) and len(flaky.seen) == 4


def test_client_hall_over_a_bad_network_every_vote_once(stack, elections, flaky):
    election = create_election(stack)
    tokens = in_parallel([lambda: register(elections, election)] * 40)
    for mode, chance in (("before", 0.15), ("after", 0.1), ("cut", 0.1)):
        flaky.fail("/api/vote", mode, chance=chance)
    results = ask(flaky, [vote_call(token) for token in tokens], parallel=True)
    stored = ballots(stack, election)
    acknowledged = sum("body" in result for result in results)
    unknown = sum(result.get("error", {}).get("unknown", False) for result in results)
    assert len(flaky.seen) > len(tokens)  # the network did fail
    assert acknowledged <= stored <= acknowledged + unknown
    flaky.rules.clear()
    again = ask(flaky, [vote_call(token) for token in tokens])
    assert all("body" in result or result["error"]["status"] == 409 for result in again)
    assert ballots(stack, election) == len(tokens)
