"""Judges a run: what the journal says was promised against what the database holds.

Each check has a name, and a run reports how often each was made and what it found. A check that was never made proves
nothing, so the report shows the number.
"""

import collections
import hashlib
import hmac
import json
import os
import struct
import subprocess

ORG = "00000000-0000-4000-8000-000000000001"
DOCUMENTED = {  # services/elections/README.md, services/events/README.md
    "token-vote": {201, 400, 401, 403, 404, 409, 422, 429, 503},
    "member-vote": {201, 400, 401, 403, 404, 409, 422, 429, 503},
    "issue": {200, 400, 401, 403, 404, 409, 422, 429, 503},
    "results": {200, 400, 401, 403, 404, 429, 503},
    "close": {200, 400, 401, 403, 404, 409, 422, 429, 503},
}
VOTES = ("token-vote", "member-vote")


def slot_of(voter_key, election, kennitala):
    """As libcommon/service/account.h: HMAC-SHA256 over fields, each with its length before it."""
    fields = (b"slot", ORG.encode(), election.encode(), kennitala.encode())
    text = b"".join(struct.pack(">Q", len(field)) + field for field in fields)
    return hmac.new(voter_key.encode(), text, hashlib.sha256).digest()


class Findings:
    def __init__(self):
        self.made = collections.Counter()
        self.violations = []

    def check(self, name, holds, what=""):
        self.made[name] += 1
        if not holds:
            self.violations.append((name, str(what()) if callable(what) else str(what)))
        return holds


def identity(call):
    return call.get("voter"), call.op, call.get("token"), call.get("answer"), call.get("key")


def ballot_of(call):
    body = call.body
    return body.get("ballot_id") or ",".join(body.get("ballot_ids", []))


class Votes:
    """All calls that vote, by voter and by attempt (same path, token, answer and key)."""

    def __init__(self, calls):
        self.by_voter = collections.defaultdict(lambda: collections.defaultdict(list))
        for call in calls:
            if call.op in VOTES:
                self.by_voter[call.get("voter")][identity(call)].append(call)

    def in_doubt(self):
        """Attempts some call of which got no promise, and none a 201; keyed ones first."""
        doubtful = []
        for attempts in self.by_voter.values():
            for attempt, calls in attempts.items():
                if any(not call.definite for call in calls) and not any(call.status == 201 for call in calls):
                    doubtful.append(attempt)
        return sorted(doubtful, key=lambda attempt: attempt[4] is None)

    def outcome(self, voter):
        """(answer, ballot id or None, token or None) of the voter's one vote, or None; after all doubt is settled."""
        keyless = None
        for attempt, calls in self.by_voter[voter].items():
            for call in calls:
                if call.status == 201:
                    return attempt[3], ballot_of(call), attempt[2]
            if attempt[4] is None and any(not call.definite for call in calls) and calls[-1].status == 409:
                keyless = attempt[3], None, attempt[2]
        return keyless


def shows_numbers(body):
    """events answers 200 without numbers while elections is away."""
    return isinstance(body, dict) and any(body.get(name) for name in ("results", "totals", "total_ballots", "total_voters", "winner"))


# --- the journal alone ----------------------------------------------------------------------------------------


def check_answers(findings, calls):
    for call in calls:
        if call.status is None:
            continue
        findings.check("every answer is a documented one",
                       call.status in DOCUMENTED[call.op] and isinstance(call.body, dict), lambda c=call: c)


def check_votes(findings, votes):
    for voter, attempts in votes.by_voter.items():
        accepted = [call for calls in attempts.values() for call in calls if call.status == 201]
        findings.check("a voter is acknowledged one ballot at most", len({ballot_of(call) for call in accepted}) <= 1,
                       lambda v=voter, a=accepted: f"{v}: {a}")
        if not accepted:
            continue
        first = min(accepted, key=lambda call: call.answered)
        for attempt, calls in attempts.items():
            for call in calls:
                if call.sent > first.answered and call.definite:
                    check_after(findings, call, first, attempt)


