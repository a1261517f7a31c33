"""Who may what: forbidden reads fail for every role, and a right too many is noticed by the verify script (V-B1, V-B7)."""

import psycopg2
import pytest

from test_sql_support import INSUFFICIENT_PRIVILEGE, ORG, Session, World, cluster, new_slot, world  # noqa: F401

RELATIONS = [
    "elections.organisations", "elections.elections", "elections.voting_tokens", "elections.participation", "elections.ballots",
    "elections.results", "elections.queued_votes", "elections.idempotency", "elections.nonces", "elections.audit", "elections.audit_heads", "events.issues",
    "events.idempotency",
]


def refused(session, sql):
    with pytest.raises(psycopg2.Error) as error:
        session.rows(sql)
    return error.value.pgcode == INSUFFICIENT_PRIVILEGE


def test_relations_list_is_complete(world):
    found = world.root.rows(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('elections', 'events') AND c.relkind = 'r'"
    )
    assert sorted(r[0] for r in found) == sorted(RELATIONS)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("role", ["elections", "events"])
def test_service_login_any_table_right_refused(world, role, relation):
    session = getattr(world, role)
    assert refused(session, f"SELECT * FROM {relation}")
    assert refused(session, f"DELETE FROM {relation}")
    assert refused(session, f"INSERT INTO {relation} DEFAULT VALUES")
    assert refused(session, f"TRUNCATE {relation}")
    assert refused(session, f"SELECT xmin, ctid FROM {relation}")


def test_service_logins_each_others_functions_refused(world):
    assert world.events.sqlstate("elections.slot_status", world.org, None, None) == INSUFFICIENT_PRIVILEGE
    assert world.elections.sqlstate("events.issue_status", world.org, None, None) == INSUFFICIENT_PRIVILEGE


def test_service_logins_inner_functions_refused(world):
    inner = world.root.rows(
        "SELECT n.nspname || '.' || p.proname, n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('elections', 'events') AND NOT p.prosecdef AND p.prokind = 'f'"
    )
    assert len(inner) > 20
    for role in ("elections", "events", "ekklesia_admin"):
        allowed = world.root.rows(
            "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname IN ('elections', 'events') AND NOT p.prosecdef AND has_function_privilege(%s, p.oid, 'EXECUTE')", role
        )
        assert allowed == []


def test_service_login_cannot_create_or_become(world):
    for session in (world.elections, world.events, world.admin):
        assert refused(session, "CREATE TABLE elections.mine (a int)")
        assert refused(session, "CREATE TABLE public.mine (a int)")
        assert refused(session, "CREATE TEMPORARY TABLE mine (a int)")
        assert refused(session, "SET ROLE ekklesia_owner")
        assert refused(session, "SET SESSION AUTHORIZATION postgres")


def test_events_view_shows_own_tenant_only_and_nothing_without_one(world):
    other = World()
    mine, foreign = world.draft(), other.draft()
    assert world.events.rows("SELECT id FROM events.elections") == []
    # The setting of one statement must not be relied upon by another.
    world.events.connection.autocommit = False
    with world.events.connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.org_id', %s, true)", [world.org])
        cursor.execute("SELECT id::text FROM events.elections")
        seen = [r[0] for r in cursor.fetchall()]
    world.events.connection.rollback()
    world.events.connection.autocommit = True
    assert mine in seen and foreign not in seen
    assert world.events.rows("SELECT id FROM events.elections") == []
    other.close()


def test_events_view_is_read_only(world):
    assert refused(world.events, "UPDATE events.elections SET title = 'x'")
    assert refused(world.events, "DELETE FROM events.elections")


def test_admin_reads_all_tenants_and_changes_only_organisations(world):
    other = World()
    ids = {world.draft(), other.draft()}
    seen = {r[0] for r in world.admin.rows("SELECT id::text FROM elections.elections")}
    assert ids <= seen
    for relation in RELATIONS:
        world.admin.rows(f"SELECT * FROM {relation} LIMIT 1")
        assert refused(world.admin, f"DELETE FROM {relation}")
        if relation != "elections.organisations":
            assert refused(world.admin, f"INSERT INTO {relation} DEFAULT VALUES")
    assert refused(world.admin, "SELECT * FROM events.reset_election(NULL, NULL, NULL, NULL, NULL, NULL, NULL)")
    other.close()


