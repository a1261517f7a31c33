"""A pytest plugin that runs tests again and again, each time with the next outgoing operation of the services failing.

    tests/run -p torture_plugin TEST...   what tests/torture/run does for a chosen list

Every test that is selected runs once for each n, and for each way to fail: BEFORE (nothing was sent) and AFTER (done, and
the answer lost), until a run makes fewer than n operations. The test's own assertions stay as they are. What changes is
its client: a call during which the failure happened may be answered 503 (or be told that the first try is still being
worked on); that answer must be in the contract's shape, and the call is repeated under the same idempotency key, as the
portals do. Everything else, a lost vote, a second ballot, a 500, a dead process, fails the test.
"""

import json
import mmap
import os
import secrets
import struct
import tempfile
import time

import pytest

import evidence
import suite

LIBRARY = os.path.join(evidence.BUILD, "tests", "failing.so")
TORTURED = ("elections", "events")
SIZE = 80
MODES = {"before": 1, "after": 2}
OPERATIONS_MAX = 400  # a test that makes more has gone wrong
PATIENCE_S = 30       # longer than the lease of a claim whose answer was lost
# A short budget shortens that lease; no background work makes operations of its own.
SETTINGS = {"REQUEST_BUDGET_MS": "1500", "STATEMENT_TIMEOUT_MS": "1200", "LOCK_TIMEOUT_MS": "1000",
            "READ_LIMIT_PER_MINUTE": "100000", "ADMIN_LIMIT_PER_MINUTE": "100000", "ADDRESS_FAILURES_PER_MINUTE": "1000000"}
LIMITS = {"elections": {"VOTE_LIMIT_PER_MINUTE": "100000", "WRITE_LIMIT_PER_MINUTE": "1000000", "SWEEP_INTERVAL_S": "0"},
          "events": {"TOKEN_LIMIT_PER_MINUTE": "100000"}}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Control:
    """The memory the services' preloaded library reads; see failing.c for the layout."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix="ekklesia-torture-")
        os.ftruncate(handle, SIZE)
        self.memory = mmap.mmap(handle, SIZE)
        os.close(handle)

    def arm(self, mode, number):
        self.memory[:] = struct.pack("IIII64s", 0, number, 0, 0, b"")
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
        return self.memory[16:SIZE].split(b"\0")[0].decode()

    def close(self):
        os.unlink(self.path)


control = Control()
totals = {"runs": 0, "failures made": 0, "answers 503": 0, "answers 502, 504": 0, "still running": 0, "without numbers": 0,
          "operations": {}, "told it is done": {}}


# --- services that fail ---------------------------------------------------------------------------------------


class TorturedStack(suite.Stack):
    def built(self):
        return [name for name in super().built() if name in ("local-cloud", *TORTURED)]

    def environment(self, name):
        environment = super().environment(name)
        if name in TORTURED:
            environment.update({**SETTINGS, **LIMITS[name], "LD_PRELOAD": LIBRARY, "TORTURE_FILE": control.path})
        return environment


def sanitizer_environment(original=evidence.sanitizer_environment):
    """ASan minds a library before its own, though ours replaces nothing of it."""
    values = original()
    values["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
    return values


suite.Stack = TorturedStack
evidence.sanitizer_environment = sanitizer_environment


# --- clients that try again -----------------------------------------------------------------------------------


def is_running(reply):
    return reply.status == 409 and "code" not in reply.json and "still" in reply.json.get("message", "")


# When the answer to a write is lost after its commit, the repeated write finds its own work: documented refusals that say
# so. Votes are not among them: their answer is kept in the transaction of the vote itself.
DONE_ALREADY = {
    "register_token": (409, "ALREADY_REGISTERED"), "confirm_issue": (409, "TOKEN_LIVE"), "open_election": (400, None),
    "close_election": (400, "WRONG_STATUS"), "pause_election": (400, "WRONG_STATUS"), "resume_election": (400, "WRONG_STATUS"),
    "archive_election": (400, "WRONG_STATUS"), "hide_election": (400, "WRONG_STATUS"), "unhide_election": (400, "WRONG_STATUS"),
    "delete_election": (404, None), "use_nonce": (401, None),
}


class DoneAlready(Exception):
    """The test cannot go on with the answer it wanted: its write is done, and it is told so."""


def is_without_numbers(reply):
    """GET /api/results of events while elections is away: its shape stays (contract voting.md 3.2)."""
    return reply.status == 200 and b'"results":null' in reply.body and "error" in reply.json


def is_try_again(reply):
    return reply.status in (502, 503, 504) or is_running(reply) or is_without_numbers(reply)


def check_refusal(reply):
    """The contract's shape of "try again", and nothing of the inside."""
    body = reply.json
    assert body["error"] and body["message"], reply
    if is_without_numbers(reply):
        totals["without numbers"] += 1
    elif reply.status in (502, 504):  # documented where one service asks the other
        totals["answers 502, 504"] += 1
    elif reply.status == 503:
        totals["answers 503"] += 1
        assert int(reply.headers["retry-after"]) >= 1, reply.headers
    else:
        totals["still running"] += 1
    for word in ("SQLSTATE", "libpq", "curl", "statement", "postgres"):
        assert word not in json.dumps(body), reply


