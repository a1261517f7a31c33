"""The schema changes while people vote and nobody is refused: expand, migrate, contract (sql/README.md, V-H1).

The change is a real one in form: how somebody took part gets a column, the vote function a successor that fills it, the
old function goes. Its scripts live here and run through sqitch on a copy of the project. The next release of the
service is this one with the name of one SQL function replaced in the binary (of equal length), so that old and new
really call different functions.
"""

import http.client
import os
import secrets
import shutil
import threading
from collections import Counter

import psycopg2
import pytest

from postgres import SQL_DIR, PostgresError
from suite import BIN_DIR, wait_until
from voting import ORG, ballots, close_election, create_election, one, register, vote

OLD, NEW = "cast_token_vote", "cast_token_vot2"
VOTERS = 4  # phones voting all the time
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '200ms';\n"  # less than LOCK_TIMEOUT_MS, which votes wait
HEAD = "BEGIN;\nSET LOCAL ROLE ekklesia_owner;\n" + LOCK_TIMEOUT
NOTHING = "BEGIN;\nCOMMIT;\n"

MIGRATE = HEAD + """
-- No instance of the old kind runs any more: what names no channel is a signed-in member.
ALTER TABLE elections.participation ALTER COLUMN channel SET DEFAULT 'member';
COMMIT;
"""
CONTRACT = HEAD + """
DROP FUNCTION elections.cast_token_vote;
-- NOT VALID takes the lock for an instant; the scan that proves it for the old rows locks out no vote.
ALTER TABLE elections.participation ADD CONSTRAINT channel_known CHECK (channel IN ('token', 'member') AND channel IS NOT NULL) NOT VALID;
COMMIT;
"""
PROVE = HEAD + "ALTER TABLE elections.participation VALIDATE CONSTRAINT channel_known;\nCOMMIT;\n"
# Bounded, one transaction each; rows that votes hold are left for the next round.
BACKFILL = """
with batch as (select election_id, voter from elections.participation where channel is null limit 25 for update skip locked)
update elections.participation p
   set channel = case when exists (select from elections.voting_tokens t where t.election_id = p.election_id and t.slot = p.voter and t.used)
                      then 'token' else 'member' end
  from batch where p.election_id = batch.election_id and p.voter = batch.voter"""


def expand_script(stack):
    """The column, and the vote function under its new name, with one more line; granted in the same change."""
    definition = one(stack, "select pg_get_functiondef(oid) from pg_proc where proname = %s", (OLD,), user="postgres")[0]
    successor = definition.replace(f"elections.{OLD}(", f"elections.{NEW}(").replace(
        "        code := 'accepted';",
        "        UPDATE elections.participation p SET channel = 'token'\n"
        "         WHERE p.election_id = token.election_id AND p.voter = token.slot;\n"
        "        code := 'accepted';")
    assert successor.count(NEW) == 1 and "channel" in successor
    return (HEAD + "ALTER TABLE elections.participation ADD COLUMN channel text;\n" + successor + ";\n"
            f"GRANT EXECUTE ON FUNCTION elections.{NEW} TO elections;\nCOMMIT;\n")


class Project:
    """A copy of sql/ that grows by one change at a time."""

    def __init__(self, stack, directory, monkeypatch):
        self.stack, self.directory = stack, str(directory)
        shutil.copytree(SQL_DIR, self.directory)
        monkeypatch.setattr("postgres.SQL_DIR", self.directory)

    def add(self, name, deploy):
        for folder, text in (("deploy", deploy), ("revert", NOTHING), ("verify", NOTHING)):
            with open(os.path.join(self.directory, folder, name + ".sql"), "w", encoding="utf-8") as out:
                out.write(text)
        with open(os.path.join(self.directory, "sqitch.plan"), "a", encoding="utf-8") as plan:
            plan.write(f"{name} 2026-11-28T10:00:00Z Test <test@example.is> # {name}\n")

    def deploy(self):
        """As an operator would: what loses the race for a lock is tried again. How often it lost."""
        for attempt in range(100):
            try:
                self.stack.postgres.sqitch("deploy")
                return attempt
            except PostgresError as error:
                assert "lock timeout" in str(error), error
        raise AssertionError("the lock is never free")


class Rotation:
    """The instances requests go to, as Cloud Run routes them: one leaves, its requests end, then it gets SIGTERM."""

    def __init__(self):
        self.lock = threading.Lock()
        self.services, self.busy = [], Counter()
        self.turn = 0

    def add(self, service):
        with self.lock:
            self.services.append(service)

    def take(self):
        with self.lock:
            self.turn += 1
            service = self.services[self.turn % len(self.services)]
            self.busy[service] += 1
            return service

    def give_back(self, service):
        with self.lock:
            self.busy[service] -= 1

    def retire(self, service):
        with self.lock:
            self.services.remove(service)
        wait_until(lambda: self.busy[service] == 0, timeout_s=30)
        assert service.stop() == 0


