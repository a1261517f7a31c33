"""Elections and tokens for tests, made the way operators and members make them."""

import hashlib
import json
import secrets
import threading
import time
import uuid

from suite import canary, person, wait_until

ORG = "00000000-0000-4000-8000-000000000001"
ANSWERS = ["yes", "no", "abstain"]


def one(stack, statement, parameters=(), user="ekklesia_admin"):
    """The single row of a statement, as the administrator sees it."""
    rows = stack.sql(statement, parameters, user=user)
    assert len(rows) == 1, rows
    return rows[0]


def create_election(stack, title=None, start="now() - interval '1 minute'", end="now() + interval '1 hour'",
                    answers=None, open_it=True, **fields):
    """A new election, published unless open_it is False; its id."""
    fields = {"title": title or f"Election {secrets.token_hex(6)}", "question": "Shall we?",
              "answers": answers or ANSWERS, "eligibility": "members", **fields}
    code, election = one(stack, "select code, election from elections.create_election(%s, 'operator', 'test', %s)",
                         (ORG, json.dumps(fields)), user="elections")[:2]
    assert code == "created", (code, election)
    if open_it:
        code = one(stack, f"select code from elections.open_election(%s, 'operator', 'test', %s, {start}, {end})",
                   (ORG, election["id"]), user="elections")[0]
        assert code == "opened", code
    return election["id"]


def close_election(stack, election):
    code = one(stack, "select code from elections.close_election(%s, 'operator', 'test', %s)", (ORG, election),
               user="elections")[0]
    assert code == "closed", code


def end_in_the_past(stack, election):
    """Moves the election's window into the past, as time itself would."""
    stack.sql("update elections.elections set scheduled_start = now() - interval '2 hours',"
              " scheduled_end = now() - interval '1 second' where id = %s", (election,))


def voting_token():
    """A token nobody has registered yet; it may not be logged, nor its hash."""
    token = secrets.token_hex(32)
    canary(token, hashlib.sha256(token.encode()).hexdigest())
    return token


def token_hash(token):
    return hashlib.sha256(token.encode()).hexdigest()


def register(service, election=None, token=None, **more):
    """Registers a token for an election and gives it; more goes into the body."""
    token = token or voting_token()
    body = {"token_hash": token_hash(token), **more}
    if election:
        body["election_id"] = election
    reply = service.signed("POST", "/api/s2s/register-token", body)
    assert reply.status == 201, reply
    return token


def vote(service, token, answer="yes", key=None, **more):
    headers = {"X-Idempotency-Key": key} if key else {}
    return service.post("/api/vote", {"answer": answer}, token=token, headers=headers, **more)


def ballots(stack, election):
    """How many ballots and participations the election has; they must agree."""
    cast = stack.sql("select count(*) from elections.ballots where election_id = %s", (election,))[0][0]
    took_part = stack.sql("select count(*) from elections.participation where election_id = %s", (election,))[0][0]
    assert cast == took_part, (cast, took_part)
    return cast


def member(stack, **more):
    """A signed-in member: claims and ID token."""
    claims = person(**more)
    return claims, stack.cloud.token(**claims)


def some_uuid():
    return str(uuid.uuid4())


def in_parallel(calls):
    """Results of all calls, made at once on a thread each."""
    results = [None] * len(calls)

    def run(index):
        results[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def vote_until_told(elections, token, key=None):
    """As the portals do: 503 is tried again after the time it names."""
    def attempt():
        reply = vote(elections, token, key=key)
        return reply if reply.status != 503 else time.sleep(float(reply.headers["retry-after"]) / 4)
    return wait_until(attempt, timeout_s=30)
