"""What signed-in members and operators do: votes with an ID token, a long list, closing a large election."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

import measure
from ballots import ORG
from measure import BenchError, median

CLIENTS = 32
HALL = 300
MEMBERS_MAX = 5000  # the local cloud signs in no more at once
LISTED = 200
CALLERS = 20  # of the lists, so that none reaches the limit of a minute
LIST_ROUND = 200
LARGE = 100000
OTHER_VOTES_PER_S = 100
OTHER_VOTES_S = 20

# The same function with what the service gives it for a member's vote: eligibility, one selection, one ballot id, no key.
PGBENCH_SCRIPT = """\
\\set i :i + 1
\\set n :client_id * 10000000 + :i
SELECT code, reply, offending FROM elections.cast_member_vote('{org}', '{election}',
 sha256(convert_to('{label}-' || :n, 'UTF8')), true, false, '{{yes}}', ARRAY[gen_random_uuid()], 0, NULL, NULL, NULL);
"""


class Members:
    """Parts of a Bench: `bench` is the run, with its stack, elections and figures."""

    def __init__(self, bench):
        self.bench = bench
        self.stack, self.ballots = bench.stack, bench.ballots
        self.url = bench.stack.url("elections")
        self.connections = bench.connections
        self.known = []  # ID tokens: signing one takes longer than a vote, so members vote in one election after another

    def id_tokens(self, count, **claims):
        request = urllib.request.Request(self.stack.url("local-cloud") + "/tokens", json.dumps({
            "count": count, "prefix": f"bench-{time.monotonic_ns()}-", **claims}).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["idTokens"]

    def members(self, count):
        if len(self.known) < count:
            # One call, because it gives each of its people a kennitala, and the next call the same ones again.
            self.known = self.id_tokens(count, isMember=True, roles=["member"])
        return self.known[:count]

    def requests(self, tokens, election):
        return [("POST", f"/api/elections/{election}/vote",
                 {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}, '{"answer_ids":["yes"]}')
                for token in tokens]

    def stored(self, election, count, what):
        """Each vote once: as many ballots as voters as were sent."""
        found = self.ballots.counted(election)
        if found != (count, count):
            raise BenchError(f"{what}: {count} votes were sent, {found} ballots and participations are stored")

    # --- votes ------------------------------------------------------------------------------------------------------

    def votes(self):
        each = min(self.bench.votes, MEMBERS_MAX) // self.connections * self.connections
        tokens = self.members(max(each, HALL))[:each]
        rates, cpu = {"pgbench": [], "members": []}, []
        for number in range(self.bench.rounds + 1):
            for side in ("pgbench", "members") if number % 2 else ("members", "pgbench"):
                election = self.ballots.open_election(f"Members {side} {number}")
                self.ballots.settle(analyze=number == 0)
                before = measure.cpu_ms(self.bench.pid())
                if side == "pgbench":
                    rate = self.pgbench(election, f"{side}{number}", each // self.connections)
                else:
                    rate = self.bench.load(self.url, self.requests(tokens, election), "-c", str(CLIENTS), expect=201)["rate"]
                spent = (measure.cpu_ms(self.bench.pid()) - before) / each
                self.stored(election, each, side)
                if number > 0:
                    rates[side].append(rate)
                    if side == "members":
                        cpu.append(spent)
        ratio = median([ours / theirs for ours, theirs in zip(rates["members"], rates["pgbench"])])
        self.bench.add(f"member votes, {CLIENTS} clients", median(rates["members"]), "/s", median(rates["pgbench"]), ratio,
                       ">= 0.60", ratio >= 0.60, rounds=rates)
        self.bench.add("CPU of the service for a member vote", median(cpu), "ms", rounds=cpu)

    def pgbench(self, election, label, transactions):
        path = self.bench.path(f"member-{label}.sql")
        with open(path, "w", encoding="ascii") as out:
            out.write(PGBENCH_SCRIPT.format(org=ORG, election=election, label=label))
        return measure.pgbench(self.stack.postgres.dsn("elections", host=self.stack.postgres.dir), path,
                               self.connections, transactions)

    def burst(self):
        """300 at the same instant, beside the time in which pgbench alone stores 95 of 100 of them."""
        tokens, runs, alone = self.members(HALL), [], []
        for number in range(self.bench.rounds + 1):
            election = self.ballots.open_election(f"Members at once {number}")
            self.ballots.settle()
            run = self.bench.load(self.url, self.requests(tokens, election), "-b", expect=201)
            self.stored(election, HALL, "burst")
            other = self.ballots.open_election(f"pgbench at once {number}")
            self.ballots.settle()
            rate = self.pgbench(other, f"burst{number}", HALL // self.connections)
            if number > 0:
                runs.append(run)
                alone.append(HALL * 0.95 / rate * 1000)
        p95 = median([run["p95_ms"] for run in runs])
        self.bench.add(f"{HALL} member votes at once, p95", p95, "ms", median(alone), p95 / median(alone), "<= 50, none refused",
                       met=p95 <= 50, rounds={"ours": runs, "pgbench_ms": alone})

    # --- the list ---------------------------------------------------------------------------------------------------

    def list(self):
        for number in range(LISTED):
            self.ballots.open_election(f"Listed {number:03}: what the annual meeting is asked in words of usual length")
        self.ballots.settle(analyze=True)
        self.list_of("operator's list of 200, CPU", [f"/api/admin/elections?limit={LISTED}"],
                     {"roles": ["member", "admin"]})
        self.list_of("member's list of 200, two pages, CPU", [f"/api/elections?limit=100&offset={at}" for at in (0, 100)],
                     {"isMember": True, "roles": ["member"]})

    def list_of(self, name, paths, claims):
        cpu, server = [], []
        for number in range(self.bench.rounds + 1):
            tokens = self.id_tokens(CALLERS, **claims)
            requests = [("GET", path, {"Authorization": f"Bearer {tokens[at % CALLERS]}"}, "")
                        for at in range(LIST_ROUND) for path in paths]
            service, database = measure.cpu_ms(self.bench.pid()), measure.children_cpu_ms(self.stack.postgres.pid())
            self.bench.load(self.url, requests, "-c", str(self.connections), expect=200)
            if number > 0:
                cpu.append((measure.cpu_ms(self.bench.pid()) - service) / LIST_ROUND)
                server.append((measure.children_cpu_ms(self.stack.postgres.pid()) - database) / LIST_ROUND)
        self.bench.add(name, median(cpu), "ms", target="<= 2", met=median(cpu) <= 2, rounds=cpu, database_ms=server)

    # --- closing ----------------------------------------------------------------------------------------------------

    def close(self):
        """One large election is closed while votes of another keep coming: none of these may be refused."""
        large = self.ballots.open_election("Large")
        self.ballots.fill(large, LARGE)
        self.ballots.settle(analyze=True)
        count = OTHER_VOTES_PER_S * OTHER_VOTES_S
        votes, before = self.ballots.vote_requests(self.ballots.tokens(count)), self.ballots.count()
        measure.write_requests(self.bench.path("others"), votes)
        others = {}

        def vote():
            try:
                others.update(measure.loadgen(self.bench.program("loadgen"), self.url, self.bench.path("others"), "-r",
                                              str(OTHER_VOTES_PER_S), expect=201))
            except (BenchError, subprocess.SubprocessError, ValueError) as error:
                others["error"] = error

        operator, = self.id_tokens(1, roles=["member", "admin"])
        voting = threading.Thread(target=vote)
        voting.start()
        try:
            time.sleep(2)  # votes flow before it, during it and after it
            taken, answered = self.close_one(large, operator)
            still = voting.is_alive()
        finally:
            voting.join()
        if "error" in others:
            raise BenchError(f"votes of another election while closing: {others['error']}")
        if not still:
            raise BenchError("the votes of the other election ended before the close did")
        if self.ballots.count() - before != count or self.ballots.counted(large) != (LARGE, LARGE):
            raise BenchError("closing lost or made votes")
        self.bench.add(f"close with {LARGE:,} ballots", taken, "s", target="<= 5", met=answered and taken <= 5,
                       service_answered=answered)
        self.bench.add("votes elsewhere meanwhile, p95", others["p95_ms"], "ms", target="none refused", met=True,
                       most_ms=others["max_ms"], rounds=[others])

    def close_one(self, election, token):
        request = urllib.request.Request(f"{self.url}/api/admin/elections/{election}/close", b"{}", {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json"}, method="POST")
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                if json.load(reply)["election"]["status"] != "closed":
                    raise BenchError("after close the election is not closed")
            return time.perf_counter() - started, True
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise BenchError(f"close answered {error.code}") from error
        # Past the service's STATEMENT_TIMEOUT_MS: a target missed. How long it takes is still worth knowing.
        started = time.perf_counter()
        self.ballots.close_election(election)
        return time.perf_counter() - started, False
