"""Known ways to lose or double a vote, put into a running stack; a harness that misses one is not finished.

Each changes the test's own database after the services have started, or the options of its server. None is a switch of
the product. A patch that no longer fits the function it changes fails the run.
"""

import re


BEGIN = re.compile(r"^\s*BEGIN$", re.MULTILINE)


def patch(world, function, *changes):
    """Replace parts of a SQL function's text: a string everywhere, a pattern once."""
    with world.cursor() as cursor:
        kind = "regprocedure" if "(" in function else "regproc"
        cursor.execute(f"select pg_get_functiondef(%s::{kind})", (function,))
        text = cursor.fetchone()[0]
        for old, new in changes:
            found = old.search(text) if isinstance(old, re.Pattern) else old in text
            assert found, f"{function} no longer says: {old}"
            text = old.sub(new, text, count=1) if isinstance(old, re.Pattern) else text.replace(old, new)
        cursor.execute(text)


def forgetful_commit(world):
    """No commit waits for the disk. The services look at the setting of their sessions, so each function sets it for its
    own transaction."""
    functions = world.sql("select p.oid::regprocedure::text from pg_proc p join pg_language l on l.oid = p.prolang"
                          " where l.lanname = 'plpgsql' and p.provolatile = 'v' and p.prokind = 'f'"
                          " and p.pronamespace in ('elections'::regnamespace, 'events'::regnamespace)"
                          " and p.prorettype <> 'trigger'::regtype")
    for (function,) in functions:
        patch(world, function, (BEGIN, "BEGIN PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);"))


def no_uniqueness(world):
    world.sql("alter table elections.participation drop constraint participation_pkey")


def two_transactions(world):
    """Participation is committed by a connection of its own before the ballot is stored, a moment later: only the moment
    makes it certain that a few kills hit it."""
    world.sql("create extension if not exists dblink")
    world.sql("grant execute on function dblink_connect_u(text, text), dblink_exec(text, text), dblink_disconnect(text) to public")
    port = world.postgres.port
    patch(world, "elections.store_vote", (
        "    INSERT INTO elections.participation (election_id, voter, org_id, voted_at) VALUES (p_election, p_voter, p_org, minute)\n"
        "        ON CONFLICT DO NOTHING;\n    IF NOT FOUND THEN\n",
        f"""    PERFORM public.dblink_connect_u('apart', 'host=127.0.0.1 port={port} dbname=ekklesia user=postgres');
    IF public.dblink_exec('apart', pg_catalog.format(
           'INSERT INTO elections.participation (election_id, voter, org_id, voted_at) VALUES (%L, %L, %L, %L) ON CONFLICT DO NOTHING',
           p_election, p_voter, p_org, minute)) = 'INSERT 0 0' THEN
        PERFORM public.dblink_disconnect('apart');
"""), ("    FOR i IN 1", "    PERFORM public.dblink_disconnect('apart');\n    PERFORM pg_catalog.pg_sleep(0.2);\n    FOR i IN 1"))


def refused_replay(world):
    """The answer is not kept, so a replay finds the slot taken: 409."""
    patch(world, "elections.store_vote", ("IF p_idem_key IS NOT NULL THEN", "IF false THEN"))


def hasty_close(world):
    """Closing takes no lock and so does not wait for the votes in flight, which take a moment."""
    patch(world, "elections.store_vote", ("    RETURN true;", "    PERFORM pg_catalog.pg_sleep(0.1);\n    RETURN true;"))
    lock = "PERFORM pg_advisory_xact_lock(elections.lock_key(p_election));"
    patch(world, "elections.touch", (lock, "NULL;"))
    patch(world, "elections.close_due", (" AND pg_try_advisory_xact_lock(elections.lock_key(due.id))", ""))


class Mutant:
    """apply(world); the faults it takes to notice; options of the server; race_s: how often an election is closed."""

    def __init__(self, apply, faults, options="", race_s=20.0, closings=0):
        self.apply, self.faults, self.options, self.race_s, self.closings = apply, faults, options, race_s, closings


MUTANTS = {
    # The writer of the log is told to take its time, as it may.
    "synchronous_commit=off": Mutant(forgetful_commit, ["kill -9 postgresql"], "-c wal_writer_delay=10s"),
    "uniqueness dropped": Mutant(no_uniqueness, ["kill -9 elections"]),
    "two transactions": Mutant(two_transactions, ["kill -9 postgresql", "pool exhausted"]),
    "409 on replay": Mutant(refused_replay, ["kill -9 elections"]),
    "close without waiting": Mutant(hasty_close, [], race_s=1.0, closings=5),
}
