"""Elections of a local stack, made through the same SQL functions the services call.

ensure_open() leaves one published yes/no/abstain election open and writes its id to $LOCAL_DIR/env as ELECTION_ID.
"""

import json

import psycopg2

ORG_ID = "00000000-0000-4000-8000-000000000001"  # the organisation every fresh database has
ACTOR = "local-stack"
YES_NO_ABSTAIN = ["yes", "no", "abstain"]


def call(stack, statement, parameters):
    """One row of one function of schema elections, as the elections role, as a dict."""
    connection = psycopg2.connect(stack.postgres.dsn("elections"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"select * from elections.{statement}", parameters)
            return dict(zip([column.name for column in cursor.description], cursor.fetchone()))
    finally:
        connection.close()


def create(stack, **fields):
    """Id of a new draft. fields replace the defaults below; see create_election in sql/README.md."""
    fields = {"title": "Ársfundur", "question": "Samþykkir þú tillöguna?", "answers": YES_NO_ABSTAIN, **fields}
    row = call(stack, "create_election(%s, %s, %s, %s)", (ORG_ID, ACTOR, "make-up", json.dumps(fields)))
    if row["code"] not in ("created", "repeated"):
        raise RuntimeError(f"create_election: {row['code']} {row['field']} {row['reason']}")
    return row["election"]["id"]


def publish(stack, election, start=None, end=None):
    """Open a draft; start None is now, end None is never."""
    row = call(stack, "open_election(%s, %s, %s, %s, %s, %s)", (ORG_ID, ACTOR, "make-up", election, start, end))
    if row["code"] != "opened":
        raise RuntimeError(f"open_election: {row['code']}")
    return row["election"]


def close(stack, election):
    return call(stack, "close_election(%s, %s, %s, %s)", (ORG_ID, ACTOR, "make-up", election))


def ensure_open(stack):
    """True when one had to be made."""
    current = call(stack, "current_election(%s)", (ORG_ID,))
    made = current["code"] != "ok"
    election = current["election_id"]
    if made:
        election = create(stack)
        publish(stack, election)
    stack.write_env(ELECTION_ID=election)
    return made
