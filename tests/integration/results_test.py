"""deploy/ops/results: any changed, added or removed row is found; a result leaves the database signed (V-F6)."""

import base64
import json
import os
import runpy
import subprocess

import pytest

from elections_support import sign_in
from evidence import ROOT
from voting import ballots

COMMAND = os.path.join(ROOT, "deploy", "ops", "results")


def results(stack, *arguments, **env):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, env={
        **os.environ, "ADMIN_DATABASE_URL": stack.postgres.dsn("ekklesia_admin"), **env})


@pytest.fixture
def keys(tmp_path):
    """Settings that name a new pair."""
    key, public = str(tmp_path / "results.key"), str(tmp_path / "results.pub")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    return {"RESULTS_SIGNING_KEY": key, "RESULTS_PUBLIC_KEY": public}


def closed_election(stack, votes=(("Já",), ("Nei",), ("Já",))):
    boss = sign_in(stack, member=None, roles=("member", "admin", "superuser"))
    election = boss.publish()
    for answers in votes:
        assert sign_in(stack).vote(election, *answers).status == 201
    boss.close(election)
    return election, boss


# Each leaves the database as somebody with a superuser's rights might; the triggers that refuse are switched off first.
TAMPERING = {
    "ballot changed": "update elections.ballots set answer_id = 'Nei', answer_text = 'Nei' where id = (select id from elections.ballots"
                      " where election_id = %(e)s and answer_id = 'Já' limit 1)",
    "ballot added": "insert into elections.ballots (election_id, id, org_id, answer_id, answer_text)"
                    " select election_id, gen_random_uuid(), org_id, answer_id, answer_text from elections.ballots where election_id = %(e)s limit 1",
    "ballot removed": "delete from elections.ballots where id = (select id from elections.ballots where election_id = %(e)s limit 1)",
    "voter added": "insert into elections.participation select election_id, sha256('x'), org_id, voted_at from elections.participation"
                   " where election_id = %(e)s limit 1",
    "voter removed": "delete from elections.participation where voter = (select voter from elections.participation where election_id = %(e)s limit 1)",
    "count changed": "update elections.results set total_voters = total_voters + 1 where election_id = %(e)s",
    "count removed": "delete from elections.results where election_id = %(e)s",
    "audit row changed": "update elections.audit set actor = 'somebody else' where election_id = %(e)s and action = 'close_election'",
    "audit row removed": "delete from elections.audit where election_id = %(e)s and action = 'open_election'",
    "last audit row removed": "delete from elections.audit where seq = (select max(seq) from elections.audit where org_id ="
                              " (select org_id from elections.elections where id = %(e)s))"
                              " and org_id = (select org_id from elections.elections where id = %(e)s)",
    "election removed": "delete from elections.results where election_id = %(e)s; delete from elections.elections where id = %(e)s",
}


def test_verify_finds_every_kind_of_tampering(own_stack):
    election, _ = closed_election(own_stack)
    clean = results(own_stack, "verify")
    assert (clean.returncode, clean.stdout) == (0, "0 faults\n"), clean
    for what, statement in TAMPERING.items():
        with own_stack.cursor() as cursor:
            # Changed in a transaction of its own, looked at from outside, and put right again from the copy.
            cursor.execute("create schema copy; " + "".join(
                f"create table copy.{table} as table elections.{table};" for table in ("audit", "elections", "results", "ballots", "participation")))
            cursor.execute("set session_replication_role = replica")
            cursor.execute(statement, {"e": election})
            done = results(own_stack, "verify")
            assert done.returncode == 1 and "0 faults" not in done.stdout, (what, done)
            for table in ("audit", "results", "ballots", "participation"):
                cursor.execute(f"delete from elections.{table}; insert into elections.{table} overriding system value table copy.{table}")
            cursor.execute("select string_agg(format('%I', attname), ',' order by attnum) from pg_attribute"
                           " where attrelid = 'elections.elections'::regclass and attnum > 0 and attgenerated = '' and not attisdropped")
            columns, = cursor.fetchone()
            cursor.execute(f"delete from elections.elections; insert into elections.elections ({columns}) select {columns} from copy.elections;"
                           " drop schema copy cascade")
        again = results(own_stack, "verify")
        assert (again.returncode, again.stdout) == (0, "0 faults\n"), (what, again)