def repeat(call):
    """The answer of call(), asked again while it is "try again"; the machine may be busy besides."""
    until = time.monotonic() + PATIENCE_S
    refused = False
    while True:
        reply = call()
        if control.armed and refused and DONE_ALREADY.get(control.what) in ((reply.status, reply.json.get("code")), (reply.status, None)):
            raise DoneAlready(control.what)
        if not control.armed or not is_try_again(reply):
            return reply
        refused = True
        check_refusal(reply)
        assert time.monotonic() < until, f"no retry succeeds: {reply}"
        time.sleep(0.5 if is_running(reply) else 0.05)


def tortured(original):
    def wrapper(self, method, path, body=None, **more):
        headers = dict(more.pop("headers", None) or {})
        if control.armed and method in WRITES and not any(name.lower() == "x-idempotency-key" for name in headers):
            headers["X-Idempotency-Key"] = secrets.token_hex(12)
        return repeat(lambda: original(self, method, path, body, headers=headers, **more))
    return wrapper


suite.Service.call = tortured(suite.Service.call)
suite.Service.signed = tortured(suite.Service.signed)


# --- the same test, once for each operation -------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    for mode in MODES:
        for number in range(1, OPERATIONS_MAX + 1):
            control.arm(mode, number)
            totals["runs"] += 1
            try:
                pyfuncitem.obj(**arguments)
            except DoneAlready as done:
                totals["told it is done"][str(done)] = totals["told it is done"].get(str(done), 0) + 1
            except BaseException:
                print(f"torture: operation {number} ({control.what}) failed {mode}; fired: {control.fired}")
                raise
            finally:
                control.disarm()
            if not control.fired:
                break
            totals["failures made"] += 1
            totals["operations"][control.what] = totals["operations"].get(control.what, 0) + 1
            stack = arguments.get("stack")
            assert stack is None or not stack.stack.dead(), f"operation {number} ({control.what}) {mode}: a service died"
        else:
            pytest.fail(f"more than {OPERATIONS_MAX} operations")
    return True


def pytest_terminal_summary(terminalreporter):
    made = totals["operations"]
    terminalreporter.write_line(
        f"torture: {totals['runs']} runs, {totals['failures made']} operations of {len(made)} kinds failed, "
        f"{totals['answers 503']} answers 503, {totals['answers 502, 504']} answers 502 or 504, "
        f"{totals['still running']} times told to wait, "
        f"{totals['without numbers']} results without numbers")
    for what in (made, totals["told it is done"]):
        terminalreporter.write_line("torture: " + ", ".join(f"{name} {count}" for name, count in sorted(what.items())))


def pytest_unconfigure():
    control.close()
