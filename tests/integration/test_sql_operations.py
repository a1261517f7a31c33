"""Idempotency, nonces, sweeps, the audit chain, deployment, dump and restore (V-F4 to V-F7, V-G7, V-H1 to V-H8, V-O8, V-O9)."""

import os
import subprocess
import uuid

import psycopg2
import pytest

from test_sql_support import ORG, SQL_DIR, Postgres, Session, World, cluster, in_parallel, key, new_slot, world  # noqa: F401

BIN = "/usr/lib/postgresql/15/bin"


# --- idempotency ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["elections", "events"])
def test_idempotency_life_of_a_key(world, schema):
    session = getattr(world, schema)
    idem, print_ = key(), key()
    claim = lambda p=print_, lease=5000: session.call(f"{schema}.idempotency_claim", world.org, idem, p, lease, uuid.uuid4())  # noqa: E731
    assert claim()["code"] == "fresh"
    assert claim()["code"] == "running"
    assert claim(key())["code"] == "mismatch"
    store = (f"{schema}.idempotency_store", world.org, idem, print_, b"the reply", 60)
    assert session.call(*store)["stored"] is True
    assert (claim()["code"], claim()["reply"]) == ("replay", b"the reply")
    assert claim(key()) == {"code": "mismatch", "reply": None}
    assert session.call(*store)["stored"] is False
    assert session.call(f"{schema}.idempotency_release", world.org, idem)["released"] is False
    world.root.rows(f"UPDATE {schema}.idempotency SET expires_at = date_trunc('minute', now()) WHERE key = %s", idem)
    assert claim(key())["code"] == "fresh"


@pytest.mark.parametrize("schema", ["elections", "events"])
def test_idempotency_release_and_lease(world, schema):
    session = getattr(world, schema)
    idem, print_ = key(), key()
    claim = lambda lease=5000: session.call(f"{schema}.idempotency_claim", world.org, idem, print_, lease, uuid.uuid4())["code"]  # noqa: E731
    assert claim() == "fresh"
    assert session.call(f"{schema}.idempotency_release", world.org, idem)["released"] is True
    assert claim(0) == "fresh"
    assert claim(0) == "fresh", "its lease is over"
    assert session.call(f"{schema}.idempotency_store", world.org, idem, key(), b"x", 60)["stored"] is False, "another request"


@pytest.mark.parametrize("schema", ["elections", "events"])
def test_idempotency_claim_whose_answer_was_lost_is_made_again(world, schema):
    session = getattr(world, schema)
    idem, print_, ours, theirs = key(), key(), uuid.uuid4(), uuid.uuid4()
    claim = lambda who, p=print_, lease=5000: session.call(f"{schema}.idempotency_claim", world.org, idem, p, lease, who)["code"]  # noqa: E731
    assert [claim(ours), claim(ours), claim(theirs), claim(ours)] == ["fresh", "fresh", "running", "fresh"]
    assert claim(ours, key()) == "mismatch"
    assert [claim(ours, lease=0), claim(theirs), claim(ours)] == ["fresh", "fresh", "running"], "lost to another when its lease was over"
    assert session.call(f"{schema}.idempotency_store", world.org, idem, print_, b"the reply", 60)["stored"] is True
    assert claim(theirs) == "replay"
    with pytest.raises(psycopg2.errors.CheckViolation):
        session.call(f"{schema}.idempotency_claim", world.org, key(), print_, 5000, None)


@pytest.mark.parametrize("schema", ["elections", "events"])
def test_idempotency_parallel_claims_one_is_fresh(world, schema):
    sessions = [Session(schema) for _ in range(4)]
    for _ in range(10):
        idem, print_ = key(), key()
        codes = in_parallel(*[
            lambda s=s: s.call(f"{schema}.idempotency_claim", world.org, idem, print_, 5000, uuid.uuid4())["code"] for s in sessions])
        assert sorted(codes) == ["fresh", "running", "running", "running"]
    for session in sessions:
        session.close()


def test_idempotency_tenants_do_not_meet(world):
    other = World()
    idem = key()
    assert world.e("idempotency_claim", idem, key(), 5000, uuid.uuid4())["code"] == "fresh"
    assert other.e("idempotency_claim", idem, key(), 5000, uuid.uuid4())["code"] == "fresh"
    other.close()


# --- nonces and sweeps ---------------------------------------------------------------------------------------------