def test_verify_an_election_two_people_removed_is_no_fault(own_stack):
    election, boss = closed_election(own_stack)
    other = sign_in(own_stack, member=None, roles=("member", "superuser"))
    assert boss.admin("DELETE", election).status == 400 and other.admin("DELETE", election).status == 200
    assert results(own_stack, "verify").stdout == "0 faults\n"


def test_export_is_signed_and_counts_by_itself(stack, tmp_path, keys):
    election, _ = closed_election(stack)
    path = str(tmp_path / "result.json")
    assert results(stack, "export", election, path, **keys).returncode == 0
    # Nothing but the file and the public key is needed.
    done = results(stack, "check", path, RESULTS_PUBLIC_KEY=keys["RESULTS_PUBLIC_KEY"], ADMIN_DATABASE_URL="")
    assert done.returncode == 0 and "3 voters; Já 2, Nei 1, Sit hjá 0" in done.stdout, done
    content = json.loads(json.load(open(path, encoding="utf-8"))["content"])
    assert len(content["ballots"]) == ballots(stack, election) == 3 and content["audit"]["head"]
    assert results(stack, "export", election, path, **keys).returncode == 2, "no file is written over"


def test_check_finds_any_change_of_the_file(stack, tmp_path, keys):
    election, _ = closed_election(stack)
    path = str(tmp_path / "result.json")
    assert results(stack, "export", election, path, **keys).returncode == 0
    file = json.load(open(path, encoding="utf-8"))
    content = json.loads(file["content"])
    changed = {**content, "ballots": [text.replace("Já", "Nei") for text in content["ballots"]]}
    fewer = {**content, "ballots": content["ballots"][1:]}
    for wrong in (changed, fewer, {**content, "question": "Önnur"}):
        other = {**file, "content": json.dumps(wrong, ensure_ascii=False)}
        (tmp_path / "other.json").write_text(json.dumps(other), encoding="utf-8")
        assert results(stack, "check", str(tmp_path / "other.json"), **keys).returncode == 1
    (tmp_path / "other.json").write_text("{", encoding="utf-8")
    assert results(stack, "check", str(tmp_path / "other.json"), **keys).returncode == 2


def test_check_recounts_also_what_the_key_holder_signed(stack, tmp_path, keys):
    """A signature says who made the file; the seal and the count say whether it is true."""
    command = runpy.run_path(COMMAND)
    election, _ = closed_election(stack)
    path = str(tmp_path / "result.json")
    assert results(stack, "export", election, path, **keys).returncode == 0
    content = json.loads(json.load(open(path, encoding="utf-8"))["content"])
    content["ballots"] = content["ballots"][1:]
    os.environ["RESULTS_SIGNING_KEY"] = keys["RESULTS_SIGNING_KEY"]
    try:
        text = json.dumps(content, ensure_ascii=False)
        signature = base64.b64encode(command["sign"](text.encode())).decode()
    finally:
        del os.environ["RESULTS_SIGNING_KEY"]
    (tmp_path / "other.json").write_text(json.dumps({"content": text, "signature": signature}), encoding="utf-8")
    done = results(stack, "check", str(tmp_path / "other.json"), **keys)
    assert done.returncode == 1 and "sealed" in done.stdout and "signature" not in done.stdout


@pytest.mark.parametrize("arguments", [(), ("verify", "x"), ("export", "x"), ("export", "no-uuid", "f"), ("check", "/nowhere")])
def test_results_bad_use_is_2_without_a_traceback(stack, keys, arguments):
    done = results(stack, *arguments, **keys)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_export_of_an_open_election_is_refused(stack, tmp_path, keys):
    boss = sign_in(stack, member=None, roles=("member", "admin"))
    done = results(stack, "export", boss.publish(), str(tmp_path / "x"), **keys)
    assert done.returncode == 2 and "not closed" in done.stderr and not os.path.exists(tmp_path / "x")