def test_owner_without_tenant_sees_no_rows(world):
    world.vote(world.published(), new_slot())
    for relation in RELATIONS:
        if relation == "elections.organisations":
            continue
        world.root.connection.autocommit = False
        try:
            world.root.rows("SET LOCAL ROLE ekklesia_owner")
            assert world.root.one(f"SELECT count(*) FROM {relation}") == (0,)
        finally:
            world.root.connection.rollback()
            world.root.connection.autocommit = True


@pytest.mark.parametrize(
    "widening, narrowing",
    [
        ("GRANT SELECT ON elections.ballots TO events", "REVOKE SELECT ON elections.ballots FROM events"),
        ("GRANT SELECT (election_id) ON elections.ballots TO elections", "REVOKE SELECT (election_id) ON elections.ballots FROM elections"),
        ("GRANT EXECUTE ON FUNCTION elections.slot_status TO PUBLIC", "REVOKE EXECUTE ON FUNCTION elections.slot_status FROM PUBLIC"),
        ("GRANT EXECUTE ON FUNCTION elections.close_now TO elections", "REVOKE EXECUTE ON FUNCTION elections.close_now FROM elections"),
        ("ALTER TABLE elections.ballots NO FORCE ROW LEVEL SECURITY", "ALTER TABLE elections.ballots FORCE ROW LEVEL SECURITY"),
        ("CREATE POLICY hole ON elections.ballots USING (true)", "DROP POLICY hole ON elections.ballots"),
        ("ALTER FUNCTION elections.slot_status RESET search_path",
         "ALTER FUNCTION elections.slot_status SET search_path = pg_catalog, pg_temp"),
        ("GRANT USAGE ON SCHEMA elections TO events", "REVOKE USAGE ON SCHEMA elections FROM events"),
    ],
)
def test_verify_grants_too_wide_fails(world, widening, narrowing):
    world.root.rows(widening)
    try:
        with pytest.raises(RuntimeError, match="grants"):
            cluster().sqitch("verify", "--from-change", "grants")
    finally:
        world.root.rows(narrowing)
    cluster().sqitch("verify", "--from-change", "grants")


@pytest.mark.parametrize("attribute, undo", [("SUPERUSER", "NOSUPERUSER"), ("BYPASSRLS", "NOBYPASSRLS"), ("CREATEROLE", "NOCREATEROLE")])
def test_verify_role_too_powerful_fails(world, attribute, undo):
    world.root.rows(f"ALTER ROLE events {attribute}")
    try:
        with pytest.raises(RuntimeError, match="too powerful"):
            cluster().sqitch("verify", "--to-change", "roles")
    finally:
        world.root.rows(f"ALTER ROLE events {undo}")


def test_no_function_takes_a_clock_in_a_constraint(world):
    checks = world.root.rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN ('elections'::regnamespace, 'events'::regnamespace)"
    )
    assert checks
    assert [c for c in checks if "now()" in c[1] or "timestamp()" in c[1].lower() or "current_" in c[1].lower()] == []


def test_all_times_carry_a_zone(world):
    bad = world.root.rows(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('elections', 'events') AND data_type IN ('timestamp without time zone', 'time without time zone', 'date')"
    )
    assert bad == []


def test_search_path_hostile_schema_changes_nothing(world):
    session = Session("elections")
    session.rows("SET search_path = pg_temp, public, pg_catalog")
    election = world.published()
    assert world.vote(election, session=session)["code"] == "accepted"
    session.close()


def test_unknown_tenant_sees_and_changes_nothing(world):
    election = world.published()
    foreign = "99999999-9999-4999-8999-999999999999"
    assert world.elections.call("elections.get_election", foreign, election)["code"] == "not_found"
    assert world.elections.call("elections.get_election", ORG, election)["code"] == "not_found"
    assert world.elections.call("elections.list_elections", foreign, None, True, None, 50, 0)["total"] == 0