def check_after(findings, call, first, attempt):
    """What may be answered to a call sent after its voter got a 201."""
    same = identity(first)
    if attempt == same and attempt[4] is not None:
        findings.check("a replay gets the same answer", call.status == 201 and call.body == first.body,
                       lambda: f"{call} after {first}")
    elif attempt[4] is not None and attempt[4] == same[4] and attempt[:3] == same[:3]:
        findings.check("another vote under the same key is 422", call.status == 422, lambda: f"{call} after {first}")
    else:
        findings.check("a second vote is refused", 400 <= call.status < 500, lambda: f"{call} after {first}")


def check_tokens(findings, calls):
    """A token that was shown votes, unless a later request of its member may have replaced it."""
    shown, issues = {}, collections.defaultdict(list)
    for call in calls:
        if call.op == "issue":
            issues[call.get("voter")].append(call)
            if call.status == 200:
                shown[call.body["token"]] = call
    for call in calls:
        if call.op != "token-vote" or not call.definite:
            continue
        issue = shown[call.get("token")]
        replaced = any(other is not issue and (other.answered is None or other.answered > issue.sent)
                       and other.sent < call.answered for other in issues[call.get("voter")])
        findings.check("a token that was shown is known", call.status != 404 or replaced, lambda c=call: c)


def check_closing(findings, calls, events, votes):
    """When an election may have ended, and when its end was acknowledged."""
    may, told = {}, {}
    for event in events:
        if event["e"] in ("window", "ends"):
            election, at = event["election"], event.get("at", event["t"])
            may[election] = min(may.get(election, at), at)
    for call in calls:
        if call.op == "close":
            may[call.get("election")] = min(may.get(call.get("election"), call.sent), call.sent)
    for call in calls:
        shows = call.op == "results" and shows_numbers(call.body)
        if call.op == "results" and call.status is not None:
            findings.check("no total before the end",
                           not shows or call.answered > may.get(call.get("election"), float("inf")), lambda c=call: c)
        if shows or (call.op == "close" and call.status in (200, 400)):
            told[call.get("election")] = min(told.get(call.get("election"), call.answered), call.answered)
    for voter, attempts in votes.by_voter.items():
        end = told.get(voter.split("/")[0], float("inf"))
        for calls_of_one in attempts.values():
            begun = min(call.sent for call in calls_of_one)
            for call in calls_of_one:
                if call.sent > end:
                    findings.check("no vote after the close was acknowledged", call.status != 201 or begun < end,
                                   lambda c=call: c)


# --- against the database -------------------------------------------------------------------------------------


def check_doubtful(findings, world, votes):
    """Before anybody replays: more than what was promised is stored only where a promise is outstanding."""
    promised, doubtful = collections.Counter(), collections.Counter()
    for voter, attempts in votes.by_voter.items():
        calls = [call for calls_of_one in attempts.values() for call in calls_of_one]
        if any(call.status == 201 for call in calls):
            promised[voter.split("/")[0]] += 1
        elif any(not call.definite for call in calls):
            doubtful[voter.split("/")[0]] += 1
    for election, stored in world.sql("select election_id::text, count(*) from elections.ballots group by 1"):
        findings.check("what is in doubt is stored once or not at all",
                       promised[election] <= stored <= promised[election] + doubtful[election],
                       f"{election}: {stored} stored, {promised[election]} promised, {doubtful[election]} in doubt")


def check_stored(findings, world, votes, people, closed):
    """After every doubt is settled: the votes that were promised, each once, and nothing else."""
    expected = collections.defaultdict(dict)
    for voter in votes.by_voter:
        election, uid = voter.split("/")
        vote = votes.outcome(voter)
        said = [call for calls in votes.by_voter[voter].values() for call in calls
                if call.status == 409 and isinstance(call.body, dict) and call.body.get("code") == "ALREADY_VOTED"]
        if said:
            findings.check("who is told to have voted has voted", vote is not None, lambda v=voter, s=said: f"{v}: {s[0]}")
        if vote is not None:
            expected[election][uid] = vote
    elections = {row[0] for row in world.sql("select id::text from elections.elections where status <> 'draft'")}
    for election in elections:
        check_election(findings, world, election, expected[election], people, election in closed)
    return expected


