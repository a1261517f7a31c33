"""Plays the operator: everything the suite keeps, against 500 votes whose choices only the test knows (V-O2, V-B1 to V-B9).

The operator has both schemas with all system columns, all log lines, the metrics, the list of members and even the true
order in which they voted, which no table and no line tells. Before the election is closed the owner of the database could
pair nearly all of them by transaction id: that the same attack succeeds then shows that it has teeth.
"""

import collections
import json
import math
import random
import secrets

import pytest

from elections_support import sign_in
from suite import canary, person, wait_until

MEMBERS, HOLDERS = 400, 100  # of a signed-in vote, and of a voting token
OPTIONS = ["yes", "no", "abstain"] + [f"Tillaga {number}" for number in range(37)]
SIGMAS = 5.5  # one false alarm in 10^7 guesses
SYSTEM = ", ".join(f"'{name}', t.{name}::text" for name in ("ctid", "xmin", "xmax", "cmin", "cmax"))
MAY_BE_SHARED = {"org_id", "election_id", "answer_id", "answer_text", "ctid"}  # ctid: a place, judged as an order


def tables(stack):
    return [f"{schema}.{name}" for schema, name in stack.sql(
        "select schemaname, tablename from pg_tables where schemaname in ('elections', 'events') order by 1, 2")]


def rows_of(stack, table):
    """All rows with their system columns, in the order of the heap."""
    return [row for (row,) in stack.sql(f"select to_jsonb(t) || jsonb_build_object({SYSTEM}) from {table} t order by t.ctid")]


def leaves(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str) and value:
        yield value


@pytest.fixture
def meeting(stack):
    """The services whose logs are read, the election, and (member, choice) in the order of voting."""
    rng = random.Random(secrets.randbits(64))
    elections = stack.start("elections")
    events = stack.start("events", ELECTIONS_SERVICE_URL=elections.url)
    boss = sign_in(stack, elections, member=None, roles=("member", "admin"))
    election = boss.publish(answers=OPTIONS)
    people = [person() for _ in range(MEMBERS + HOLDERS)]
    cast = []
    for number, (claims, token) in enumerate(zip(people, stack.cloud.tokens(people))):
        if number % 5:
            choice = rng.choice(OPTIONS)
            path, body, credential = f"/api/elections/{election}/vote", {"answer_ids": [choice]}, token
        else:
            choice = rng.choice(OPTIONS[:3])
            credential = patiently(events, f"/api/request-token?election_id={election}", {}, token, 200)["token"]
            canary(credential)
            path, body = "/api/vote", {"answer": choice}
        patiently(elections, path, body, credential, 201)
        cast.append((claims, choice))
    return {"elections": elections, "events": events, "boss": boss, "election": election, "cast": cast}


def patiently(service, path, body, token, status):
    """As a portal does: 503 is asked again, under the same key."""
    key = {"X-Idempotency-Key": secrets.token_hex(16)}

    def attempt():
        reply = service.post(path, body, token=token, headers=key)
        return reply if reply.status != 503 else None

    reply = wait_until(attempt, timeout_s=60, every_s=0.2)
    assert reply.status == status, reply
    return reply.json


def agreement(voters, ballots):
    """How many guesses "the nth of these voters cast the nth of these ballots" name the right choice."""
    return sum(choice == ballot for choice, ballot in zip(voters, ballots))


def chance(cast):
    """Mean and deviation of that for a random pairing of the same choices."""
    count = len(cast)
    sizes = collections.Counter(choice for _, choice in cast).values()
    mean = sum(size * size for size in sizes) / count
    pairs = sum((size * (size - 1)) ** 2 for size in sizes) / (count * (count - 1))
    cross = sum(a * a * b * b for a in sizes for b in sizes) - sum(size ** 4 for size in sizes)
    variance = mean + pairs + cross / (count * (count - 1)) - mean * mean
    return mean, math.sqrt(variance)


def own(rows, election):
    return [row for row in rows if row.get("election_id") == election]


def voter_orders(meeting, kept, places):
    """Every order of the voters that the operator can make, as their choices."""
    cast, orders = meeting["cast"], {}
    orders["as they voted"] = [choice for _, choice in cast]
    for name in ("uid", "kennitala"):
        orders[f"member list by {name}"] = [choice for _, choice in sorted(cast, key=lambda one: one[0][name])]
    for name, key in (("heap", None), ("voter", "voter"), ("xmin", "xmin")):
        rows = own(kept["elections.participation"], meeting["election"])
        rows = sorted(rows, key=lambda row: row[key]) if key else rows
        orders[f"participation by {name}"] = [places[row["voter"]] for row in rows]
    return orders