def test_nonce_is_good_once_everywhere(world):
    sessions = [Session("elections") for _ in range(4)]
    for i in range(10):
        fresh = in_parallel(*[
            lambda s=s: s.call("elections.use_nonce", world.org, "key-1", f"nonce-{i}", "2999-01-01")["fresh"] for s in sessions])
        assert sorted(fresh) == [False, False, False, True]
    assert world.e("use_nonce", "key-2", "nonce-1", "2999-01-01")["fresh"] is True
    for session in sessions:
        session.close()


def test_nonce_use_removes_a_few_expired(world):
    world.root.rows("INSERT INTO elections.nonces SELECT %s, 'k', g::text, now() - interval '1 minute' FROM generate_series(1, 10) g", world.org)
    world.e("use_nonce", "k", "n", "2999-01-01")
    assert world.root.one("SELECT count(*) FROM elections.nonces WHERE org_id = %s", world.org) == (7,)


def test_sweep_removes_only_expired_in_bounded_batches(world):
    world.elections.call("elections.sweep", 10000)
    other = World()
    for w in (world, other):
        w.root.rows("INSERT INTO elections.nonces SELECT %s, 'k', g::text, now() - interval '1 minute' FROM generate_series(1, 5) g", w.org)
        w.e("use_nonce", "k", "live", "2999-01-01")
        w.root.rows(
            "INSERT INTO elections.idempotency SELECT %s, sha256(g::text::bytea), sha256('f'), 'done', 'r', NULL, NULL,"
            " date_trunc('minute', now() - interval '2 minutes') FROM generate_series(1, 3) g", w.org)
        w.e("idempotency_claim", key(), key(), 1000, uuid.uuid4())
    first = world.elections.call("elections.sweep", 2)
    assert first["nonces"] <= 4 and first["idempotency"] == 4
    while world.elections.call("elections.sweep", 2) != {"nonces": 0, "idempotency": 0}:
        pass
    for w in (world, other):
        assert w.root.one("SELECT count(*) FROM elections.nonces WHERE org_id = %s", w.org) == (1,)
        assert w.root.one("SELECT count(*) FROM elections.idempotency WHERE org_id = %s", w.org) == (1,)
    other.close()


# --- audit chain ---------------------------------------------------------------------------------------------------


def chain_of(world, rows=6):
    for i in range(rows):
        world.e("audit_append", "fetch_results", i % 2 == 0, "uid-é", f"corr-{i}", uuid.uuid4() if i % 3 else None, {"n": i, "t": "Þ"})
    verdict = world.e("audit_verify")
    assert (verdict["ok"], verdict["rows"], verdict["first_bad_seq"]) == (True, rows, None)


TAMPER = {
    "changed details": ("UPDATE elections.audit SET details = '{\"n\": 99}' WHERE org_id = %(o)s AND seq = 3", 3),
    "changed success": ("UPDATE elections.audit SET success = NOT success WHERE org_id = %(o)s AND seq = 4", 4),
    "changed time": ("UPDATE elections.audit SET at = at + interval '1 microsecond' WHERE org_id = %(o)s AND seq = 1", 1),
    "changed actor": ("UPDATE elections.audit SET actor = 'other' WHERE org_id = %(o)s AND seq = 6", 6),
    "emptied correlation": ("UPDATE elections.audit SET correlation = NULL WHERE org_id = %(o)s AND seq = 2", 2),
    "removed from the middle": ("DELETE FROM elections.audit WHERE org_id = %(o)s AND seq = 3", 3),
    "removed at the start": ("DELETE FROM elections.audit WHERE org_id = %(o)s AND seq = 1", 1),
    "removed at the end": ("DELETE FROM elections.audit WHERE org_id = %(o)s AND seq = 6", 6),
    "added at the end": (
        "INSERT INTO elections.audit SELECT org_id, 7, at, action, success, actor, correlation, election_id, details, before_digest,"
        " after_digest, hash, hash FROM elections.audit WHERE org_id = %(o)s AND seq = 6", 7),
    "rehashed": ("UPDATE elections.audit SET actor = 'x', hash = sha256('x') WHERE org_id = %(o)s AND seq = 5", 5),
    "head moved": ("UPDATE elections.audit_heads SET seq = seq + 1 WHERE org_id = %(o)s", 7),
}


