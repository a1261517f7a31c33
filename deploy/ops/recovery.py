"""Backup and restore of the database, and the proof that nothing changed on the way.

A backup is a directory: `ekklesia.dump` (schemas elections and events), `sqitch.dump` (which schema changes are in),
`facts.json`. All three come from one snapshot, so that they agree even while votes arrive. The facts hold digests
and counts, no total of an open election; the dumps of an election that is open are as secret as its ballots
(sql/README.md), so the directory is made for its owner only.

Two roles do all of it, as on Cloud SQL, where nobody is superuser: ekklesia_admin reads the rows of every
organisation, the deployer owns the database and the register of changes.
"""

import contextlib
import json
import os
import shutil
import subprocess

import psycopg2
import psycopg2.extensions

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PG_BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
SCHEMAS = ("elections", "events")
DUMP, CHANGES, FACTS = "ekklesia.dump", "sqitch.dump", "facts.json"

# Order and place of rows do not count, content does.
TABLE_DIGEST = """
select count(*), encode(sha256(convert_to(coalesce(string_agg(row_hash, '' order by row_hash), ''), 'UTF8')), 'hex')
  from (select md5(t::text) as row_hash from {table} t) rows"""
# An election's tally as a digest, participation as another: who asks before the end learns nothing.
ELECTION_FACTS = """
select e.id::text, e.org_id::text, e.status,
       (select encode(sha256(convert_to(coalesce(string_agg(b.answer_id || ':' || b.votes, ',' order by b.answer_id), ''),
                                        'UTF8')), 'hex')
          from (select answer_id, count(*) as votes from elections.ballots where election_id = e.id group by 1) b),
       (select count(*) from elections.participation p where p.election_id = e.id),
       (select encode(sha256(coalesce(string_agg(p.voter::bytea, '' order by p.voter::bytea), '')), 'hex')
          from elections.participation p where p.election_id = e.id)
  from elections.elections e order by e.id"""


class RecoveryError(RuntimeError):
    """Something could not be done; the message says what, without a value of any row."""


@contextlib.contextmanager
def snapshot(url):
    """A read-only cursor on one state of the database."""
    connection = psycopg2.connect(url)
    try:
        connection.set_session(isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1")
            yield cursor
    finally:
        connection.close()


def facts(cursor):
    """What must be the same after a restore. ekklesia_admin's rights are enough, and are needed."""
    cursor.execute("select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on"
                   " n.oid = c.relnamespace where n.nspname = any(%s) and c.relkind in ('r', 'p') order by 1",
                   (list(SCHEMAS),))
    tables = {}
    for (table,) in cursor.fetchall():
        cursor.execute(TABLE_DIGEST.format(table=table))
        tables[table] = dict(zip(("rows", "digest"), cursor.fetchone()))
    cursor.execute(ELECTION_FACTS)
    elections = {}
    for election, org, status, tally, voters, participation in cursor.fetchall():
        elections[election] = {"status": status, "tally": tally, "voters": voters, "participation": participation}
        cursor.execute("select code from elections.seal_verify(%s, %s)", (org, election))
        elections[election]["seal"] = cursor.fetchone()[0]
    chains = {}
    cursor.execute("select id::text from elections.organisations order by id")
    for (org,) in cursor.fetchall():
        cursor.execute("select ok, rows, head from elections.audit_verify(%s)", (org,))
        chains[org] = dict(zip(("ok", "rows", "head"), cursor.fetchone()))
    return {"elections": elections, "audit": chains, "tables": tables}


def broken(found):
    """What is wrong with the facts by themselves: a chain or a seal that does not hold."""
    for org, chain in found["audit"].items():
        if not chain["ok"]:
            yield f"audit chain of organisation {org} is broken"
    for election, fact in found["elections"].items():
        if fact["seal"] == "broken":
            yield f"seal of election {election} is broken"


def differences(wanted, found):
    """Sentences; none when both are the same."""
    for kind in ("elections", "audit", "tables"):
        for name in sorted(wanted[kind].keys() | found[kind].keys()):
            one, other = wanted[kind].get(name), found[kind].get(name)
            if one is None or other is None:
                yield f"{kind} {name}: {'missing' if other is None else 'was not in the backup'}"
                continue
            for key in one:
                if one[key] != other[key]:
                    yield f"{kind} {name}: {key} differs"


def take(admin_url, deployer_url, directory):
    """Write a backup into a new directory; its facts. Votes go on meanwhile: a dump locks nothing they need."""
    os.makedirs(directory, mode=0o700)
    try:
        with snapshot(admin_url) as cursor:
            cursor.execute("select pg_export_snapshot()")
            name = cursor.fetchone()[0]
            _dump(admin_url, name, directory, DUMP, "--enable-row-security", *(f"--schema={s}" for s in SCHEMAS))
            _dump(deployer_url, name, directory, CHANGES, "--schema=sqitch")
            found = facts(cursor)
    except BaseException:
        shutil.rmtree(directory)  # half a backup must not be taken for one
        raise
    problems = list(broken(found))
    with open(os.path.join(directory, FACTS), "w", encoding="utf-8") as out:
        json.dump(found, out, indent=1)
    if problems:
        raise RecoveryError("the backup is written, but: " + "; ".join(problems))
    return found


def restore(deployer_url, directory):
    """Fill an empty database from a backup. Each dump comes in whole or not at all."""
    with contextlib.closing(psycopg2.connect(deployer_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select nspname from pg_namespace where nspname = any(%s)", ([*SCHEMAS, "sqitch"],))
        if cursor.fetchall():
            raise RecoveryError("the database is not empty; nothing was changed")
    # Roles and the rights on the database itself belong to the cluster, so no dump has them.
    _run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", deployer_url,
         "-f", os.path.join(ROOT, "sql", "deploy", "roles.sql"))
    for name in (DUMP, CHANGES):
        _run("pg_restore", "--single-transaction", "--exit-on-error", "-d", deployer_url,
             os.path.join(directory, name))
    with contextlib.closing(psycopg2.connect(deployer_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("analyze")


def check(admin_url, directory):
    """Sentences about what the database has not as the backup had it; none when all agree."""
    with open(os.path.join(directory, FACTS), encoding="utf-8") as text:
        wanted = json.load(text)
    with snapshot(admin_url) as cursor:
        found = facts(cursor)
    return [*broken(found), *differences(wanted, found)]


def _dump(url, snapshot_name, directory, name, *options):
    path = os.path.join(directory, name)
    _run("pg_dump", "--format=custom", f"--snapshot={snapshot_name}", *options, "-d", url, "-f", path)
    os.chmod(path, 0o600)


def _run(tool, *arguments):
    run = subprocess.run([os.path.join(PG_BIN, tool), *arguments], text=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode != 0:
        raise RecoveryError(f"{tool} failed: {run.stdout.strip()[-2000:]}")
