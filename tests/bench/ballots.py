"""An open election, and as many voting tokens as a benchmark needs."""

import hashlib
import secrets
from datetime import datetime, timedelta, timezone

import psycopg2
import psycopg2.extras

from measure import BenchError

ORG = "00000000-0000-4000-8000-000000000001"

# The same function with the same arguments as the service's own statement; what the service does in its process
# for one vote (hash the token, make an id) happens here in the server, and costs it about two microseconds.
PGBENCH_SCRIPT = """\
\\set i :i + 1
\\set n :client_id * 10000000 + :i
SELECT code, reply FROM elections.cast_token_vote('{org}', encode(sha256(convert_to('{label}-' || :n, 'UTF8')), 'hex'),
 'yes', gen_random_uuid(), 0, NULL, NULL, NULL);
"""


class Ballots:
    """Opens the election as the role `elections`; tokens, counting and vacuum are an administrator's."""

    def __init__(self, postgres):
        self.db = psycopg2.connect(postgres.dsn("elections"))
        self.db.autocommit = True
        self.admin = psycopg2.connect(postgres.dsn("postgres"))
        self.admin.autocommit = True
        self.election = self.open_election("Speed")

    def close(self):
        self.db.close()
        self.admin.close()

    def _call(self, sql, *values):
        with self.db.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()

    def open_election(self, title):
        """A published election of yes, no and abstain; its id."""
        now = datetime.now(timezone.utc)
        fields = psycopg2.extras.Json({
            "title": title, "question": "Is it fast?", "answers": ["yes", "no", "abstain"],
            "scheduled_start": (now - timedelta(minutes=1)).isoformat(),
            "scheduled_end": (now + timedelta(hours=12)).isoformat()})
        code, election = self._call("select code, election->>'id' from elections.create_election(%s, %s, %s, %s)",
                                    ORG, "bench", "bench", fields)
        if code != "created":
            raise BenchError(f"create_election: {code}")
        code, = self._call("select code from elections.open_election(%s, %s, %s, %s, NULL, NULL)",
                           ORG, "bench", "bench", election)
        if code != "opened":
            raise BenchError(f"open_election: {code}")
        return election

    def _register(self, hashes):
        """Straight into the table: elections.register_token writes an audit row for each, which is not measured here."""
        with self.admin.cursor() as cursor:
            cursor.execute(
                "insert into elections.voting_tokens (token_hash, org_id, election_id, slot, key_id, expires_at) "
                "select h, %s, %s, sha256(convert_to('slot of ' || h, 'UTF8')), 'bench', now() + interval '1 day' "
                "from unnest(%s::text[]) h", (ORG, self.election, hashes))

    def tokens(self, count):
        """Fresh voting tokens, as a member would hold them."""
        tokens = [secrets.token_hex(32) for _ in range(count)]
        self._register([hashlib.sha256(token.encode()).hexdigest() for token in tokens])
        return tokens

    def pgbench_round(self, label, path, clients, transactions):
        """Tokens for one run of pgbench, and its script at path. Client c uses numbers c * 10^7 + 1, 2, …"""
        self._register([hashlib.sha256(f"{label}-{client * 10000000 + i}".encode()).hexdigest()
                        for client in range(clients) for i in range(1, transactions + 1)])
        with open(path, "w", encoding="ascii") as out:
            out.write(PGBENCH_SCRIPT.format(org=ORG, label=label))

    def vote_requests(self, tokens):
        return [("POST", "/api/vote", {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                 '{"answer":"yes"}') for token in tokens]

    def count(self):
        """Ballots stored in the election."""
        with self.admin.cursor() as cursor:
            cursor.execute("select count(*) from elections.ballots where election_id = %s", (self.election,))
            return cursor.fetchone()[0]

    def close_election(self, election):
        code, = self._call("select code from elections.close_election(%s, %s, %s, %s)", ORG, "bench", "bench", election)
        if code != "closed":
            raise BenchError(f"close_election: {code}")

    def counted(self, election):
        """(selections, voters) stored."""
        with self.admin.cursor() as cursor:
            cursor.execute("select (select count(*) from elections.ballots where election_id = %s), "
                           "(select count(*) from elections.participation where election_id = %s)", (election, election))
            return cursor.fetchone()

    def fill(self, election, count):
        """As many votes as a large organisation casts, each by a token of its slot, straight into the tables."""
        with self.admin.cursor() as cursor:
            cursor.execute(
                "insert into elections.voting_tokens (token_hash, org_id, election_id, slot, key_id, expires_at, used) "
                "select encode(sha256(convert_to(%(e)s || n, 'UTF8')), 'hex'), %(o)s, %(e)s, sha256(convert_to(%(e)s || 's' || n, 'UTF8')), "
                "       'bench', now() + interval '1 day', true from generate_series(1, %(n)s) n;"
                "insert into events.issues (election_id, slot, org_id, issue_no, state, claim, claimed_at, issued_at, expires_at) "
                "select election_id, slot, org_id, 1, 'confirmed', gen_random_uuid(), now(), now(), expires_at from elections.voting_tokens "
                " where election_id = %(e)s;"
                "insert into elections.participation (election_id, voter, org_id, voted_at) "
                "select election_id, slot, org_id, date_trunc('minute', now(), 'UTC') from elections.voting_tokens "
                " where election_id = %(e)s;"
                "insert into elections.ballots (election_id, id, org_id, answer_id, answer_text, voted_at) "
                "select %(e)s, gen_random_uuid(), %(o)s, a, a, date_trunc('minute', now(), 'UTC') "
                "  from (select (array['yes', 'no', 'abstain'])[1 + n %% 3] a from generate_series(1, %(n)s) n) x",
                {"e": election, "o": ORG, "n": count})

    def settle(self, analyze=False):
        """What the last round left for later is done now, so that it is not done during the next one."""
        with self.admin.cursor() as cursor:
            if analyze:
                cursor.execute("vacuum analyze")
            cursor.execute("checkpoint")

    def durable(self):
        """The settings that decide whether an acknowledged vote survives a power cut."""
        with self.admin.cursor() as cursor:
            cursor.execute("select current_setting('fsync'), current_setting('full_page_writes'), "
                           "current_setting('synchronous_commit'), current_setting('server_version')")
            return dict(zip(("fsync", "full_page_writes", "synchronous_commit", "version"), cursor.fetchone()))
