"""What the test_sql_* files share: one real cluster per run, connections as the real roles, and ways to make elections."""

import atexit
import functools
import hashlib
import json
import os
import secrets
import sys
import threading
import uuid
import weakref

import psycopg2
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "local"))
from postgres import SQL_DIR, Postgres  # noqa: E402, F401

ORG = "00000000-0000-4000-8000-000000000001"
ANSWERS = ["yes", "no", "abstain"]
LOCK_NOT_AVAILABLE = "55P03"
INSUFFICIENT_PRIVILEGE = "42501"


@functools.lru_cache(maxsize=None)
def cluster():
    """The cluster of this test run, deployed."""
    pg = Postgres()
    atexit.register(pg.destroy)
    pg.init()
    pg.start()
    return pg.deploy()


class Session:
    """A connection as one role; each call is one statement and one transaction, as the services do it."""

    open = weakref.WeakSet()

    def __init__(self, role, db="ekklesia", pg=None):
        self.role = role
        self.connection = psycopg2.connect((pg or cluster()).dsn(role, db))
        self.connection.autocommit = True
        Session.open.add(self)

    def close(self):
        self.connection.close()

    def rows(self, sql, *params):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def one(self, sql, *params):
        return self.rows(sql, *params)[0]

    def call(self, function, *args):
        """The one row a function returns, as a dict."""
        marks = ", ".join("%s::" + _sql_type(a) if _sql_type(a) else "%s" for a in args)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {function}({marks})", [_sql_value(a) for a in args])
            row = cursor.fetchone()
            assert cursor.fetchone() is None
            return {c.name: bytes(v) if isinstance(v, memoryview) else v for c, v in zip(cursor.description, row)}

    def sqlstate(self, function, *args):
        """The SQLSTATE a call fails with; None when it succeeds."""
        try:
            self.call(function, *args)
        except psycopg2.Error as error:
            return error.pgcode
        return None


def _sql_type(value):
    if isinstance(value, bytes):
        return "bytea"
    if isinstance(value, uuid.UUID):
        return "uuid"
    if isinstance(value, dict):
        return "jsonb"
    return None


def _sql_value(value):
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list) and value and isinstance(value[0], uuid.UUID):
        return "{" + ",".join(map(str, value)) + "}"
    return value


def in_parallel(*jobs):
    """Run the jobs at once, each in a thread; their results in order. A job that raises gives its SQLSTATE."""
    results = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def run(index, job):
        barrier.wait()
        try:
            results[index] = job()
        except psycopg2.Error as error:
            results[index] = error.pgcode

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def new_slot():
    return secrets.token_bytes(32)


def new_hash():
    return hashlib.sha256(secrets.token_hex(32).encode()).hexdigest()


def key():
    return secrets.token_bytes(32)


class World:
    """The roles' sessions, and the shortest ways to an election in a given state."""

    def __init__(self, db="ekklesia"):
        self.db = db
        self.elections = Session("elections", db)
        self.events = Session("events", db)
        self.admin = Session("ekklesia_admin", db)
        # Only to arrange clocks and to look where no service may look.
        self.root = Session("postgres", db)
        self.org = str(uuid.uuid4())
        self.admin.rows(
            "INSERT INTO elections.organisations (id, slug, name) VALUES (%s, %s, 'Test')", self.org, "t-" + secrets.token_hex(6)
        )

    def close(self):
        for session in (self.elections, self.events, self.admin, self.root):
            session.close()

    def e(self, function, *args):
        return self.elections.call("elections." + function, self.org, *args)

    def v(self, function, *args):
        return self.events.call("events." + function, self.org, *args)

    def draft(self, **fields):
        fields = {"title": "Title " + secrets.token_hex(4), "question": "Question?", "answers": ANSWERS, **fields}
        made = self.e("create_election", "uid-operator", "corr-1", fields)
        assert made["code"] == "created", made
        return made["election"]["id"]

    def published(self, start=None, end=None, **fields):
        election = self.draft(**fields)
        opened = self.open(election, start, end)
        assert opened["code"] == "opened", opened
        return election

    def open(self, election, start=None, end=None):
        return self.elections.call(
            "elections.open_election", self.org, "uid-operator", "corr-2", uuid.UUID(election), start, end
        )

    def set(self, election, **columns):
        """Change columns as only a superuser can, e.g. move an end into the past."""
        for column, expression in columns.items():
            assert self.root.rows(f"UPDATE elections.elections SET {column} = {expression} WHERE id = %s", election) == 1

    def finish(self, election):
        """Let its end pass a moment ago."""
        self.set(election, scheduled_start="now() - interval '2 hours'")
        self.set(election, scheduled_end="now() - interval '1 millisecond'")

    def act(self, verb, election):
        return self.e(verb + "_election", "uid-operator", "corr-3", uuid.UUID(election))

    def register(self, election=None, slot=None, issue=None, expires=None, token_hash=None, key_id="events-1"):
        token_hash = token_hash or new_hash()
        reply = self.elections.call(
            "elections.register_token", self.org, key_id, token_hash, election and uuid.UUID(election), slot, issue, expires, "corr-4"
        )
        reply["hash"] = token_hash
        return reply

    def token(self, election, **more):
        reply = self.register(election, **more)
        assert reply["code"] == "registered", reply
        return reply["hash"]

    def cast(self, token_hash, answer="yes", waited=0, idem=(None, None, None), session=None):
        return (session or self.elections).call(
            "elections.cast_token_vote", self.org, token_hash, answer, uuid.uuid4(), waited, *idem
        )

    def vote(self, election, voter=None, selections=("yes",), member=True, admin=False, waited=0, idem=(None, None, None), session=None):
        selections = list(selections)
        return (session or self.elections).call(
            "elections.cast_member_vote", self.org, uuid.UUID(str(election)), voter or new_slot(), member, admin, selections,
            [uuid.uuid4() for _ in selections], waited, *idem,
        )

    def results(self, election):
        return self.e("results", uuid.UUID(election))

    def audit(self, election=None):
        """(action, success, actor, correlation, code) of the rows of the tenant, oldest first."""
        return self.admin.rows(
            "SELECT action, success, actor, correlation, details ->> 'code' FROM elections.audit"
            " WHERE org_id = %s AND (%s::uuid IS NULL OR election_id = %s::uuid) ORDER BY seq",
            self.org, election, election,
        )


@pytest.fixture
def world():
    """A tenant of its own. Also closes what a failing test left open: the server has 25 connections for all of them."""
    made = World()
    yield made
    made.close()
    for session in list(Session.open):
        session.close()
