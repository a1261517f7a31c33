"""A pytest plugin that runs tests again and again, each time with the next outgoing operation of the services failing.

    tests/run -p torture_plugin TEST...   what tests/torture/run does for a chosen list

Every test that is selected runs once for each n, and for each way to fail: BEFORE (nothing was sent) and AFTER (done, and
the answer lost), until a run makes fewer than n operations; then once more with nothing failing. What belongs to the test
alone (its fixtures) is made anew for each run. The test's own assertions stay as they are. What changes is its client: a
call during which the failure happened may be answered with what the service documents for "try again" (AGAIN), or be told
that the first try is still being worked on; that answer must be in the contract's shape, and the call is repeated under
the same idempotency key, as the portals do; a login begins anew, with a new code. Everything else, a lost vote, a second
ballot, an undocumented status, a dead process, fails the test.
"""

import json
import mmap
import os
import re
import secrets
import struct
import tempfile
import time

import pytest
from _pytest.runner import runtestprotocol

import evidence
import kenni
import stack
import suite

LIBRARY = os.path.join(evidence.BUILD, "tests", "failing.so")
VOTING = ("elections", "events")
SIZE = 208
MODES = {"before": 1, "after": 2}
OPERATIONS_MAX = 400  # a test that makes more has gone wrong
PATIENCE_S = 30       # longer than the lease of a claim whose answer was lost
# A short budget shortens that lease; no background work makes operations of its own.
SETTINGS = {"REQUEST_BUDGET_MS": "1500", "STATEMENT_TIMEOUT_MS": "1200", "LOCK_TIMEOUT_MS": "1000",
            "READ_LIMIT_PER_MINUTE": "100000", "ADMIN_LIMIT_PER_MINUTE": "100000", "ADDRESS_FAILURES_PER_MINUTE": "1000000"}
LIMITS = {"elections": {"VOTE_LIMIT_PER_MINUTE": "100000", "WRITE_LIMIT_PER_MINUTE": "1000000", "SWEEP_INTERVAL_S": "0"},
          "events": {"TOKEN_LIMIT_PER_MINUTE": "100000"}}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Of each service what its README documents for a failure on its side, after which the same call may be made again.
AGAIN = {
    "elections": (502, 503, 504), "events": (502, 503, 504), "handlekenniauth": (500, 502, 503), "verifymembership": (503, 504),
    "sync-from-django": (500,), "updatememberprofile": (500, 502, 503, 504), "syncmembers": (502, 503),
    "auditmemberchanges": (503, 504), "cleanupauditlogs": (503,), "get-django-token": (500,),
}
KEYED = (*VOTING, "updatememberprofile")  # take an idempotency key of the client's choice


class Control:
    """The memory the services' preloaded library reads; see failing.c for the layout."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix="ekklesia-torture-")
        os.ftruncate(handle, SIZE)
        self.memory = mmap.mmap(handle, SIZE)
        os.close(handle)

    def arm(self, mode, number):
        self.memory[:] = struct.pack("IIII192s", 0, number, 0, 0, b"")
        self.memory[0:4] = struct.pack("I", MODES[mode])

    def disarm(self):
        self.memory[0:4] = struct.pack("I", 0)

    @property
    def armed(self):
        return struct.unpack("I", self.memory[0:4])[0] != 0

    @property
    def fired(self):
        return struct.unpack("I", self.memory[12:16])[0] != 0

    @property
    def what(self):
        """The statement; of an HTTP attempt the verb, the collection or the last part of the path."""
        name = self.memory[16:SIZE].split(b"\0")[0].decode()
        if "://" not in name:
            return name
        path = name.partition("?")[0]
        document = re.search(r"/documents/(\w+)", path)
        return "http " + (document[1] if document else re.split("[/:]", path)[-1] or "/")

    def close(self):
        os.unlink(self.path)


control = Control()
totals = {"runs": 0, "failures made": 0, "answers 503": 0, "answers 500, 502, 504": 0, "without numbers": 0,
          "operations": {}, "told it is done": {}}


# --- services that fail ---------------------------------------------------------------------------------------


class VotingStack(suite.Stack):
    """Only what votes: the members' tests start their services by themselves."""

    def built(self):
        return [name for name in super().built() if name in ("local-cloud", *VOTING)]


def environment(self, name, original=stack.Stack.environment):
    values = original(self, name)
    if name in VOTING:
        values.update({**SETTINGS, **LIMITS[name]})
    if name in AGAIN:
        values.update({"LD_PRELOAD": LIBRARY, "TORTURE_FILE": control.path})
    return values


