"""One chaos run: starts the suite, sends clients and the nemesis at it, then judges. See README.md."""

import multiprocessing
import os
import random
import shutil
import threading
import time

import checker
import session
import wire
from journal import Journal, read
from mutants import MUTANTS
from nemesis import Nemesis
from world import VOTING, World, evidence, suite

CLIENT_PROCESSES = 4
THREADS = 64
PEOPLE_MAX = 20000
PEOPLE_PER_SECOND = 60
PATIENCE_S = 120  # what a run on a busy machine may take longer to see enough


class Elections:
    """Keeps one election open for the whole run and one that is closed while votes race; the operator's part."""

    def __init__(self, world, journal, control, seed, race_s):
        self.world, self.journal, self.control, self.race_s = world, journal, control, race_s
        self.rng = random.Random(f"elections/{seed}")
        self.token = world.cloud.token(**suite.person(member=None, roles=("member", "admin")))
        self.kept = self.raced = None
        self.closed = []
        self.failed = None  # what ended the operator's part before its time
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._races)

    def call(self, op, path, body, key, **what):
        """One call of the operator, journaled; (None, None) when no answer came."""
        line = wire.Line(self.world.ports["elections"])
        number = self.journal.call(op, **what) if op else None
        try:
            line.send(wire.request("POST", path, body, self.token, key))
            status, answer = line.receive()
        except wire.Lost as lost:
            status, answer = None, str(lost)
        line.close()
        if op:
            self.journal.answer(number, status, answer)
        return status, answer

    def until_told(self, path, body, op=None, **what):
        """As an operator would: the same call under the same key until an answer promises something."""
        key = f"{self.rng.getrandbits(96):024x}"
        while True:
            status, answer = self.call(op, path, body, key, **what)
            if session.definite(status) and status != 409:  # 409: the first try is still being worked on
                return status, answer
            time.sleep(0.2)

    def publish(self, lasts_s=None):
        status, body = self.until_told("/api/admin/elections", {
            "title": f"Race {self.rng.getrandbits(40)}", "question": "Shall we?", "answers": list(session.ANSWERS),
            "voting_type": "single-choice", "max_selections": 1, "eligibility": "members"})
        assert status == 201, (status, body)
        election = body["election"]["id"]
        while True:  # on a busy machine an end as near as this may have passed when the call arrives
            end = time.time() + (lasts_s or 7200)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end)) + f".{int(end % 1 * 1000):03}Z"
            self.journal.event("ends", election=election, at=time.monotonic() + end - time.time())
            status, body = self.until_told(f"/api/admin/elections/{election}/open", {"voting_ends_at": stamp})
            # Told that it is open already, when the answer of a first try was lost.
            if status == 200 or body.get("code") == "WRONG_STATUS":
                return election
            assert lasts_s and "future" in body["message"], (status, body)
            lasts_s += 5

    def start(self):
        self.kept = self.publish()
        self.raced = self.publish()
        self.tell()
        self.thread.start()

    def tell(self, **more):
        self.control.write(kept=self.kept, raced=self.raced, **more)

    def close(self, election):
        """Two operators press the button at once; at least one is told how it stands."""
        def press():
            self.until_told(f"/api/admin/elections/{election}/close", {}, op="close", election=election)
        other = threading.Thread(target=press)
        other.start()
        press()
        other.join()
        self.closed.append(election)

    def _races(self):
        try:
            self._race()
        except Exception as error:
            self.failed = repr(error)

    def _race(self):
        """Close one after another in the middle of its votes: by the operator, or because its end has come."""
        ends_itself = False
        while not self.over.wait(self.race_s * self.rng.uniform(0.6, 1.2)):
            before = self.raced
            if ends_itself:
                self.over.wait(2.0)
            self.close(before)
            ends_itself = self.rng.random() < 0.5
            self.raced = self.publish(self.race_s if ends_itself else None)
            self.tell()

    def stop(self):
        self.over.set()
        self.thread.join()


