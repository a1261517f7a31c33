"""The client threads: each takes one voter after another through an evening, whatever fails on the way.

A voter is one member in one election. The session gets a token through events, votes with it or signed in, tries again
under the same key until an answer promises something, and then tries what must not work: the same vote again, another
answer, the other path. Which, and how the network treats it, is drawn from the seed. Everything goes into the journal;
nothing is judged here.
"""

import json
import os
import random
import threading
import time

import wire
from journal import Journal
from wire import Line, Lost

FAULTS = ("before", "after", "hole", "slice")
PATIENCE = 25  # tries of one vote before the session leaves it in doubt
ANSWERS = ("yes", "no", "abstain")


class Control:
    """What the harness tells its clients: a file, replaced whole."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "control.json")
        self.read_at = 0.0
        self.state = {}

    def write(self, **state):
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            json.dump(state, out)
        os.replace(self.path + ".new", self.path)

    def get(self):
        if time.monotonic() - self.read_at > 0.1:
            with open(self.path, encoding="utf-8") as text:
                self.state = json.load(text)
            self.read_at = time.monotonic()
        return self.state


class Client:
    """Sends calls and journals them. ports: {"elections": {"direct": …, "before": …, …}, "events": …}"""

    def __init__(self, journal, ports, rng, fault_share=0.12, timeout_s=4.0):
        self.journal = journal
        self.ports = ports
        self.rng = rng
        self.fault_share = fault_share
        self.timeout_s = timeout_s
        self.lines = {service: Line(ports[service]["direct"], timeout_s) for service in ports}

    def line(self, service, fresh=False):
        """(connection, whether it is for one call only): now and then one that fails in its own way."""
        if self.rng.random() < self.fault_share:
            return Line(self.ports[service][self.rng.choice(FAULTS)], self.timeout_s), True
        if fresh:
            return Line(self.ports[service]["direct"], self.timeout_s), True
        return self.lines[service], False

    def together(self, *calls):
        """Several calls at once, each on a connection of its own: all are sent before any answer is read."""
        under_way = []
        for op, service, request, what in calls:
            line, once = self.line(service, fresh=len(calls) > 1)
            number = self.journal.call(op, **what)
            try:
                line.send(request)
            except Lost as lost:
                self.journal.answer(number, None, str(lost))
                line = None
            under_way.append((number, line, once))
        return [self._finish(*one) for one in under_way]

    def _finish(self, number, line, once):
        if line is None:
            return None, None
        try:
            status, body = line.receive()
        except Lost as lost:
            self.journal.answer(number, None, str(lost))
            return None, None
        finally:
            if once:
                line.close()
        self.journal.answer(number, status, body)
        return status, body

    def call(self, op, service, request, **what):
        return self.together((op, service, request, what))[0]

    # one attempt of each kind

    def token_vote(self, voter, token, answer, key):
        return ("token-vote", "elections", wire.request("POST", "/api/vote", {"answer": answer}, token, key),
                {"voter": voter, "token": token, "answer": answer, "key": key})

    def member_vote(self, voter, id_token, answer, key):
        election = voter.split("/")[0]
        return ("member-vote", "elections",
                wire.request("POST", f"/api/elections/{election}/vote", {"answer_ids": [answer]}, id_token, key),
                {"voter": voter, "answer": answer, "key": key})

    def issue(self, voter, id_token, replace, key=None):
        election = voter.split("/")[0]
        request = wire.request("POST", f"/api/request-token?election_id={election}", {"replace": replace}, id_token, key)
        return self.call("issue", "events", request, voter=voter, replace=replace, key=key)

    def results(self, election, id_token):
        if self.rng.random() < 0.5:
            return self.call("results", "events", wire.request("GET", f"/api/results?election_id={election}", token=id_token),
                             election=election)
        return self.call("results", "elections", wire.request("GET", f"/api/elections/{election}/results", token=id_token),
                         election=election)


def definite(status):
    return status is not None and status not in (429, 500, 503)


class Session:
    def __init__(self, client, voter, id_token, rng, control):
        self.client, self.voter, self.id_token, self.rng, self.control = client, voter, id_token, rng, control

    def key(self):
        return f"{self.rng.getrandbits(96):024x}"

    def pause(self):
        time.sleep(self.rng.uniform(0.03, 0.4))

    def over(self):
        return self.control.get().get("stop", False)

    def get_token(self):
        """A voting token, or None when there is none to be had (now)."""
        replace = self.rng.random() < 0.05
        key = self.key() if self.rng.random() < 0.3 else None
        for _ in range(PATIENCE):
            if self.over():
                return None
            status, body = self.client.issue(self.voter, self.id_token, replace, key)
            if status == 200:
                return body["token"]
            if status == 409 and isinstance(body, dict) and body.get("code") == "TOKEN_LIVE":
                replace, key = True, None
            elif status == 409 and isinstance(body, dict) and "code" not in body:
                return None  # an earlier request of ours still holds the claim: longer than a session has time
            elif definite(status):
                return None
            self.pause()
        return None

    def vote(self, attempt, extra=None):
        """Try until something is promised; extra goes out together with the first try."""
        tries = [attempt] if extra is None else [attempt, extra]
        status, _ = self.client.together(*tries)[0]
        for _ in range(PATIENCE):
            if definite(status) or self.over():
                break
            self.pause()
            status, _ = self.client.together(attempt)[0]
        return status

    def run(self):
        rng, client = self.rng, self.client
        path = rng.choices(("token", "member", "both"), (55, 35, 10))[0]
        answer = rng.choice(ANSWERS)
        other = rng.choice([a for a in ANSWERS if a != answer])
        token = self.get_token() if path != "member" else None
        if token is None:
            path = "member"
        # A vote without a key is told apart by its being the only one of its voter until it is settled.
        key = None if path == "token" and rng.random() < 0.15 else self.key()
        if path == "member":
            attempt = client.member_vote(self.voter, self.id_token, answer, key)
        else:
            attempt = client.token_vote(self.voter, token, answer, key)
        extra = None
        if path == "both":
            extra = client.member_vote(self.voter, self.id_token, other, self.key())
        elif rng.random() < 0.08:
            extra = attempt  # pressed twice
        elif key and rng.random() < 0.06:
            extra = self.rewrite(attempt, token, other, self.key())
        if not definite(self.vote(attempt, extra)):
            return
        if rng.random() < 0.5:
            client.together(attempt)
        if key and rng.random() < 0.1:
            client.together(self.rewrite(attempt, token, other, key))
        if rng.random() < 0.25:
            client.together(self.rewrite(attempt, token, other, self.key()))
        if rng.random() < 0.15:
            client.together(client.member_vote(self.voter, self.id_token, other, self.key()))
        if rng.random() < 0.08:
            client.issue(self.voter, self.id_token, True)
        if rng.random() < 0.1:
            client.results(self.voter.split("/")[0], self.id_token)

    def rewrite(self, attempt, token, answer, key):
        if attempt[0] == "token-vote":
            return self.client.token_vote(self.voter, token, answer, key)
        return self.client.member_vote(self.voter, self.id_token, answer, key)


class Voters:
    """The members of one process, given out once in each election."""

    def __init__(self, people):
        self.people = people
        self.next = {}
        self.lock = threading.Lock()

    def take(self, election):
        with self.lock:
            place = self.next.get(election, 0)
            if place >= len(self.people):
                return None
            self.next[election] = place + 1
            return self.people[place]


def client_thread(control, voters, journal, ports, seed):
    rng = random.Random(seed)
    client = Client(journal, ports, rng)
    while not control.get().get("stop"):
        state = control.get()
        election = state["raced"] if rng.random() < 0.7 else state["kept"]
        person = voters.take(election) if election else None
        if person is None:
            time.sleep(0.1)
            continue
        Session(client, f"{election}/{person['uid']}", person["token"], rng, control).run()


def main(directory, name, threads, ports, people, seed):
    """Body of one client process."""
    control = Control(directory)
    journal = Journal(directory, name)
    voters = Voters(people)
    running = [threading.Thread(target=client_thread, args=(control, voters, journal, ports, f"{seed}/{name}/{i}"))
               for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    journal.close()