@pytest.mark.parametrize("what", TAMPER)
def test_audit_verify_finds_tampering(world, what):
    chain_of(world)
    sql, bad = TAMPER[what]
    world.root.rows("SET session_replication_role = replica")
    with world.root.connection.cursor() as cursor:
        cursor.execute(sql, {"o": world.org})
        assert cursor.rowcount == 1
    world.root.rows("SET session_replication_role = origin")
    verdict = world.e("audit_verify")
    assert (verdict["ok"], verdict["first_bad_seq"]) == (False, bad)


@pytest.mark.parametrize("sql", ["UPDATE elections.audit SET actor = 'x'", "DELETE FROM elections.audit", "TRUNCATE elections.audit"])
def test_audit_owner_and_superuser_cannot_change_rows(world, sql):
    chain_of(world)
    for owner in (False, True):
        world.root.connection.autocommit = False
        try:
            if owner:
                world.root.rows("SET LOCAL ROLE ekklesia_owner")
                world.root.rows("SELECT set_config('app.org_id', %s, true)", world.org)
            with pytest.raises(psycopg2.Error, match="never changed or removed"):
                world.root.rows(sql)
        finally:
            world.root.connection.rollback()
            world.root.connection.autocommit = True


def test_audit_parallel_appends_make_one_unbroken_chain(world):
    sessions = [Session("elections") for _ in range(4)]

    def append(session):
        for _ in range(20):
            session.call("elections.audit_append", world.org, "act", True, "uid", None, None, {})

    in_parallel(*[lambda s=s: append(s) for s in sessions])
    verdict = world.e("audit_verify")
    assert (verdict["ok"], verdict["rows"]) == (True, 80)
    for session in sessions:
        session.close()


def test_audit_verify_does_not_depend_on_zone_or_style(world):
    chain_of(world)
    head = world.e("audit_verify")["head"]
    world.elections.rows("SET timezone = 'Pacific/Auckland'")
    world.elections.rows("SET datestyle = 'German'")
    assert world.e("audit_verify") == {"ok": True, "first_bad_seq": None, "rows": 6, "head": head}


def test_audit_digests_tie_consecutive_rows_together(world):
    election = world.draft()
    world.open(election)
    world.act("close", election)
    rows = world.admin.rows("SELECT before_digest, after_digest FROM elections.audit WHERE election_id = %s ORDER BY seq", election)
    assert rows[0][0] is None and bytes(rows[0][1]) == bytes(rows[1][0]) and bytes(rows[1][1]) == bytes(rows[2][0])


def test_functions_do_not_depend_on_the_zone_of_the_session(world):
    world.elections.rows("SET timezone = 'America/New_York'")
    election = world.published(end="2999-06-01T12:00:00Z")
    row = world.e("get_election", uuid.UUID(election))["election"]
    assert row["scheduled_end"] == "2999-06-01T12:00:00.000Z"
    bare = world.e("create_election", "u", None, {"title": "t", "question": "q", "answers": ["a", "b"], "scheduled_end": "2999-06-01 12:00"})
    assert bare["election"]["scheduled_end"] == "2999-06-01T12:00:00.000Z"


# --- deployment ----------------------------------------------------------------------------------------------------