class Run:
    """seconds of faults, drawn from seed, and longer until it has seen enough: that many votes, closings and faults.
    mutant: a name of mutants.MUTANTS. only: names of faults."""

    def __init__(self, seconds, seed, mutant=None, only=None, race_s=20.0, gap=(0.3, 2.0), say=print,
                 votes=0, closings=0, faults=0):
        self.seconds, self.seed, self.gap, self.say = seconds, seed, gap, say
        self.mutant = MUTANTS[mutant] if mutant else None
        self.only = self.mutant.faults if self.mutant else only
        self.race_s = self.mutant.race_s if self.mutant else race_s
        self.votes, self.faults = votes, faults
        self.closings = self.mutant.closings if self.mutant else closings
        self.findings = checker.Findings()
        self.facts = {"seed": seed, "seconds": seconds, "mutant": mutant, "build": os.path.basename(evidence.BUILD)}
        self.directory = os.path.join(evidence.run_dir(), f"chaos-{seed}" + (f"-{mutant.replace(' ', '-')}" if mutant else ""))
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)

    def __call__(self):
        began = time.monotonic()
        world = World(self.mutant.options if self.mutant else "").up()
        try:
            self._prepare(world)
            self._disturb(world)
            self._judge(world)
        finally:
            stubborn = world.down()
        self.findings.check("SIGTERM is enough", not stubborn, stubborn)
        self.facts["seconds"] = round(self.fired_s)
        self.facts["wall_s"] = round(time.monotonic() - began)
        checker.save(self.findings, os.path.join(self.directory, "report.json"), **self.facts)
        return self

    def _prepare(self, world):
        count = min(PEOPLE_MAX, max(1500, int(self.seconds * PEOPLE_PER_SECOND)))
        claims = [suite.person() for _ in range(count)]
        tokens = []
        for i in range(0, count, 500):
            tokens += world.cloud.tokens(claims[i:i + 500])
        self.people = [{"uid": person["uid"], "kennitala": person["kennitala"], "token": token}
                       for person, token in zip(claims, tokens)]
        if self.mutant:
            self.mutant.apply(world)
        self.journal = Journal(self.directory, "main")
        self.control = session.Control(self.directory)
        self.elections = Elections(world, self.journal, self.control, self.seed, self.race_s)
        self.elections.start()

    def _disturb(self, world):
        clients = []
        for i in range(CLIENT_PROCESSES):
            clients.append(multiprocessing.Process(target=session.main, args=(
                self.directory, f"client{i}", THREADS // CLIENT_PROCESSES, world.client_ports(),
                self.people[i::CLIENT_PROCESSES], self.seed)))
            clients[-1].start()
        nemesis = Nemesis(world, self.journal, self.seed, self.elections, self.only)
        try:
            began = time.monotonic()
            latest = time.monotonic() + self.seconds + PATIENCE_S
            self._let_loose(nemesis, self.seconds)
            while not self._enough(world, nemesis) and time.monotonic() < latest:
                self._let_loose(nemesis, 2.0)
            self.fired_s = time.monotonic() - began
        finally:
            nemesis.heal_all()
            self.elections.stop()  # first: it tells the clients of each new election
            self.elections.tell(stop=True)
            self.findings.check("the operator's part ran to its end", self.elections.failed is None, self.elections.failed)
            for client in clients:
                client.join(120)
            for client in clients:
                if client.is_alive():
                    client.kill()
                self.findings.check("clients end by themselves", client.exitcode == 0, client.exitcode)
        self.facts["faults"] = dict(sorted(nemesis.counts.items()))

    def _let_loose(self, nemesis, seconds):
        if nemesis.faults:
            nemesis.run(seconds, self.gap)
        else:
            time.sleep(seconds)

    def _enough(self, world, nemesis):
        stored = world.sql("select count(*) from elections.ballots")[0][0]
        return (stored >= self.votes and len(self.elections.closed) >= self.closings
                and sum(nemesis.counts.values()) >= self.faults)

    def _judge(self, world):
        findings, uid_kennitala = self.findings, {person["uid"]: person["kennitala"] for person in self.people}
        for name, code in world.deaths:
            findings.check("no service died by itself", False, f"{name} left with {code}")
        findings.check("no service died by itself", all(world.process(name).alive() for name in VOTING))
        calls, _ = read(self.directory)
        checker.check_doubtful(findings, world, checker.Votes(calls))
        self._settle(world, checker.Votes(calls).in_doubt())
        calls, events = read(self.directory)
        votes = checker.Votes(calls)
        for what in (checker.check_answers, checker.check_tokens):
            what(findings, calls)
        checker.check_votes(findings, votes)
        checker.check_closing(findings, calls, events, votes)
        closed = {row[0] for row in world.sql("select id::text from elections.elections where status = 'closed'")}
        expected = checker.check_stored(findings, world, votes, uid_kennitala, closed)
        for election in {self.elections.kept, self.elections.raced} - set(self.elections.closed):
            self.elections.close(election)
        self._count(world, expected)
        self._leaks(world, calls)
        self._facts(calls, votes, expected)

    def _settle(self, world, doubtful):
        """With everything whole again each attempt in doubt is repeated: it must get a promise now."""
        journal = Journal(self.directory, "settle")
        client = session.Client(journal, world.client_ports(), random.Random(0), fault_share=0.0, timeout_s=20)
        tokens = {person["uid"]: person["token"] for person in self.people}
        self.facts["in_doubt"] = len(doubtful)
        for voter, op, token, answer, key in doubtful:
            attempt = (client.token_vote(voter, token, answer, key) if op == "token-vote"
                       else client.member_vote(voter, tokens[voter.split("/")[1]], answer, key))
            for _ in range(20):
                status, body = client.together(attempt)[0]
                if session.definite(status):
                    break
                time.sleep(0.2)
            self.findings.check("a replay settles what was in doubt", session.definite(status), f"{voter}: {status} {body}")
        journal.close()

    def _count(self, world, expected):
        for election in self.elections.closed:
            status, body = wire_get(world, f"/api/elections/{election}/results", self.people[0]["token"])
            if self.findings.check("the result of a closed election is told", status == 200, f"{election}: {status} {body}"):
                checker.check_result(self.findings, world, election, expected[election], body)

    def _leaks(self, world, calls):
        canaries = [person["uid"] for person in self.people]
        canaries += [call.body["token"] for call in calls if call.op == "issue" and call.status == 200]
        canaries += [call.get("key") for call in calls if call.get("key")]
        checker.check_canaries(self.findings, world, self.directory, [person["kennitala"] for person in self.people],
                               canaries)
        reports = evidence.sanitizer_reports()
        self.findings.check("no sanitizer report", not reports, "\n".join(f"{n}: {t[:1500]}" for n, t in reports.items()))

    def _facts(self, calls, votes, expected):
        operations = {}
        for call in calls:
            kind = operations.setdefault(call.op, {})
            kind[str(call.status)] = kind.get(str(call.status), 0) + 1
        self.facts.update(
            operations=operations, calls=len(calls), elections_closed=len(self.elections.closed), people=len(self.people),
            voters=len(votes.by_voter), votes_stored=sum(len(votes_of_one) for votes_of_one in expected.values()),
            tokens=sum(call.op == "issue" and call.status == 200 for call in calls))

    def report(self):
        facts = self.facts
        self.say(f"seed {facts['seed']}: {facts['calls']} calls, {facts['voters']} voters in {facts['elections_closed']} elections, "
                 f"{facts['tokens']} tokens, {facts['votes_stored']} votes stored, {facts['in_doubt']} in doubt were settled, "
                 f"{sum(facts['faults'].values())} faults in {facts['seconds']} s ({facts['wall_s']} s in all)")
        for name, counts in facts["operations"].items():
            self.say(f"  {name:<12} " + "  ".join(f"{status}: {n}" for status, n in sorted(counts.items())))
        self.say("  faults: " + ", ".join(f"{name} {n}" for name, n in facts["faults"].items()))
        found = {}
        for name, _ in self.findings.violations:
            found[name] = found.get(name, 0) + 1
        for name, made in sorted(self.findings.made.items()):
            self.say(f"  {'BROKEN' if name in found else 'held  '} {name}: {made} checks" +
                     (f", {found[name]} broken" if name in found else ""))
        for name, what in self.findings.violations[:20]:
            self.say(f"  {name}: {what[:700]}")


def mutant_run(name, seed):
    """Long enough to notice it: a few hundred votes, and a few faults of the kind it takes."""
    faults = 4 if MUTANTS[name].faults else 0
    return Run(5, seed, mutant=name, say=lambda _: None, votes=150, faults=faults)()


def wire_get(world, path, token):
    line = wire.Line(world.ports["elections"], 30)
    line.send(wire.request("GET", path, token=token))
    answer = line.receive()
    line.close()
    return answer