def check_election(findings, world, election, expected, people, is_closed):
    stored = dict(world.sql("select id::text, answer_id from elections.ballots where election_id = %s", (election,)))
    slots = {bytes(row[0]) for row in world.sql("select voter from elections.participation where election_id = %s", (election,))}
    rows = world.sql("select count(*) from elections.participation where election_id = %s", (election,))[0][0]
    key = world.secret["voter-key"]
    wanted = {slot_of(key, election, people[uid]): uid for uid in expected}
    # One check a vote, so that the report counts votes.
    for slot, uid in wanted.items():
        findings.check("an acknowledged voter took part", slot in slots, f"{election}/{uid}: {expected[uid]}")
    findings.check("nobody else took part", not slots - set(wanted), lambda: f"{election}: {len(slots - set(wanted))} slots more")
    findings.check("ballots per voter are one at most", rows == len(slots) == len(stored),
                   f"{election}: {len(stored)} ballots, {rows} participations of {len(slots)} voters")
    tally = collections.Counter(stored.values())
    cast = collections.Counter(answer for answer, _, _ in expected.values())
    findings.check("answers are stored as acknowledged", tally == cast, f"{election}: stored {dict(tally)}, cast {dict(cast)}")
    if not is_closed:  # closing gives ballots new ids
        for answer, ballot, _ in expected.values():
            if ballot is not None:
                findings.check("an acknowledged ballot is stored as acknowledged", stored.get(ballot) == answer,
                               f"{election}: {ballot} {answer}, stored {stored.get(ballot)}")
    used = {row[0] for row in world.sql("select token_hash from elections.voting_tokens where election_id = %s and used", (election,))}
    spent = {hashlib.sha256(token.encode()).hexdigest() for _, _, token in expected.values() if token}
    findings.check("the tokens spent are those that voted", used == spent,
                   f"{election}: {len(used - spent)} too many, {len(spent - used)} too few")


def check_result(findings, world, election, expected, body):
    """The count that is told, against a recount and against what was promised."""
    told = {row["answer_id"]: row["votes"] for row in body["results"]}
    recount = dict(world.sql("select answer_id, count(*) from elections.ballots where election_id = %s group by 1", (election,)))
    findings.check("tally = recount", {k: v for k, v in told.items() if v} == recount, f"{election}: told {told}, stored {recount}")
    findings.check("tally = what was acknowledged", sum(told.values()) == len(expected), f"{election}: {told}, {len(expected)}")
    seal = world.sql("select code from elections.seal_verify(%s, %s)", (ORG, election))[0][0]
    findings.check("the seal holds", seal == "ok", f"{election}: {seal}")
    counts = world.sql("select counts, total_voters from elections.results where election_id = %s", (election,))[0]
    findings.check("counts add up", counts[0]["mismatch"] == [] and counts[1] == len(expected), f"{election}: {counts}")


def check_canaries(findings, world, directory, numbers, others):
    """Nothing personal in any log, PostgreSQL's included, nor in a dump of the whole database. A kennitala is looked for as
    a word, because ten digits in a row also occur in random hex, and as the hex of its characters."""
    lists = {"words": ("-wF", numbers), "texts": ("-F", [number.encode().hex() for number in numbers] + others)}
    for name, (_, values) in lists.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
            out.write("\n".join(values) + "\n")
    dump = os.path.join(directory, "dump.sql")
    with open(dump, "wb") as out:
        subprocess.run([os.path.join(os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin"), "pg_dump"), "-d",
                        world.postgres.dsn("postgres")], stdout=out, check=True)
    logs = [os.path.join(world.stack.path("log"), name) for name in os.listdir(world.stack.path("log"))
            if not name.startswith("local-cloud")]
    for place in (*logs, world.postgres.log, dump):
        for name, (how, _) in lists.items():
            found = subprocess.run(["grep", "-an", how, "-m", "3", "-f", os.path.join(directory, name), place],
                                   env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE, check=False)
            findings.check("canaries nowhere", found.returncode == 1, f"{place}: {found.stdout[:600]!r}")
    for name in (*lists, "dump.sql"):
        os.unlink(os.path.join(directory, name))


def save(findings, path, **more):
    with open(path, "w", encoding="utf-8") as out:
        json.dump({**more, "checks": dict(findings.made), "violations": findings.violations}, out, indent=1)
