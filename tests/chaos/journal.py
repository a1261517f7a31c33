"""What was asked and what was answered, in append-only files of JSON lines, one file per process.

A call is written before its first byte is sent and its answer after the last one came, each in one write(2) to a file
opened for appending, so a killed client leaves whole lines. "t" is CLOCK_MONOTONIC, which all processes share.
"""

import glob
import itertools
import json
import os
import threading
import time


class Journal:
    def __init__(self, directory, name):
        self.file = os.open(os.path.join(directory, f"{name}.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.name = name
        self.numbers = itertools.count(1)

    def _write(self, **entry):
        os.write(self.file, json.dumps(entry).encode() + b"\n")

    def call(self, op, **what):
        """The number of the call, which its answer carries too."""
        number = f"{self.name}.{threading.get_ident() % 100000}.{next(self.numbers)}"
        self._write(e="call", n=number, t=time.monotonic(), op=op, **what)
        return number

    def answer(self, number, status, body):
        """status None: lost, body says how."""
        self._write(e="answer", n=number, t=time.monotonic(), status=status, body=body)

    def event(self, kind, **what):
        self._write(e=kind, t=time.monotonic(), **what)

    def close(self):
        os.fsync(self.file)
        os.close(self.file)


class Call:
    """A call with its answer; status None when none came."""

    def __init__(self, entry):
        self.op = entry["op"]
        self.what = entry
        self.sent = entry["t"]
        self.answered = None
        self.status = None
        self.body = None

    def get(self, name):
        return self.what.get(name)

    @property
    def definite(self):
        """An answer that promises what was done; 503, 500 and 429 promise nothing."""
        return self.status in (200, 201, 400, 401, 403, 404, 409, 422)

    def __repr__(self):
        body = self.body if not isinstance(self.body, dict) else {k: self.body[k] for k in list(self.body)[:3]}
        what = {k: v for k, v in self.what.items() if k not in ("e", "op", "n")}
        return f"{self.op} {what} -> {self.status} at {self.answered}: {body}"


def read(directory):
    """(calls in order of sending, other events in order)."""
    calls, events = {}, []
    answers = []
    for path in sorted(glob.glob(os.path.join(directory, "*.jsonl"))):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if entry["e"] == "call":
                    calls[entry["n"]] = Call(entry)
                elif entry["e"] == "answer":
                    answers.append(entry)
                else:
                    events.append(entry)
    for entry in answers:
        call = calls[entry["n"]]
        call.answered, call.status, call.body = entry["t"], entry["status"], entry["body"]
    return sorted(calls.values(), key=lambda call: call.sent), sorted(events, key=lambda event: event["t"])
