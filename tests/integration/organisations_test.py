"""Two organisations in one database: added by the command, apart in every reply, row, log line and metric."""

import os
import random
import secrets
import stat
import subprocess
import uuid
from collections import Counter

import pytest

from elections_support import sign_in
from evidence import ROOT, canary
from suite import person
from voting import ORG, create_election, one, register, token_hash, vote, voting_token

COMMAND = os.path.join(ROOT, "deploy", "ops", "add-organisation")


def add(stack, directory, slug, name, *options):
    return subprocess.run([COMMAND, slug, name, *options], capture_output=True, text=True, timeout=60, env={
        **os.environ, "ADMIN_DATABASE_URL": stack.postgres.dsn("ekklesia_admin"), "ORGANISATION_DIR": str(directory)})


def settings_of(output):
    """{service: {name: value}} of what the command printed."""
    found = {}
    for line in output.splitlines():
        if line.startswith("# "):
            current = found.setdefault(line[2:], {})
        else:
            name, _, value = line.partition("=")
            current[name] = value
    for entry in found["elections"]["S2S_KEYS"].split(","):
        canary(entry.split(":")[1])
    return found


def organisations(stack, slug):
    return stack.sql("select id::text, name from elections.organisations where slug = %s", (slug,))


@pytest.fixture
def slug():
    return "t-" + secrets.token_hex(6)


# --- the command -----------------------------------------------------------------------------------------------


def test_add_organisation_twice_is_one_row_and_the_same_keys(stack, tmp_path, slug):
    first, second = add(stack, tmp_path, slug, "Hverfisfélag"), add(stack, tmp_path, slug, "Hverfisfélag")
    assert (first.returncode, second.returncode) == (0, 0), (first, second)
    assert first.stdout == second.stdout and "is added" in first.stderr and "was there" in second.stderr
    (org, name), = organisations(stack, slug)
    assert name == "Hverfisfélag"
    found = settings_of(first.stdout)
    assert found["elections"]["ORG_ID"] == found["events"]["ORG_ID"] == org
    assert found["elections"]["ORG_SLUG"] == found["events"]["ORG_SLUG"] == slug
    entry = ":".join((found["events"]["S2S_KEY_ID"], found["events"]["S2S_KEY"], org, slug))
    assert found["elections"]["S2S_KEYS"] == entry
    assert stat.S_IMODE(os.stat(tmp_path / f"{slug}.json").st_mode) == 0o600 and len(os.listdir(tmp_path)) == 1


def test_add_organisation_rotate_keeps_the_former_key_once(stack, tmp_path, slug):
    entries = [settings_of(add(stack, tmp_path, slug, "A", *options).stdout)["elections"]["S2S_KEYS"].split(",")
               for options in ((), ("--rotate",), ("--rotate",))]
    assert [len(found) for found in entries] == [1, 2, 2]
    assert entries[1][1] == entries[0][0] and entries[2][1] == entries[1][0] and len({*entries[0], *entries[1], *entries[2]}) == 3


@pytest.mark.parametrize("slug, name, word", [
    ("Upper", "A", "SLUG"), ("x_y", "A", "SLUG"), ("a" * 64, "A", "SLUG"), ("", "A", "SLUG"), ("a\n", "A", "SLUG"), ("ok", " ", "NAME")])
def test_add_organisation_bad_words_are_refused(stack, tmp_path, slug, name, word):
    done = add(stack, tmp_path, slug, name)
    assert done.returncode == 2 and word in done.stderr and not done.stdout and not os.listdir(tmp_path)
    assert not organisations(stack, slug)


def test_add_organisation_under_another_name_is_refused_and_unchanged(stack, tmp_path, slug):
    assert add(stack, tmp_path, slug, "One").returncode == 0
    done = add(stack, tmp_path, slug, "Two")
    assert done.returncode == 1 and not done.stdout and "another name" in done.stderr
    assert [name for _, name in organisations(stack, slug)] == ["One"]