def ballot_orders(meeting, kept):
    rows = own(kept["elections.ballots"], meeting["election"])
    keys = {"heap": None, "id": "id", "xmin": "xmin", "cmin": "cmin"}
    return {f"ballots by {name}": [row["answer_id"] for row in (sorted(rows, key=lambda row: row[key]) if key else rows)]
            for name, key in keys.items()}


def linked_by_values(kept, election, lines):
    """For each ballot the values it shares with any row of another table or any log line, the allowed ones left out."""
    elsewhere = set()
    for table, rows in kept.items():
        if table != "elections.ballots":
            for row in rows:
                elsewhere |= set(leaves({key: value for key, value in row.items() if key != "ctid"}))
    for line in lines:
        elsewhere |= set(leaves(line))
    return [(ballot["answer_id"], frozenset(str(value) for key, value in ballot.items()
                                            if key not in MAY_BE_SHARED and value is not None and str(value) in elsewhere))
            for ballot in own(kept["elections.ballots"], election)]


def test_operator_links_none_of_500_votes_better_than_chance(stack, meeting):
    election, cast = meeting["election"], meeting["cast"]
    # One voted after the other, so transaction ids tell who is who: of use to the test, which plays an operator who knows more than ours.
    before = {table: rows_of(stack, table) for table in tables(stack)}
    took_part = sorted(own(before["elections.participation"], election), key=lambda row: int(row["xmin"]))
    assert len(took_part) == len(cast) == MEMBERS + HOLDERS
    places = {row["voter"]: choice for row, (_, choice) in zip(took_part, cast)}
    by_transaction = {row["xmin"]: row["answer_id"] for row in own(before["elections.ballots"], election)}
    assert all(by_transaction[row["xmin"]] == places[row["voter"]] for row in took_part), "the attack works on what it is made for"

    meeting["boss"].close(election)
    kept = {table: rows_of(stack, table) for table in tables(stack)}
    lines = meeting["elections"].logs() + meeting["events"].logs()
    mean, deviation = chance(cast)

    # 1. Orders of either side, in both directions.
    for voters_name, voters in voter_orders(meeting, kept, places).items():
        for ballots_name, ballots in ballot_orders(meeting, kept).items():
            assert len(voters) == len(ballots) == len(cast)
            for direction in (ballots, ballots[::-1]):
                hits = agreement(voters, direction)
                assert abs(hits - mean) < SIGMAS * deviation, (voters_name, ballots_name, hits, mean, deviation)

    # 2. Values that a ballot shares with anything kept elsewhere: the same for all ballots, so that they point at nobody.
    shared = linked_by_values(kept, election, lines)
    assert len({values for _, values in shared}) == 1, collections.Counter(values for _, values in shared).most_common(5)

    # 3. Time: no ballot has one, and participations know the minute only.
    assert all(row["voted_at"] is None for row in own(kept["elections.ballots"], election))
    assert all(row["voted_at"].partition("+")[0].endswith(":00") for row in own(kept["elections.participation"], election))

    # 4. Idempotency rows, which hold sealed replies: no transaction, place or length tells a choice.
    ballot_xmins = {row["xmin"] for row in own(kept["elections.ballots"], election)}
    assert not ballot_xmins & {row["xmin"] for row in kept["elections.idempotency"]}

    # 5. Log lines of votes are all alike but for their times; nothing else in the logs names a ballot or an answer.
    routes = ("/api/vote", "/api/elections/{id}/vote")
    for route in routes:
        alike = {json.dumps(without_times(line), sort_keys=True) for line in lines if line.get("route") == route and line["status"] == 201}
        assert len(alike) == 1, alike
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert "Tillaga" not in text
    old_ids = {row["id"] for row in own(before["elections.ballots"], election)}
    new_ids = {row["id"] for row in own(kept["elections.ballots"], election)}
    assert not old_ids & new_ids and not any(one in text for one in old_ids | new_ids)

    # 6. Metrics count routes, not answers.
    assert not any("Tillaga" in name for name in meeting["elections"].metrics())


def without_times(line):
    kept = {key: value for key, value in line.items() if key not in ("ts", "time", "latency_ms")}
    return {**kept, "httpRequest": {key: value for key, value in kept["httpRequest"].items() if key != "latency"}}


def test_chance_is_what_random_pairings_give():
    """The yardstick itself, against 4000 shuffles."""
    rng = random.Random(7)
    cast = [(None, rng.choice("aaaabbbc")) for _ in range(200)]
    choices = [choice for _, choice in cast]
    hits = [agreement(choices, rng.sample(choices, len(choices))) for _ in range(4000)]
    mean, deviation = chance(cast)
    found = sum(hits) / len(hits)
    spread = math.sqrt(sum((one - found) ** 2 for one in hits) / len(hits))
    assert abs(found - mean) < 5 * deviation / math.sqrt(len(hits)) and abs(spread - deviation) < 0.1 * deviation