class Voters:
    """Members who register and vote, one after another, until told to stop. Nobody asks twice."""

    def __init__(self, rotation, election):
        self.rotation, self.election = rotation, election
        self.replies, self.stop = [], threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(VOTERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        while not self.stop.is_set():
            self.replies.append(self.one_vote())

    def one_vote(self):
        service = self.rotation.take()
        try:
            token = register(service, self.election)
            return vote(service, token, key=secrets.token_hex(8)).status
        except (AssertionError, OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            self.rotation.give_back(service)

    def go_on(self, count=15):
        """Returns when that many more votes are through."""
        before = len(self.replies)
        wait_until(lambda: len(self.replies) >= before + count, timeout_s=60)


def next_release(directory):
    os.makedirs(directory)
    with open(os.path.join(BIN_DIR, "elections"), "rb") as old:
        binary = old.read()
    name = f"elections.{OLD}(".encode()
    assert binary.count(name) == 1
    target = os.path.join(directory, "elections")
    with open(target, "wb") as new:
        new.write(binary.replace(name, f"elections.{NEW}(".encode()))
    os.chmod(target, 0o755)


def start_from(stack, directory):
    kept, stack.stack.bin_dir = stack.stack.bin_dir, str(directory)
    try:
        return stack.start("elections", DATABASE_POOL_MAX=2, WRITE_LIMIT_PER_MINUTE=1000000)
    finally:
        stack.stack.bin_dir = kept


def channels(stack, election):
    return dict(stack.sql("select channel, count(*) from elections.participation where election_id = %s group by 1", (election,)))


def test_expand_migrate_contract_with_votes_running(own_stack, tmp_path, monkeypatch):
    project = Project(own_stack, tmp_path / "sql", monkeypatch)
    next_release(str(tmp_path / "next"))
    rotation, election = Rotation(), create_election(own_stack)
    old = [start_from(own_stack, BIN_DIR) for _ in range(2)]
    for service in old:
        rotation.add(service)
    with Voters(rotation, election) as voters:
        voters.go_on()

        project.add("channel_expand", expand_script(own_stack))
        # Somebody reads the table in a long transaction, as a dump does: the change must not make votes wait for that.
        reader = own_stack.connect(autocommit=False)
        with reader.cursor() as cursor:
            cursor.execute("select count(*) from elections.participation")
        with pytest.raises(PostgresError, match="lock timeout"):
            own_stack.postgres.sqitch("deploy")
        voters.go_on()
        reader.close()
        project.deploy()
        voters.go_on()
        assert set(channels(own_stack, election)) == {None}, "old instances know nothing of it"

        for service in old:  # rolling: a new one comes, an old one goes
            rotation.add(start_from(own_stack, tmp_path / "next"))
            voters.go_on()
            rotation.retire(service)
        voters.go_on()
        assert channels(own_stack, election).get("token"), "the new instances use the new function"

        project.add("channel_migrate", MIGRATE)
        project.deploy()
        with own_stack.cursor() as cursor:
            while cursor.execute(BACKFILL) or cursor.rowcount:
                voters.go_on(1)
        project.add("channel_contract", CONTRACT)
        project.add("channel_proven", PROVE)
        project.deploy()
        voters.go_on()
    assert Counter(voters.replies) == {201: len(voters.replies)}, "somebody was refused"
    assert ballots(own_stack, election) == len(voters.replies)
    assert channels(own_stack, election) == {"token": len(voters.replies)}
    assert one(own_stack, "select count(*) from pg_proc where proname = %s", (OLD,), user="postgres")[0] == 0
    close_election(own_stack, election)
    voters_counted = one(own_stack, "select total_voters from elections.results(%s, %s)", (ORG, election), user="elections")[0]
    assert voters_counted == len(voters.replies)


def test_change_without_lock_timeout_would_refuse_votes(stack):
    """Why the rule stands: a change that waits for a reader makes every vote wait behind it."""
    election = create_election(stack)
    impatient = stack.start("elections", LOCK_TIMEOUT_MS=100)
    token = register(impatient, election)
    reader, change = stack.connect(autocommit=False), stack.connect(autocommit=False)
    with reader.cursor() as cursor:
        cursor.execute("select count(*) from elections.participation")

    def wait_for_lock():
        with change.cursor() as cursor:
            try:
                cursor.execute("alter table elections.participation add column never text")
            except psycopg2.Error:
                pass  # cancelled below

    waiting = threading.Thread(target=wait_for_lock)
    waiting.start()
    try:
        wait_until(lambda: stack.sql("select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock'"))
        assert vote(impatient, token).status == 503
    finally:
        change.cancel()
        waiting.join()
        change.rollback()
        reader.rollback()
        change.close()
        reader.close()
    assert vote(impatient, token).status == 201