def test_add_organisation_without_a_database_leaves_nothing(stack, tmp_path, slug):
    done = subprocess.run([COMMAND, slug, "A"], capture_output=True, text=True, timeout=60, env={
        **os.environ, "ADMIN_DATABASE_URL": "host=127.0.0.1 port=1 user=nobody dbname=none", "ORGANISATION_DIR": str(tmp_path)})
    assert done.returncode == 2 and not done.stdout and "Traceback" not in done.stderr and not os.listdir(tmp_path)


# --- two at one service ------------------------------------------------------------------------------------------


class Side:
    """One organisation: its key, an election, an instance that its members call."""

    def __init__(self, stack, shared, org, slug, key_id, secret, instance):
        self.stack, self.shared, self.org, self.slug = stack, shared, org, slug
        self.key = {"key_id": key_id, "secret": secret}
        self.instance = instance
        self.boss = sign_in(stack, instance, member=None, roles=("member", "admin"))
        self.election = self.boss.publish(title=f"Kosning {slug}", answers=["yes", "no", "abstain"])
        self.tokens, self.votes, self.slots = [], 0, []

    def signed(self, method, path, body=None):
        return self.shared.signed(method, path, body, **self.key)


@pytest.fixture
def sides(stack, tmp_path, slug):
    """The default organisation and a new one: one elections service takes the keys of both over two connections."""
    new = settings_of(add(stack, tmp_path, slug, "Hin").stdout)
    default_key = "default-1:" + canary(secrets.token_hex(32))
    both = f"{default_key},{new['elections']['S2S_KEYS']}"
    shared = stack.start("elections", S2S_KEYS=both, ORG_SLUG="default", DATABASE_POOL_MAX=2, READ_LIMIT_PER_MINUTE=10000)
    own = stack.start("elections", **new["elections"], DATABASE_POOL_MAX=1, READ_LIMIT_PER_MINUTE=10000)
    return (Side(stack, shared, ORG, "default", "default-1", default_key.partition(":")[2], shared),
            Side(stack, shared, new["elections"]["ORG_ID"], slug, new["events"]["S2S_KEY_ID"], new["events"]["S2S_KEY"], own))


def step_register(rng, mine, other):
    token, slot = voting_token(), secrets.token_hex(32)
    body = {"token_hash": token_hash(token), "election_id": mine.election, "slot": slot}
    assert other.signed("POST", "/api/s2s/register-token", body).status == 404, "another organisation's election"
    assert mine.signed("POST", "/api/s2s/register-token", body).status == 201
    mine.tokens.append(token)
    mine.slots.append(slot)


def step_vote(rng, mine, other):
    if not mine.tokens:
        return
    token = mine.tokens.pop(rng.randrange(len(mine.tokens)))
    assert vote(other.instance, token).status == 404, "another organisation's token"
    assert other.instance.get("/api/token-status", token=token).status == 404
    assert vote(mine.instance, token).status == 201
    mine.votes += 1


def step_slot(rng, mine, other):
    if not mine.slots:
        return
    path = f"/api/s2s/slot-status?election_id={mine.election}&slot={rng.choice(mine.slots)}"
    assert mine.signed("GET", path).json["registered"] is True
    assert other.signed("GET", path).json.get("registered") is not True


def step_read(rng, mine, other):
    claims = person()
    at_home, abroad = sign_in(mine.stack, mine.instance, claims), sign_in(mine.stack, other.instance, claims)
    assert at_home.get(mine.election).status == 200 and abroad.get(mine.election).status == 404
    assert mine.election in [row["id"] for row in at_home.list().json["elections"]]
    assert mine.election not in [row["id"] for row in abroad.list().json["elections"]]
    assert abroad.vote(mine.election, "yes").status == 404


def step_operate(rng, mine, other):
    assert mine.boss.admin("GET", mine.election).json["election"]["vote_count"] == mine.votes
    foreign = mine.boss.at(other.instance)
    assert foreign.admin("GET", mine.election).status == 404
    assert foreign.act(mine.election, rng.choice(("close", "pause", "hide", "archive"))).status == 404
    assert mine.election not in [row["id"] for row in foreign.call("GET", "/api/admin/elections?limit=200").json["elections"]]