def schema_of(db):
    dump = subprocess.run(
        [os.path.join(BIN, "pg_dump"), "--schema-only", "-n", "elections", "-n", "events", "-d", cluster().dsn("postgres", db)],
        check=True, capture_output=True, text=True).stdout
    # Newer minor releases guard their dumps with a random word.
    return "\n".join(line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def test_deploy_twice_changes_nothing_and_revert_leaves_nothing():
    pg = cluster()
    pg.deploy("cycle")
    first = schema_of("cycle")
    log = pg.query("SELECT count(*) FROM sqitch.events", "cycle")
    pg.deploy("cycle")
    assert schema_of("cycle") == first and pg.query("SELECT count(*) FROM sqitch.events", "cycle") == log
    pg.sqitch("verify", db="cycle")
    pg.sqitch("revert", "-y", db="cycle")
    left = pg.query(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public', 'sqitch')"
        " UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace", "cycle")
    assert left == []
    pg.deploy("cycle")
    assert schema_of("cycle") == first
    # Roles belong to the cluster: reverting one database leaves those another still needs.
    world = World()
    assert world.published()
    world.close()


def test_deploy_each_change_reverts_alone():
    pg = cluster()
    pg.deploy("steps")
    with open(os.path.join(SQL_DIR, "sqitch.plan"), encoding="utf-8") as plan:
        names = [line.split()[0] for line in plan if line.strip() and not line.startswith("%")]
    assert names[0] == "roles" and names[-1] == "vote_queue"
    for name in reversed(names[:-1]):
        pg.sqitch("revert", "-y", "--to-change", name, db="steps")
        pg.sqitch("verify", db="steps")
    pg.deploy("steps")


def test_fresh_database_takes_votes():
    pg = cluster()
    pg.deploy("fresh")
    world = World("fresh")
    world.org = ORG
    election = world.published()
    assert world.cast(world.token(election))["code"] == "accepted"
    assert world.vote(election)["code"] == "accepted"
    assert pg.query("SELECT count(*) FROM elections.elections", "fresh") == [["1"]]
    world.close()


@pytest.mark.parametrize("dumper", ["postgres", "ekklesia_admin"])
def test_dump_and_restore_keep_everything(dumper):
    """Also long after: an election of years ago is restored as it was (V-F7)."""
    pg = cluster()
    source, target = f"dump_{dumper}", f"restore_{dumper}"
    pg.deploy(source)
    world = World(source)
    old, live = world.published(end="2999-01-01"), world.published()
    slot, waiting = new_slot(), world.token(live)
    world.vote(old, slot)
    world.set(old, published_at="'2016-01-01'", scheduled_start="'2016-01-01'")
    world.set(old, scheduled_end="'2016-01-02'")
    before = world.results(old)
    options = ["--schema=elections", "--schema=events", "--schema=sqitch"]
    if dumper == "ekklesia_admin":
        options = ["--schema=elections", "--schema=events", "--enable-row-security"]
    dump = subprocess.run([os.path.join(BIN, "pg_dump"), *options, "-d", pg.dsn(dumper, source)], check=True, capture_output=True, text=True).stdout
    pg.query(f"CREATE DATABASE {target} TEMPLATE template0")
    subprocess.run(
        [os.path.join(BIN, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", pg.dsn("postgres", target)], input=dump, check=True, text=True,
        stdout=subprocess.DEVNULL)
    restored = World.__new__(World)
    restored.db, restored.org = target, world.org
    for role, name in (("elections", "elections"), ("events", "events"), ("ekklesia_admin", "admin"), ("postgres", "root")):
        setattr(restored, name, Session(role, target))
    assert restored.results(old) == before
    assert restored.e("seal_verify", uuid.UUID(old))["code"] == "ok"
    assert restored.e("audit_verify")["ok"] is True
    assert restored.e("get_member_election", uuid.UUID(old), slot, True, False)["election"]["has_voted"] is True
    assert restored.cast(waiting)["code"] == "accepted"
    assert restored.vote(old, slot)["code"] == "ended"
    assert schema_of(target) == schema_of(source)
    world.close()
    restored.close()


def test_durable_settings_are_on(world):
    settings = dict(world.root.rows(
        "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'max_connections')"))
    assert settings == {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "max_connections": "25"}


def test_acknowledged_votes_survive_a_power_cut():
    """The server is killed among votes: what was acknowledged is stored, what was not can be asked again (V-O5)."""
    with Postgres() as pg:
        pg.deploy()
        session = Session("elections", pg=pg)
        made = session.call("elections.create_election", ORG, "u", None, {"title": "t", "question": "q", "answers": ["yes", "no"]})
        election = uuid.UUID(made["election"]["id"])
        session.call("elections.open_election", ORG, "u", None, election, None, None)
        votes = [(new_slot(), key(), key()) for _ in range(50)]

        def cast(session, vote):
            slot, idem, print_ = vote
            return session.call("elections.cast_member_vote", ORG, election, slot, True, False, ["yes"], [uuid.uuid4()], 0, idem, print_, b"r")

        for vote in votes[:30]:
            assert cast(session, vote)["code"] == "accepted"
        pg.kill9()
        with pytest.raises(psycopg2.Error):
            cast(session, votes[30])
        pg.start()
        session = Session("elections", pg=pg)
        codes = [cast(session, vote)["code"] for vote in votes]
        assert codes[:30] == ["replayed"] * 30 and set(codes[30:]) <= {"accepted", "replayed"}
        session.call("elections.close_election", ORG, "u", None, election)
        assert session.call("elections.results", ORG, election)["total_voters"] == 50
        session.close()