def sanitizer_environment(original=evidence.sanitizer_environment):
    """ASan minds a library before its own, though ours replaces nothing of it."""
    values = original()
    values["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
    return values


stack.Stack.environment = environment
suite.Stack = VotingStack
evidence.sanitizer_environment = sanitizer_environment


# --- clients that try again -----------------------------------------------------------------------------------


# When the answer to a write is lost after its commit, the repeated write finds its own work: documented refusals that say
# so. Votes are not among them: their answer is kept in the transaction of the vote itself.
DONE_ALREADY = {
    "register_token": (409, "ALREADY_REGISTERED"), "open_election": (400, None),
    "close_election": (400, "WRONG_STATUS"), "pause_election": (400, "WRONG_STATUS"), "resume_election": (400, "WRONG_STATUS"),
    "archive_election": (400, "WRONG_STATUS"), "hide_election": (400, "WRONG_STATUS"), "unhide_election": (400, "WRONG_STATUS"),
    "delete_election": (404, None), "use_nonce": (401, None),
}


class DoneAlready(Exception):
    """The test cannot go on with the answer it wanted: its write is done, and it is told so."""


def is_without_numbers(reply):
    """GET /api/results of events while elections is away: its shape stays (contract voting.md 3.2)."""
    return reply.status == 200 and b'"results":null' in reply.body and "error" in reply.json


def is_try_again(service, reply):
    return reply.status in AGAIN.get(service, ()) or is_without_numbers(reply)


def check_refusal(reply):
    """The contract's shape of "try again", and nothing of the inside."""
    body = reply.json
    assert body["error"], reply
    if is_without_numbers(reply):
        totals["without numbers"] += 1
    elif reply.status in (500, 502, 504):  # documented where one service asks another
        totals["answers 500, 502, 504"] += 1
    else:
        assert reply.status == 503, reply
        totals["answers 503"] += 1
        assert int(reply.headers["retry-after"]) >= 1, reply.headers
    for word in ("SQLSTATE", "libpq", "curl", "statement", "postgres", "127.0.0.1"):
        assert word not in json.dumps(body), reply


def repeat(service, call):
    """The answer of call(), asked again while it is "try again"; the machine may be busy besides."""
    until = time.monotonic() + PATIENCE_S
    refused = False
    while True:
        reply = call()
        done = DONE_ALREADY.get(control.what) if control.armed and refused else None
        if done in ((reply.status, None), (reply.status, reply.json.get("code") if reply.body else None)) and done:
            raise DoneAlready(control.what)
        if not control.armed or not is_try_again(service, reply):
            return reply
        refused = True
        check_refusal(reply)
        assert time.monotonic() < until, f"no retry succeeds: {reply}"
        time.sleep(0.05)


logins = {}  # code -> how to get another one for the same person


def remember_login(self, original=kenni.Kenni.login, **claims):
    body = original(self, **claims)
    logins[body["kenniAuthCode"]] = lambda: original(self, **claims)
    return body


kenni.Kenni.login = remember_login


def tortured(original):
    def wrapper(self, method, path, body=None, **more):
        headers = dict(more.pop("headers", None) or {})
        if control.armed and self.name in KEYED and method in WRITES \
                and not any(name.lower() == "x-idempotency-key" for name in headers):
            headers["X-Idempotency-Key"] = secrets.token_hex(12)
        bodies = [body]

        def once():
            sent = bodies.pop() if bodies else body
            if control.armed and isinstance(body, dict) and body.get("kenniAuthCode") in logins:
                bodies.append({**body, **logins[body["kenniAuthCode"]]()})  # should this one fail
            return original(self, method, path, sent, headers=headers, **more)
        return repeat(self.name, once)
    return wrapper


suite.Service.call = tortured(suite.Service.call)
suite.Service.signed = tortured(suite.Service.signed)


# --- the same test, once for each operation -------------------------------------------------------------------


class Sibling:
    """A next test beside this one: what the module shares stays, what is the test's own goes."""

    def __init__(self, item):
        self.item = item

    def listchain(self):
        return [*self.item.parent.listchain(), self]


def run(item, nextitem, mode=None, number=0, log=False):
    item.torture = (mode, number)
    item._initrequest()
    return runtestprotocol(item, nextitem=nextitem, log=log)


def run_each_failure(item):
    """The reports of the run that failed, or []."""
    for mode in MODES:
        for number in range(1, OPERATIONS_MAX + 1):
            totals["runs"] += 1
            reports = run(item, Sibling(item), mode, number)
            if any(report.failed for report in reports):
                return reports
            if not control.fired:
                break
            totals["failures made"] += 1
            totals["operations"][control.what] = totals["operations"].get(control.what, 0) + 1
    return []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in run_each_failure(item):
        item.ihook.pytest_runtest_logreport(report=report)
    run(item, nextitem, log=True)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    mode, number = pyfuncitem.torture
    if mode is None:
        return None
    assert number < OPERATIONS_MAX, "too many operations: this test has gone wrong"
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    control.arm(mode, number)
    try:
        pyfuncitem.obj(**arguments)
    except DoneAlready as done:
        totals["told it is done"][str(done)] = totals["told it is done"].get(str(done), 0) + 1
    except BaseException:
        print(f"torture: operation {number} ({control.what}) failed {mode}; fired: {control.fired}")
        raise
    finally:
        control.disarm()
    for one in ("stack", "members"):
        dead = one in arguments and [service.label for service in arguments[one].own if not service.alive()]
        assert not dead, f"operation {number} ({control.what}) {mode}: {dead} died"
    voting = arguments.get("stack")
    assert voting is None or not voting.stack.dead(), f"operation {number} ({control.what}) {mode}: a service died"
    return True


def pytest_terminal_summary(terminalreporter):
    made = totals["operations"]
    terminalreporter.write_line(
        f"torture: {totals['runs']} runs, {totals['failures made']} operations of {len(made)} kinds failed, "
        f"{totals['answers 503']} answers 503, {totals['answers 500, 502, 504']} answers 500, 502 or 504, "
        f"{totals['without numbers']} results without numbers")
    for what in (made, totals["told it is done"]):
        terminalreporter.write_line("torture: " + ", ".join(f"{name} {count}" for name, count in sorted(what.items())))


def pytest_unconfigure():
    control.close()