def test_two_organisations_in_random_order_never_see_each_other(stack, sides):
    rng = random.Random(20261128)
    steps = (step_register, step_register, step_vote, step_vote, step_slot, step_read, step_operate)
    mark = {side.slug: side.instance.log_mark() for side in sides}
    for _ in range(60):
        mine, other = rng.sample(sides, 2)
        rng.choice(steps)(rng, mine, other)
    for side in sides:
        assert side.boss.admin("GET", side.election).json["election"]["vote_count"] == side.votes
        assert stack.sql("select count(*) from elections.ballots where election_id = %s and org_id = %s",
                         (side.election, side.org)) == [(side.votes,)]
        side.boss.close(side.election)
        path = f"/api/s2s/results?election_id={side.election}"
        assert side.signed("GET", path).json["total_ballots"] == side.votes
    for mine, other in (sides, sides[::-1]):
        assert other.signed("GET", f"/api/s2s/results?election_id={mine.election}").status == 404
    # Each organisation's chain holds what its own keys and operators did.
    registered = dict(stack.sql("select org_id::text, count(*) from elections.audit where action = 'register_token' and success"
                                " and election_id = any(%s::uuid[]) group by 1", ([side.election for side in sides],)))
    assert registered == {side.org: len(side.slots) for side in sides if side.slots}
    own = sides[1].instance
    assert {line["tenant"] for line in own.logs(mark[sides[1].slug])} == {sides[1].slug}


def test_tenant_of_log_lines_and_metrics_is_the_one_of_the_key(stack, sides):
    shared, mark = sides[0].shared, sides[0].shared.log_mark()
    for side, times in zip(sides, (2, 3)):
        for _ in range(times):
            body = {"token_hash": token_hash(voting_token()), "election_id": side.election}
            assert side.signed("POST", "/api/s2s/register-token", body).status == 201
    # Who cannot show a key has no organisation but the service's own, also right after another one's call.
    assert shared.signed("POST", "/api/s2s/register-token", {}, key_id=sides[1].key["key_id"], secret="x" * 32).status == 401
    assert sides[0].boss.admin("GET", sides[0].election).status == 200
    by_caller = Counter((line["tenant"], line["status"]) for line in shared.logs(mark)
                        if line.get("route") == "/api/s2s/register-token")
    assert by_caller == {("default", 201): 2, (sides[1].slug, 201): 3, ("default", 401): 1}
    assert all("tenant" in line for line in shared.logs() if line["message"] != "log self-check")
    for slug, status, count in (("default", "201", 2), (sides[1].slug, "201", 3), ("default", "401", 1)):
        wanted = {"route": "/api/s2s/register-token", "tenant": slug, "status": status}
        assert shared.metric("http_requests_total", **wanted) == count, wanted
    for slug, count in (("default", 3), (sides[1].slug, 3)):
        assert shared.metric("http_request_duration_seconds_count", route="/api/s2s/register-token", tenant=slug) == count
    assert shared.metric("http_requests_total", route="/api/admin/elections/{id}", tenant=sides[1].slug) == 0


def test_key_without_a_name_goes_by_the_id_of_its_organisation(stack, tmp_path, slug):
    new = settings_of(add(stack, tmp_path, slug, "Hin").stdout)
    unnamed = new["elections"]["S2S_KEYS"].rpartition(":")[0]
    service = stack.start("elections", S2S_KEYS=unnamed)
    mark = service.log_mark()
    reply = service.signed("GET", f"/api/s2s/slot-status?election_id={uuid.uuid4()}&slot={'a' * 64}",
                           key_id=new["events"]["S2S_KEY_ID"], secret=new["events"]["S2S_KEY"])
    assert reply.status != 401
    line = service.wait_log(lambda line: line.get("route") == "/api/s2s/slot-status", mark)
    assert line["tenant"] == new["elections"]["ORG_ID"]
