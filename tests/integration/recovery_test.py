"""The database is lost and comes back: the drill, the backup command, and what it must notice (V-F7, V-O5)."""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tempfile

import psycopg2
import pytest

from suite import BIN_DIR
from voting import ORG, close_election, create_election, in_parallel, one, register, vote

OPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "ops")
TOOL_TIMEOUT_S = 300


def load(name):
    """A script of deploy/ops as a module: the drill then runs on a stack whose logs this run looks at."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), os.path.join(OPS, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_drill_with_log_loses_no_acknowledged_vote(own_stack):
    lines = []
    report = load("backup-drill").drill(own_stack.stack, "log", 90, lines.append)
    assert report["lost"] == 0 and report["acknowledged"] >= 45
    assert report["acknowledged"] + report["unanswered"] == 90
    assert any("votes that were answered 201 are there" in line for line in lines)


def test_drill_with_dump_restores_the_snapshot(own_stack):
    report = load("backup-drill").drill(own_stack.stack, "dump", 60, lambda _: None)
    # What came after the dump is gone with it, is counted, and was voted again.
    assert report["recorded_again"] >= report["lost"] >= 0
    assert report["lost"] < report["acknowledged"] <= 60


def test_drill_from_the_command_line_leaves_nothing():
    tmp_path = tempfile.mkdtemp(prefix="ekklesia-test-")
    os.chmod(tmp_path, 0o755)  # the database's user must get through
    run = subprocess.run([sys.executable, os.path.join(OPS, "backup-drill"), "--method", "dump", "--voters", "20"],
                         env={**os.environ, "BIN_DIR": BIN_DIR, "TMPDIR": tmp_path}, text=True, capture_output=True,
                         timeout=TOOL_TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["method"] == "dump"
    os.rmdir(tmp_path)  # fails when anything is left


# --- backup take, restore, check ----------------------------------------------------------------------------------


class Tool:
    def __init__(self, stack, directory):
        self.stack, self.directory = stack, str(directory)

    def run(self, command, db="ekklesia", **env):
        pg = self.stack.postgres
        run = subprocess.run(
            [os.path.join(OPS, "backup"), command, self.directory], text=True, capture_output=True, check=False,
            timeout=TOOL_TIMEOUT_S,
            env={"PATH": os.environ["PATH"], "ADMIN_DATABASE_URL": pg.url("ekklesia_admin", db),
                 "DEPLOYER_DATABASE_URL": pg.url("sqitch", db), **env})
        return run.returncode, run.stdout + run.stderr

    def restore_as(self, db):
        self.stack.postgres.make_database(db)
        return self.run("restore", db)


@pytest.fixture(scope="module")
def restored(shared_stack, tmp_path_factory):
    """A backup of an open and a closed election, and where to restore it."""
    elections = shared_stack.service("elections")
    open_one, closed = create_election(shared_stack), create_election(shared_stack)
    for election in (open_one, closed):
        for answer in ("yes", "yes", "no"):
            assert vote(elections, register(elections, election), answer).status == 201
    close_election(shared_stack, closed)
    tool = Tool(shared_stack, tmp_path_factory.mktemp("backup") / "b")
    code, said = tool.run("take")
    assert code == 0, said
    code, said = tool.restore_as("restored")
    assert code == 0, said
    tool.open, tool.closed = open_one, closed
    yield tool
    shared_stack.postgres.query("drop database if exists restored with (force)")


def test_backup_restores_to_the_same(restored):
    assert restored.run("check", "restored") == (0, "0 differences\n")


def test_backup_is_for_its_owner_and_tells_no_tally(restored):
    assert stat.S_IMODE(os.stat(restored.directory).st_mode) == 0o700
    for name in ("ekklesia.dump", "sqitch.dump"):
        assert stat.S_IMODE(os.stat(os.path.join(restored.directory, name)).st_mode) == 0o600
    with open(os.path.join(restored.directory, "facts.json"), encoding="utf-8") as text:
        facts = json.load(text)
    assert set(facts["elections"][restored.open]) == {"status", "tally", "voters", "participation", "seal"}
    assert len(facts["elections"][restored.open]["tally"]) == 64
    assert facts["elections"][restored.closed]["seal"] == "ok"


def test_backup_restore_refuses_a_database_with_something_in_it(restored):
    code, said = restored.run("restore")
    assert code == 2 and "not empty" in said
    assert restored.run("restore", "restored")[0] == 2


TAMPER = {
    "a ballot changed": ("update elections.ballots set answer_id = 'no' where election_id = %(open)s and answer_id = 'yes'", "tally differs"),
    "a ballot removed": ("delete from elections.ballots where election_id = %(open)s", "tally differs"),
    "a participation removed": (
        "delete from elections.participation where election_id = %(open)s and voter = (select voter from elections.participation"
        " where election_id = %(open)s limit 1)", "participation differs"),
    "a closed ballot changed": (
        "update elections.ballots set answer_id = 'abstain' where election_id = %(closed)s and answer_id = 'no'", "seal of election"),
    "a count changed": ("update elections.results set total_voters = 4 where election_id = %(closed)s", "seal of election"),
    "an audit row changed": ("update elections.audit set actor = 'x' where election_id = %(closed)s", "audit chain of organisation"),
    "the end of the chain cut": (
        "with last as (select max(seq) as seq from elections.audit where org_id = %(org)s), gone as (delete from elections.audit a"
        " using last where a.org_id = %(org)s and a.seq = last.seq) update elections.audit_heads h set seq = p.seq, hash = p.hash from"
        " elections.audit p, last where h.org_id = %(org)s and p.org_id = h.org_id and p.seq = last.seq - 1", "audit"),
    "a token unspent": (
        "update elections.voting_tokens set used = false where election_id = %(open)s", "tables elections.voting_tokens: digest differs"),
    "an election removed": ("delete from elections.elections where id = %(open)s", "missing"),
    "an organisation added": ("insert into elections.organisations (slug, name) values ('other', 'Other')", "was not in the backup"),
}


@pytest.mark.parametrize("what", TAMPER)
def test_backup_check_notices(restored, what):
    statement, expected = TAMPER[what]
    pg = restored.stack.postgres
    pg.query("create database tampered template restored")
    try:
        with contextlib.closing(psycopg2.connect(pg.dsn("postgres", "tampered"))) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute("set session_replication_role = replica")
                cursor.execute(statement, {"open": restored.open, "closed": restored.closed, "org": ORG})
                assert cursor.rowcount >= 1
        code, said = restored.run("check", "tampered")
        assert code == 1 and expected in said, said
    finally:
        pg.query("drop database if exists tampered with (force)")


def test_backup_that_fails_leaves_no_directory(stack, tmp_path):
    tool = Tool(stack, tmp_path / "b")
    code, said = tool.run("take", DEPLOYER_DATABASE_URL=stack.postgres.url("nobody"))
    assert code == 2 and "pg_dump failed" in said
    assert not os.path.exists(tool.directory)
    assert tool.run("check")[0] == 2
    assert tool.run("take", ADMIN_DATABASE_URL="")[0] == 2


def test_backup_of_a_broken_chain_says_so_and_is_kept(restored, tmp_path):
    pg = restored.stack.postgres
    pg.query("create database broken template restored")
    try:
        pg.query(f"set session_replication_role = replica; update elections.audit set actor = 'x' where org_id = '{ORG}'"
                 " and seq = 1", db="broken")
        tool = Tool(restored.stack, tmp_path / "b")
        code, said = tool.run("take", "broken")
        assert code == 2 and "audit chain" in said and os.path.exists(os.path.join(tool.directory, "facts.json"))
    finally:
        pg.query("drop database broken with (force)")


def test_backup_while_votes_run_agrees_with_itself(stack, tmp_path):
    """Dump and facts are one snapshot: votes between them would show as a difference."""
    elections, election = stack.service("elections"), create_election(stack)
    tokens = [register(elections, election) for _ in range(40)]
    tool = Tool(stack, tmp_path / "b")
    results = in_parallel([lambda: tool.run("take")] + [
        lambda part=part: [vote(elections, token).status for token in part] for part in (tokens[:20], tokens[20:])])
    assert results[0][0] == 0, results[0]
    assert set(results[1] + results[2]) == {201}
    try:
        assert tool.restore_as("alongside")[0] == 0
        assert tool.run("check", "alongside") == (0, "0 differences\n")
        used = one(stack, "select count(*) from elections.voting_tokens where election_id = %s and used", (election,))[0]
        assert used == 40
    finally:
        stack.postgres.query("drop database if exists alongside with (force)")
